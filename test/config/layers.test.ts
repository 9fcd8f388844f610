import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { describeFinding, findConfigFile, inspectConfig, loadConfig, loadSections } from "../../src/config/index.ts";
import { inspectIn, soundEnvironment, soundSettings, sourcesIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

describe("layers", () => {
  const toml = '[streaming]\nenabled = true\nlisten = ":1"\npath = "/a"\nrequest_timeout = "1s"\n';
  const environment = { TS2OTEL_STREAMING__PATH: "/b", TS2OTEL_STREAMING__REQUEST_TIMEOUT: "2s" };
  const { config, origins } = inspectIn(directory, { toml, environment, set: ["streaming.request_timeout=3s"] });

  test("override each other: file over default, variable over file, flag over variable", () => {
    expect(config.streaming.decompress).toBe("auto");
    expect(config.streaming.listen).toBe(":1");
    expect(config.streaming.path).toBe("/b");
    expect(config.streaming.request_timeout).toBe(3000);
  });

  test("the origin of each value is kept", () => {
    expect(origins.get("streaming.decompress")).toEqual({ from: "default" });
    expect(origins.get("streaming.listen")).toEqual({ from: "file", file: "tailscale2otel.toml", line: 3 });
    expect(origins.get("streaming.path")).toEqual({ from: "environment", variable: "TS2OTEL_STREAMING__PATH" });
    expect(origins.get("streaming.request_timeout")).toEqual({ from: "flag", key: "streaming.request_timeout" });
  });

  test("the last of several flags for a setting wins", () => {
    const twice = inspectIn(directory, { set: ["log_level=debug", "log_level=warn"] });
    expect(twice.config.log_level).toBe("warn");
  });
});

test("has the documented defaults, in milliseconds and bytes", () => {
  const { config, problems, warnings } = inspectIn(directory, { set: soundSettings, environment: soundEnvironment });
  expect(problems).toEqual([]);
  expect(warnings).toEqual([]);
  expect(config).toMatchObject({
    log_level: "info",
    tailscale: { tailnet: "-" },
    collectors: { flowlogs: { enabled: true, log_mode: "per_connection" }, auditlogs: { enabled: true } },
    streaming: {
      listen: ":8088",
      path: "/services/collector/event",
      token_previous: "",
      max_body_bytes: 0,
      max_inflight_bytes: 256 * 1024 * 1024,
      request_timeout: 30_000,
    },
    cardinality: {
      metric_limit: 10_000,
      series_ttl: 86_400_000,
      flow: { metrics_mode: "rollup", rollup_top_n: 500, collapse_external: true },
    },
    otlp: {
      protocol: "http/protobuf",
      headers: {},
      compression: "gzip",
      timeout: 10_000,
      metric_interval: 60_000,
      logs: { enabled: true, max_records: 5000, max_bytes: 4 * 1024 * 1024, concurrency: 2, record_uid: false },
    },
    state: { max_bytes: 1024 ** 3, retention: 86_400_000, durability: "full" },
    dedup: { flow_window: 21_600_000, audit_window: 172_800_000, max_keys: 4_000_000 },
    self_observability: { enabled: true, logs: false, instance_id: "" },
  });
});

describe("the file", () => {
  test("is that of --config, otherwise of TS2OTEL_CONFIG, otherwise the one in the working directory", () => {
    const sources = sourcesIn(directory, { toml: "", environment: { TS2OTEL_CONFIG: "two.toml" } });
    expect(findConfigFile({ ...sources, configPath: "one.toml" })).toBe("one.toml");
    expect(findConfigFile(sources)).toBe("two.toml");
    expect(findConfigFile({ ...sources, environment: {} })).toBe("tailscale2otel.toml");
    const empty = sourcesIn(directory, {});
    expect(findConfigFile(empty)).toBeUndefined();
  });

  test.each([
    ["--config", { configPath: "" }],
    ["--config", { configPath: "", environment: { TS2OTEL_CONFIG: "two.toml" } }],
    ["TS2OTEL_CONFIG", { environment: { TS2OTEL_CONFIG: "" } }],
  ])("is refused if %s is empty, and no other file is read instead", (name, given) => {
    const sources = { ...sourcesIn(directory, { toml: 'log_level = "debug"\n' }), ...given };
    const { problems, config, configFile } = inspectConfig(sources);
    expect(configFile).toBeUndefined();
    expect(problems.map(describeFinding)).toEqual([
      `${name}: the path of the configuration file is empty. Name a file, or remove ${name}: then tailscale2otel.toml or /etc/tailscale2otel/config.toml is used.`,
    ]);
    expect(config.log_level).toBe("info");
    expect(() => loadSections(sources, ["state"])).toThrow("is empty");
  });

  test("may begin with a byte order mark and have CRLF", () => {
    const { config, origins } = inspectIn(directory, {
      toml: '\ufefflog_level = "warn"\r\n[otlp]\r\ntimeout = "5s"\r\n',
    });
    expect(config.log_level).toBe("warn");
    expect(origins.get("otlp.timeout")).toMatchObject({ line: 3 });
  });
});

describe("maps", () => {
  test("take one variable per entry, which also matches a name with dashes", () => {
    const { config, origins } = inspectIn(directory, {
      toml: '[otlp.headers]\nX-Scope-OrgID = "file"\nAuthorization = "file"\n',
      environment: {
        TS2OTEL_OTLP__HEADERS__X_SCOPE_ORGID: "environment",
        TS2OTEL_OTLP__HEADERS__X_NEW: "environment",
        TS2OTEL_OTLP__LOGS__HEADERS__X_LOGS: "logs",
      },
      set: ["otlp.headers.authorization=flag"],
    });
    expect(config.otlp.headers).toEqual({
      "X-Scope-OrgID": "environment",
      authorization: "flag",
      "x-new": "environment",
    });
    expect(config.otlp.logs.headers).toEqual({ "x-logs": "logs" });
    expect(origins.get("otlp.headers.x-new")).toMatchObject({ variable: "TS2OTEL_OTLP__HEADERS__X_NEW" });
    expect(origins.get("otlp.metrics.headers")).toEqual({ from: "default" });
  });

  test("accept attribute names with dots in the file, a flag and a variable", () => {
    const { config, problems } = inspectIn(directory, {
      toml: '[resource.attributes]\ndeployment.environment.name = "file"\n"k8s.cluster.name" = "c"\n',
      environment: { TS2OTEL_RESOURCE__ATTRIBUTES__SERVICE_NAMESPACE: "net", TS2OTEL_STREAMING__ENABLED: "true" },
      set: ["resource.attributes.cloud.region=eu"],
    });
    expect(problems).toEqual([]);
    expect(config.resource.attributes).toEqual({
      "deployment.environment.name": "file",
      "k8s.cluster.name": "c",
      "service.namespace": "net",
      "cloud.region": "eu",
    });
  });

  test("accept a name such as __proto__ like any other", () => {
    const { config } = inspectIn(directory, { toml: '[resource.attributes]\n__proto__ = "x"\n' });
    expect(Object.entries(config.resource.attributes)).toEqual([["__proto__", "x"]]);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });
});

describe("variables", () => {
  test("an empty one counts as unset", () => {
    const { config, origins } = inspectIn(directory, {
      toml: '[otlp]\nendpoint = "http://192.0.2.1"\n',
      environment: { TS2OTEL_OTLP__ENDPOINT: "" },
    });
    expect(config.otlp.endpoint).toBe("http://192.0.2.1");
    expect(origins.get("otlp.endpoint")).toMatchObject({ from: "file" });
  });

  test.each([
    ["TS2OTEL_STREAMING__TOKN", "Did you mean TS2OTEL_STREAMING__TOKEN?"],
    ["TS2OTEL_STREAMING_TOKEN", "Did you mean TS2OTEL_STREAMING__TOKEN?"],
    ["TS2OTEL_STREAMING__TOKEN_FIL", "Did you mean TS2OTEL_STREAMING__TOKEN_FILE?"],
    ["TS2OTEL_CONFG", "Did you mean TS2OTEL_CONFIG?"],
    ["ts2otel_log_level", "Did you mean TS2OTEL_LOG_LEVEL?"],
    ["TS2OTEL_OTLP__HEADERS", "Set one variable per entry: TS2OTEL_OTLP__HEADERS__NAME=text."],
    [
      "TS2OTEL_SOMETHING_ELSE_ALTOGETHER",
      "Remove it. docs/configuration.md lists every variable, and tailscale2otel check every setting.",
    ],
  ])("%s is unknown, with a warning and its remedy", (variable, remedy) => {
    const { warnings, problems } = inspectIn(directory, {
      set: soundSettings,
      environment: { ...soundEnvironment, [variable]: "s3cr3t-value" },
    });
    expect(problems).toEqual([]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toStartWith(`${variable}: `);
    expect(warnings[0]).toEndWith(remedy);
    expect(warnings[0]).not.toContain("s3cr3t");
  });

  test.each([
    ["true", true],
    ["TRUE", true],
    ["1", true],
    [" false ", false],
    ["0", false],
  ])("%j is a boolean", (text, value) => {
    const { config, problems } = inspectIn(directory, {
      set: soundSettings,
      environment: { ...soundEnvironment, TS2OTEL_OTLP__LOGS__RECORD_UID: text },
    });
    expect(problems).toEqual([]);
    expect(config.otlp.logs.record_uid).toBe(value);
  });

  test("TS2OTEL_CONFIG is known", () => {
    writeFileSync(join(directory, "named.toml"), 'log_level = "debug"\n');
    const { config, warnings } = inspectIn(directory, {
      set: soundSettings,
      environment: { ...soundEnvironment, TS2OTEL_CONFIG: "named.toml" },
    });
    expect(config.log_level).toBe("debug");
    expect(warnings).toEqual([]);
  });

  test("that of the installer is known, but is not a setting", () => {
    const environment = { ...soundEnvironment, TS2OTEL_INSTALL_BASE_URL: "https://mirror.example.com" };
    expect(inspectIn(directory, { set: soundSettings, environment })).toMatchObject({ problems: [], warnings: [] });
  });
});

describe("standard variables", () => {
  test("apply if the program's own setting is not given", () => {
    const { config, origins, warnings } = inspectIn(directory, {
      set: soundSettings.filter((one) => !one.startsWith("otlp.")),
      environment: {
        ...soundEnvironment,
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://192.0.2.7:4318",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "http://192.0.2.8/custom",
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
        OTEL_EXPORTER_OTLP_HEADERS: "Authorization=Basic%20abc, X-Tenant = a=b",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS: "X-M=1",
        OTEL_EXPORTER_OTLP_COMPRESSION: "none",
        OTEL_EXPORTER_OTLP_TIMEOUT: "2500",
      },
    });
    expect(warnings).toEqual([]);
    expect(config.otlp).toMatchObject({
      endpoint: "http://192.0.2.7:4318",
      protocol: "http/protobuf",
      headers: { Authorization: "Basic abc", "X-Tenant": "a=b" },
      compression: "none",
      timeout: 2500,
      logs: { endpoint: "http://192.0.2.8/custom" },
      metrics: { headers: { "X-M": "1" } },
    });
    expect(origins.get("otlp.timeout")).toEqual({ from: "environment", variable: "OTEL_EXPORTER_OTLP_TIMEOUT" });
  });

  test("yield to the file, and to a map that has an entry", () => {
    const { config } = inspectIn(directory, {
      toml: '[otlp]\nendpoint = "http://192.0.2.1"\nheaders = { X-Own = "1" }\n',
      environment: { OTEL_EXPORTER_OTLP_ENDPOINT: "http://192.0.2.7", OTEL_EXPORTER_OTLP_HEADERS: "a=b" },
    });
    expect(config.otlp.endpoint).toBe("http://192.0.2.1");
    expect(config.otlp.headers).toEqual({ "X-Own": "1" });
  });

  test("name the service and its attributes unless the program's own setting does", () => {
    const environment = {
      OTEL_SERVICE_NAME: "edge",
      OTEL_RESOURCE_ATTRIBUTES: "service.name=other,deployment.environment.name=production,cloud.region=eu%2Dwest",
    };
    const { config, origins } = inspectIn(directory, { environment });
    expect(config.resource.attributes).toEqual({
      "service.name": "edge",
      "deployment.environment.name": "production",
      "cloud.region": "eu-west",
    });
    expect(origins.get("resource.attributes.service.name")).toMatchObject({ variable: "OTEL_SERVICE_NAME" });
    const ours = inspectIn(directory, { environment, toml: '[resource.attributes]\nservice.name = "file"\n' });
    expect(ours.config.resource.attributes).toMatchObject({ "service.name": "file", "cloud.region": "eu-west" });
  });

  test("choose the temporality, in upper or lower case", () => {
    const temporalityOf = (written: string) => {
      const environment = { ...soundEnvironment, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: written };
      const { config, warnings } = inspectIn(directory, { set: soundSettings, environment });
      return [config.otlp.metrics.temporality, warnings.length];
    };
    expect(["Delta", "CUMULATIVE", "lowmemory"].map(temporalityOf)).toEqual([
      ["delta", 0],
      ["cumulative", 0],
      ["cumulative", 1],
    ]);
  });

  test("get a warning and are ignored if they are grpc or invalid", () => {
    const { config, problems, warnings } = inspectIn(directory, {
      set: soundSettings,
      environment: {
        ...soundEnvironment,
        OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
        OTEL_EXPORTER_OTLP_TIMEOUT: "soon",
        OTEL_EXPORTER_OTLP_HEADERS: "s3cr3t-without-a-name",
      },
    });
    expect(problems).toEqual([]);
    expect(config.otlp).toMatchObject({ protocol: "http/protobuf", timeout: 10_000, headers: {} });
    expect(warnings).toHaveLength(3);
    expect(warnings[0]).toStartWith('OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported, so http/protobuf is used.');
    expect(warnings.join()).not.toContain("s3cr3t");
  });
});

describe("the state directory", () => {
  const pathWith = (system: object, environment: Record<string, string> = {}) => {
    const sources = sourcesIn(directory, { set: soundSettings, environment: { ...soundEnvironment, ...environment } });
    return loadConfig({ ...sources, system: { ...sources.system, ...system } }).config.state.path;
  };

  test("follows the conventions of the platform", () => {
    expect(pathWith({})).toBe("/home/ann/.local/state/tailscale2otel");
    expect(pathWith({}, { XDG_STATE_HOME: "/xdg" })).toBe("/xdg/tailscale2otel");
    expect(pathWith({}, { XDG_STATE_HOME: "relative" })).toBe("/home/ann/.local/state/tailscale2otel");
    expect(pathWith({ uid: 0 })).toBe("/var/lib/tailscale2otel");
    expect(pathWith({ platform: "darwin" })).toBe("/home/ann/Library/Application Support/tailscale2otel");
    expect(pathWith({ platform: "win32" }, { LOCALAPPDATA: "/local" })).toBe("/local/tailscale2otel");
  });

  test("is a problem, reported where it was set, if run could not use it, unless the journal is in a database", () => {
    const sources = sourcesIn(directory, { set: [...soundSettings, "state.path=/x"], environment: soundEnvironment });
    const whyUnusableState = (path: string) =>
      path === "/x" ? { message: "cannot use it", remedy: "Use another." } : undefined;
    const { problems } = inspectConfig({ ...sources, whyUnusableState });
    expect(problems.map(describeFinding)).toEqual(["--set state.path: cannot use it. Use another."]);
    expect(loadConfig({ ...sources, assignments: soundSettings, whyUnusableState }).config.state.path).not.toBe("/x");
    const inDatabase = [...sources.assignments, "state.url=postgres://me@localhost/flows"];
    expect(inspectConfig({ ...sources, assignments: inDatabase, whyUnusableState }).problems).toEqual([]);
  });

  test("is relative to the working directory, and :memory: is not a directory", () => {
    expect(pathWith({}, { TS2OTEL_STATE__PATH: "here" })).toBe(join(directory, "here"));
    expect(pathWith({}, { TS2OTEL_STATE__PATH: ":memory:" })).toBe(":memory:");
  });
});
