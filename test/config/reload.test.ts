import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Config, describeFinding } from "../../src/config/index.ts";
import { appliedAfter, inspectReload, mergeReload, secretFilesOf } from "../../src/config/reload.ts";
import { isLoopback, parseListen } from "../../src/lib/listen.ts";
import { seeded } from "../support/random.ts";
import { inspectIn, soundEnvironment, soundSettings, sourcesIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

const tls = (name: string): string => join(import.meta.dirname, "../support/tls", `${name}.pem`);
const pair = (name: string): string[] => [
  `streaming.tls.cert_file=${tls(`${name}.cert`)}`,
  `streaming.tls.key_file=${tls(`${name}.key`)}`,
];

function configWith(...set: string[]) {
  const { config, problems } = inspectIn(directory, { set: [...soundSettings, ...set], environment: soundEnvironment });
  expect(problems).toEqual([]);
  return config;
}

describe("a restart is needed", () => {
  test("for nothing if nothing has changed", () => {
    expect(mergeReload(configWith(), configWith()).waiting).toEqual([]);
  });

  test("not for the log level, tokens and other certificates", () => {
    const started = configWith(...pair("first"), "webhook.secret=a-secret");
    const next = configWith(
      ...pair("second"),
      "otlp.tls.ca_file=/dev/null",
      "log_level=debug",
      "streaming.token_previous=old-token",
      "webhook.secret=b-secret",
      "webhook.secret_previous=a-secret",
    );
    expect(mergeReload(started, next).waiting).toEqual([]);
  });

  test("between plain HTTP and TLS", () => {
    const next = configWith(...pair("first"));
    expect(mergeReload(configWith(), next).waiting).toEqual(["streaming.tls.cert_file", "streaming.tls.key_file"]);
    const tailscale = configWith("streaming.tls.tailscale=true");
    expect(mergeReload(configWith(), tailscale).waiting).toEqual(["streaming.tls.tailscale"]);
    // Only the certificate differs.
    expect(mergeReload(tailscale, next).waiting).toEqual([]);
  });

  test("to add credentials where there were none, and to remove them", () => {
    const [without, apikey] = [configWith(), configWith("tailscale.auth.apikey=tskey-api-a")];
    expect(mergeReload(without, apikey)).toMatchObject({ waiting: ["tailscale.auth.apikey"], config: without });
    expect(mergeReload(apikey, without)).toMatchObject({ waiting: ["tailscale.auth.apikey"], config: apikey });
    const other = configWith("tailscale.auth.apikey=tskey-api-b");
    expect(mergeReload(apikey, other)).toMatchObject({ waiting: [], config: other });
  });

  test("not for headers of one signal, credentials of Grafana Cloud, and the socket of tailscaled", () => {
    const set = (name: string) => [
      `otlp.metrics.headers.x-a=${name}`,
      `otlp.logs.headers.x-a=${name}`,
      `otlp.grafana_cloud.token=${name}`,
      "otlp.grafana_cloud.instance_id=123",
      `tailscale.socket=/run/${name}.sock`,
      "streaming.tls.tailscale=true",
    ];
    const next = configWith(...set("two"));
    expect(mergeReload(configWith(...set("one")), next)).toMatchObject({ waiting: [], config: next });
  });

  test.each([
    ["otlp.endpoint", "http://192.0.2.2:4318"],
    ["otlp.metrics.endpoint", "http://192.0.2.2:4318/v1/metrics"],
    ["otlp.logs.endpoint", "http://192.0.2.2:4318/v1/logs"],
    ["otlp.protocol", "http/json"],
  ])("for headers if %s changes with them", (key, value) => {
    const started = configWith("otlp.headers.x-a=one");
    const { config, waiting } = mergeReload(started, configWith("otlp.headers.x-a=two", `${key}=${value}`));
    expect(waiting.toSorted()).toEqual([key, "otlp.headers"].toSorted());
    expect(config.otlp.headers).toEqual({ "x-a": "one" });
  });

  test("for credentials if the tailnet changes with them", () => {
    const of = (tailnet: string) =>
      configWith(`tailscale.tailnet=${tailnet}.example.com`, `tailscale.auth.apikey=tskey-api-${tailnet}`);
    const { config, waiting } = mergeReload(of("one"), of("two"));
    expect(waiting).toEqual(["tailscale.tailnet", "tailscale.auth.apikey"]);
    expect(config.tailscale.auth.apikey).toBe("tskey-api-one");
  });

  test("for everything else", () => {
    expect(mergeReload(configWith(), configWith("streaming.listen=:1", "otlp.timeout=1s")).waiting).toEqual([
      "streaming.listen",
      "otlp.timeout",
    ]);
  });
});

test("each file of a secret or certificate is listed once", () => {
  const file = join(directory, "secret");
  writeFileSync(file, "s3cr3t");
  const environment = { TS2OTEL_STREAMING__TOKEN_FILE: file, TS2OTEL_STREAMING__TOKEN_PREVIOUS_FILE: file };
  expect(secretFilesOf(inspectIn(directory, { set: soundSettings, environment }))).toEqual([file]);
  expect(secretFilesOf(inspectIn(directory, { set: soundSettings, environment: soundEnvironment }))).toEqual([]);
  const pem = ["ca", "cert", "key"].map((name) => join(directory, `${name}.pem`));
  const set = [...soundSettings, ...["ca", "cert", "key"].map((name, at) => `otlp.tls.${name}_file=${pem[at]}`)];
  expect(secretFilesOf(inspectIn(directory, { set, environment: soundEnvironment }))).toEqual(pem);
});

/** Reloads `edited` into `started`; both are complete files. */
function reloadFrom(started: string, edited: string) {
  const before = inspectIn(directory, { toml: started });
  expect(before.problems).toEqual([]);
  const { config, problems, waiting } = inspectReload(before.config, sourcesIn(directory, { toml: edited }));
  return { config, problems: problems.map(describeFinding), waiting };
}

const streamed = "[collectors]\nflowlogs.source = 'stream'\nauditlogs.source = 'stream'\n[streaming]\nenabled = true\n";

test("a reload warns about the settings in force, not about those that wait for a restart", () => {
  const token = (name: string) => `${streamed}token = '${name}'\n[admin]\nlisten = ':9091'\ntoken = 'b-token'\n`;
  const before = inspectIn(directory, { toml: token("a-token") });
  const removed = `${streamed}[admin]\nenabled = true\n`;
  const { config, problems, warnings, waiting } = inspectReload(before.config, sourcesIn(directory, { toml: removed }));
  expect(problems).toEqual([]);
  expect(config.streaming.token).toBe("a-token");
  expect(waiting).toEqual(["streaming.token", "admin.listen", "admin.token"]);
  const lines = warnings.map(describeFinding);
  expect(lines.filter((line) => line.includes("it was removed"))).toEqual([
    "streaming.token: it was removed, but the listener keeps requiring the token in force until a restart. Restart to run without it.",
    "admin.token: it was removed, but the listener keeps requiring the token in force until a restart. Restart to run without it.",
  ]);
});

describe("a changed file is refused and none of it applied", () => {
  const started = `log_level = 'info'\n${streamed}token = 'a-token'\nrequire_token = true\n`;

  test.each([
    ["if a value in it is wrong", started.replace("'info'", "'loud'"), "log_level"],
    ["if it contradicts itself, though what would run does not", started.replace("token = 'a-token'\n", ""), "token"],
  ])("%s", (_, edited, what) => {
    const before = inspectIn(directory, { toml: started });
    expect(before.problems).toEqual([]);
    const { problems, ...rest } = inspectReload(before.config, sourcesIn(directory, { toml: edited }));
    expect(problems.map(describeFinding)).toEqual([expect.stringContaining(what)]);
    expect(rest).toMatchObject({ warnings: [], waiting: [], differing: [] });
  });
});

test("a reload warns about what it read and about the settings in force from then on", () => {
  const set = ["otlp.tls.insecure_skip_verify=true", "otlp.endpoint=https://192.0.2.1"];
  const environment = { ...soundEnvironment, TS2OTEL_STREAMING__NONSENSE: "1" };
  const sources = sourcesIn(directory, { set: [...soundSettings, ...set], environment });
  const keys = inspectReload(configWith("otlp.endpoint=https://192.0.2.1"), sources).warnings.map(({ key }) => key);
  expect(keys).toEqual(["TS2OTEL_STREAMING__NONSENSE", "otlp.tls.insecure_skip_verify"]);
});

test("a setting that waits for a restart keeps its origin, which is the default if it had none", () => {
  const toml = (host: string, headers: string, more = "") =>
    `log_level = 'info'\n${more}[otlp]\nendpoint = 'http://${host}:4318'\nheaders = { ${headers} }\n${streamed}token = 'x'\n`;
  const before = inspectIn(directory, { toml: toml("192.0.2.1", "x-a = '1'") });
  const edited = toml("192.0.2.2", "x-a = '2', x-b = '2'", "state.retention = '9h'\n\n").replace("'info'", "'warn'");
  const { origins, config } = appliedAfter(
    before,
    inspectReload(before.config, sourcesIn(directory, { toml: edited })),
  );
  const placeOf = (key: string) => {
    const origin = origins.get(key);
    return origin?.from === "file" ? origin.line : origin?.from;
  };
  expect([config.log_level, origins.has("otlp.headers.x-b")]).toEqual(["warn", false]);
  expect(["log_level", "state.retention", "otlp.endpoint", "otlp.headers.x-a", "streaming.token"].map(placeOf)).toEqual(
    [1, "default", 3, 4, 12],
  );
});

describe("a reload applies a mixture of old and new settings, which must be safe", () => {
  test("a listener on every address does not lose its token because the edited file moves it to loopback", () => {
    const started =
      "listen = '0.0.0.0:8088'\ntoken = 'a-token'\nrequire_token = true\n[admin]\nlisten = '0.0.0.0:9091'\ntoken = 'b-token'\n";
    const edited = "listen = '127.0.0.1:8088'\n[admin]\nlisten = '127.0.0.1:9091'\n";
    const { config, problems, waiting } = reloadFrom(streamed + started, streamed + edited);
    expect(problems).toEqual([]);
    expect(config.streaming).toMatchObject({ listen: "0.0.0.0:8088", token: "a-token", require_token: true });
    expect(config.admin).toMatchObject({ listen: "0.0.0.0:9091", token: "b-token" });
    expect(waiting).toEqual([
      "streaming.listen",
      "streaming.token",
      "streaming.require_token",
      "admin.listen",
      "admin.token",
    ]);
  });

  test("credentials for a new address are not sent to the old one", () => {
    const backend = (host: string, key: string) =>
      `[otlp]\nendpoint = 'https://${host}'\nheaders = { x-key = '${key}' }\n`;
    const api = (host: string, key: string) => `[tailscale]\nbase_url = 'https://${host}'\nauth.apikey = '${key}'\n`;
    const { config, waiting } = reloadFrom(
      backend("one.example.com", "one") + api("one.example.com", "tskey-api-one"),
      backend("two.example.com", "two") + api("two.example.com", "tskey-api-two"),
    );
    expect(config.otlp).toMatchObject({ endpoint: "https://one.example.com", headers: { "x-key": "one" } });
    expect(config.tailscale.auth.apikey).toBe("tskey-api-one");
    expect(waiting).toEqual(["tailscale.base_url", "tailscale.auth.apikey", "otlp.endpoint", "otlp.headers"]);
  });

  test("a mixture that contradicts itself is refused with the reason, although the edited file is valid", () => {
    const files = (name: string) =>
      `tls.cert_file = '${tls(`${name}.cert`)}'\ntls.key_file = '${tls(`${name}.key`)}'\n`;
    const shared = (name: string) => `listen = ':1'\n${files(name)}[webhook]\nenabled = true\nsecret = 'x'\n`;
    const { problems } = reloadFrom(
      `${streamed}token = 'x'\n${shared("first")}listen = ':1'\n${files("first")}`,
      `${streamed}token = 'x'\n${shared("second")}listen = ':2'\n`,
    );
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain("both receivers share an address, but their TLS settings differ");
  });

  test("a certificate that cannot be used does not stop a token from being revoked", () => {
    const toml = (token: string, key: string) =>
      `${streamed}token = '${token}'\ntls.cert_file = '${tls("first.cert")}'\ntls.key_file = '${tls(`${key}.key`)}'\n`;
    const { config, problems } = reloadFrom(toml("a-token", "first"), toml("b-token", "second"));
    expect(problems).toEqual([]);
    expect(config.streaming.token).toBe("b-token");
  });

  test("a token that was revoked before is not accepted again", () => {
    const first = inspectIn(directory, { toml: `${streamed}listen = ':1'\ntoken = 'a-token'\n` }).config;
    const second = inspectReload(
      first,
      sourcesIn(directory, { toml: `${streamed}listen = ':1'\ntoken = 'b-token'\n` }),
    );
    const third = inspectReload(second.config, sourcesIn(directory, { toml: `${streamed}listen = '127.0.0.1:1'\n` }));
    expect(third.config.streaming.token).toBe("b-token");
  });
});

/** How open a listener is: 0 requires a secret or is off, 1 is open to this machine, 2 to everybody. */
function openness({ enabled, listen }: { enabled: boolean; listen: string }, secrets: string): number {
  if (!enabled || secrets !== "") return 0;
  return isLoopback(parseListen(listen)?.hostname) ? 1 : 2;
}

function listenersOf({ streaming, webhook, admin }: Config): readonly number[] {
  return [
    openness(streaming, streaming.token + streaming.token_previous),
    openness(webhook, webhook.secret + webhook.secret_previous),
    openness(admin, admin.token),
  ];
}

const oneOf = (...texts: string[]) => fc.constantFrom("", ...texts);
const hosts = (port: number) => fc.constantFrom(`127.0.0.1:${port}`, `0.0.0.0:${port}`, `[::1]:${port}`, `:${port}`);
const edit = fc.record({
  streaming: fc.record({
    enabled: fc.boolean(),
    listen: hosts(1),
    token: oneOf("a-token", "b-token"),
    token_previous: oneOf("a-token"),
    require_token: fc.boolean(),
    auto_configure: fc.boolean(),
    public_url: oneOf("https://logs.example.com/x"),
  }),
  webhook: fc.record({
    enabled: fc.boolean(),
    listen: hosts(2),
    secret: oneOf("a-secret", "b-secret"),
    secret_previous: oneOf("a-secret"),
    require_secret: fc.boolean(),
    auto_configure: fc.boolean(),
    public_url: oneOf("https://hooks.example.com/x"),
  }),
  admin: fc.record({ enabled: fc.boolean(), listen: hosts(3), token: oneOf("a-token", "b-token") }),
  tailscale: fc.record({ "auth.apikey": oneOf("tskey-api-a", "tskey-api-b") }),
});

function tomlOf(tables: object): string {
  const lines = (table: object) => Object.entries(table).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
  return Object.entries(tables)
    .map(([name, table]) => `[${name}]\n${lines(table as object).join("")}`)
    .join("");
}

test("20 random edits, each reloaded, never leave a listener weaker than a restart would", () => {
  const property = fc.property(fc.array(edit, { minLength: 21, maxLength: 21 }), ([started, ...edits]) => {
    const first = inspectIn(directory, { toml: tomlOf(started ?? {}) });
    fc.pre(first.problems.length === 0);
    let running = first.config;
    for (const toml of edits.map(tomlOf)) {
      const sources = sourcesIn(directory, { toml });
      const { config, problems } = inspectReload(running, sources);
      if (problems.length > 0) continue;
      const restarted = listenersOf(inspectIn(directory, { toml }).config);
      const before = listenersOf(running);
      listenersOf(config).forEach((open, at) => {
        const allowed = Math.max(restarted[at] ?? 0, before[at] ?? 0);
        // A listener may stay as open as it was before, but a reload must not open it further than a restart would.
        if (before[at] === 0) expect(open).toBeLessThanOrEqual(restarted[at] ?? 0);
        expect(open).toBeLessThanOrEqual(allowed);
      });
      expect(config.streaming.require_token && config.streaming.token === "" && config.streaming.enabled).toBe(false);
      expect(config.streaming.auto_configure && config.streaming.token === "").toBe(false);
      running = config;
    }
  });
  fc.assert(property, seeded(40));
}, 120_000);

test("a configuration in a pipe is read at the start only", () => {
  const configPath = join(directory, "pipe");
  // Invalid without the content of the pipe, which must not be reported.
  const set = ["streaming.enabled=true", "streaming.require_token=true"];
  spawnSync("mkfifo", [configPath]);
  const pipe = openSync(configPath, constants.O_RDWR);
  writeSync(pipe, "log_level = 'debug'\n");
  const { problems, isUnread } = inspectReload(configWith(), { ...sourcesIn(directory, { set }), configPath });
  closeSync(pipe);
  expect(isUnread).toBe(true);
  expect(problems.map(({ message }) => message)).toEqual(["cannot be read: it is not a regular file"]);
});
