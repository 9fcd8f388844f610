import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { loadConfig, loadSections } from "../../src/config/index.ts";
import { ConfigError } from "../../src/errors.ts";
import { healthPaths, ingestPaths } from "../../src/receivers/hec/index.ts";
import { inspectIn, soundEnvironment, soundSettings, sourcesIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

const fiveMistakes = `log_level = "verbose"

[streaming]
enabled = true
listen = 8088
tokn = "s3cr3t-value"
request_timeout = 30

[otlp]
endpoint = "collector.example.com:4318"
`;

test("reports five mistakes in one file as five problems, each with its line and fix", () => {
  const { problems, warnings } = inspectIn(directory, { toml: fiveMistakes });
  expect(problems).toEqual([
    'tailscale2otel.toml:1: log_level: invalid value "verbose". Use "debug", "info", "warn" or "error", for example log_level = "info".',
    'tailscale2otel.toml:5: streaming.listen: invalid address 8088. Use "host:port", "[v6]:port" or ":port", for example listen = ":8088".',
    "tailscale2otel.toml:6: streaming.tokn: unknown setting. Did you mean streaming.token?",
    'tailscale2otel.toml:7: streaming.request_timeout: invalid duration 30. Use a duration from 100ms to 1h, for example request_timeout = "30s".',
    'tailscale2otel.toml:10: otlp.endpoint: invalid URL "collector.example.com:4318". Use a URL that begins with http:// or https://, for example endpoint = "http://collector.example.com:4318".',
  ]);
  expect(warnings).toEqual([]);
});

test("loadConfig throws all of them at once", () => {
  try {
    loadConfig(sourcesIn(directory, { toml: fiveMistakes, set: ["state.retention=soon"] }));
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems).toHaveLength(6);
    expect((error as ConfigError).problems.at(-1)).toStartWith('--set state.retention: invalid duration "soon"');
  }
});

const singleMistakes: readonly [toml: string, problem: string][] = [
  ["steaming = 1", "tailscale2otel.toml:1: steaming: unknown setting."],
  ["[steaming]\na = 1\nb = 2", "Did you mean streaming?"],
  ["streaming = true", "tailscale2otel.toml:1: streaming: this is a section, not a setting."],
  ["streaming = true", "Write [streaming] on a line of its own, and its settings below it: enabled, listen, "],
  ["rollup_top_n = 5", "Did you mean cardinality.flow.rollup_top_n?"],
  [
    "[webhook.tls]\nqqqqqqqqqqqqqqqqq = 1",
    "In [webhook.tls] there are: cert_file, key_file, tailscale. To see every setting, run: tailscale2otel check",
  ],
  ["zzz = 1", "At the top level there are: log_level, log_format, tailscale, "],
  ["[streaming]\nenabled = 'yes'", 'invalid boolean "yes". Use true or false, for example enabled = true.'],
  ["[streaming]\nenabled = 1", "tailscale2otel.toml:2: streaming.enabled: invalid boolean 1."],
  ["[streaming]\nlisten = '127.0.0.1:70000'", "invalid address"],
  ["[streaming]\npath = 'events'", "a path that begins with /, without a query"],
  ["[streaming]\npath = '/events?x=1'", "a path that begins with /, without a query"],
  [
    "[streaming]\nmax_inflight_bytes = '64M'",
    'invalid size "64M". Use a size of at least 1MiB, for example max_inflight_bytes = "256MiB".',
  ],
  ["[streaming]\nmax_inflight_bytes = 10", "of at least 1MiB"],
  ["[streaming]\nmax_concurrent_requests = 0", "a whole number from 1 to 1024"],
  ["[streaming]\nmax_concurrent_requests = 1.5", "invalid number 1.5"],
  ["[streaming]\ndecompress = 'zst'", 'for example decompress = "zstd"'],
  ["[streaming]\ndecompress = ['gzip']", "invalid value: a list"],
  ["[streaming]\ndecompress = { a = 1 }", "invalid value: a table"],
  ["[streaming]\nrequest_timeout = 1979-05-27", "invalid duration: a date"],
  ["[streaming]\nrequest_timeout = '30'", 'for example request_timeout = "30s"'],
  ["[streaming]\nrequest_timeout = '10d'", "from 100ms to 1h"],
  ["[otlp]\nprotocol = 'grpc'", 'Use "http/protobuf", "http/json" or "stdout"'],
  ["[otlp.headers]\n'X Bad' = 'x'", "otlp.headers.X Bad: invalid header name"],
  [
    "[otlp.headers]\nX-Tenant = 12",
    'the value is not text. Use header names with a text each, for example X-Tenant = "text".',
  ],
  ["[otlp.headers]\nContent-Type = 'x'", "this header is set by the program"],
  ['[otlp.headers]\nA = "x\\r\\ny"', "contains a character that headers cannot have"],
  ["otlp.headers = 'a=b'", "otlp.headers: invalid table (not shown)"],
  ["resource.attributes = 1", "resource.attributes: invalid table 1"],
  ["[tailscale]\ntailnet = ''", 'tailscale.tailnet: invalid text ""'],
  ["[otlp.tls]\nca_file = '/nonexistent/ca.pem'", "cannot read /nonexistent/ca.pem: there is no such file"],
];

test.each(singleMistakes)("%j is refused", (toml, problem) => {
  const { problems } = inspectIn(directory, { toml });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(problem);
});

describe("contradictions", () => {
  const contradictions: readonly [set: string[], problem: string][] = [
    [
      ["streaming.token=", "streaming.require_token=true"],
      "--set streaming.require_token: a token is required, but streaming.token is empty. Set streaming.token or streaming.token_file, or streaming.require_token = false.",
    ],
    [
      ["otlp.grafana_cloud.instance_id=123"],
      "--set otlp.grafana_cloud.instance_id: it is set, but otlp.grafana_cloud.token is not. Set otlp.grafana_cloud.token too, or remove otlp.grafana_cloud.instance_id.",
    ],
    [
      ["otlp.tls.key_file=/dev/null"],
      "--set otlp.tls.key_file: it is set, but otlp.tls.cert_file is not. Set otlp.tls.cert_file too, or remove otlp.tls.key_file.",
    ],
  ];

  test.each(contradictions)("%j", (set, problem) => {
    expect(inspectIn(directory, { set: [...soundSettings, ...set] }).problems).toEqual([problem]);
  });

  test.each([
    [
      ["admin.listen=127.0.0.1:8088"],
      "--set admin.listen: admin.listen (127.0.0.1:8088) and streaming.listen (127.0.0.1:8088) overlap, so only one of them can be bound. Change one of them.",
    ],
    [
      ["admin.listen=LOCALHOST:1", "streaming.listen=localhost:1"],
      "--set admin.listen: admin.listen (LOCALHOST:1) and streaming.listen (localhost:1) overlap",
    ],
    [
      ["streaming.listen=127.0.0.1:9091"],
      "--set streaming.listen: admin.listen (127.0.0.1:9091) and streaming.listen (127.0.0.1:9091) overlap",
    ],
    [["webhook.enabled=true", "webhook.listen=127.0.0.1:9464"], ""],
    [
      ["webhook.enabled=true", "webhook.listen=0.0.0.0:8", "streaming.listen=:8"],
      "--set webhook.listen: webhook.listen (0.0.0.0:8) and streaming.listen (:8) overlap",
    ],
  ])("two listeners on one address: %j", (set, problem) => {
    const base = set.some((one) => one.startsWith("streaming.listen")) ? [] : ["streaming.listen=127.0.0.1:8088"];
    const { problems } = inspectIn(directory, {
      set: [...soundSettings, ...base, ...set],
      environment: soundEnvironment,
    });
    expect(problems[0] ?? "").toStartWith(problem);
    expect(problems).toHaveLength(problem === "" ? 0 : 1);
  });

  test('"stream" without the receiver, for each log', () => {
    const { problems } = inspectIn(directory, {
      set: ["collectors.flowlogs.source=stream", "collectors.auditlogs.source=stream"],
    });
    expect(problems).toHaveLength(2);
    expect(problems[0]).toContain('"stream" needs the receiver, but streaming.enabled is false');
  });

  test("draws no conclusions from an invalid setting", () => {
    const wrong = inspectIn(directory, {
      toml: "[streaming]\nenabled = 'yes'\n[collectors.flowlogs]\nsource = 'stream'\n",
    });
    expect(wrong.problems).toHaveLength(1);
    const mistyped = inspectIn(directory, {
      toml: "[streaming]\nenabled = true\nrequire_token = true\ntokn = 'x'\n",
    });
    expect(mistyped.problems).toHaveLength(1);
  });
});

describe("settings that run would refuse", () => {
  const fixture = (name: string): string => join(import.meta.dirname, "../support/tls", `${name}.pem`);
  const certificate = (cert: string, key: string, receiver = "streaming"): string[] => [
    `${receiver}.tls.cert_file=${cert}`,
    `${receiver}.tls.key_file=${key}`,
  ];
  const webhook = ["webhook.enabled=true"];

  const refused: readonly [set: string[], problem: string][] = [
    [["admin.listen=127.0.0.1:8088", "streaming.listen=:8088"], "overlap, so only one of them can be bound"],
    [["admin.listen=127.0.0.1:8088", "streaming.listen=0.0.0.0:8088"], "overlap"],
    [["admin.listen=localhost:8088", "streaming.listen=127.0.0.1:8088"], "overlap"],
    [["admin.listen=[::1]:8088", "streaming.listen=[::]:8088"], "overlap"],
    [[...webhook, "webhook.listen=127.0.0.1:8088"], "or make both the same to share a listener"],
    [[...webhook, "webhook.listen=:8088", "webhook.path=/services/collector"], "belongs to the HEC receiver"],
    [
      [...webhook, "webhook.listen=:8088", "webhook.path=/services/collector/event/1.0/"],
      "belongs to the HEC receiver",
    ],
    [
      [...webhook, "webhook.listen=:8088", "streaming.path=/x", "webhook.path=/services/collector/health"],
      "belongs to the HEC receiver",
    ],
    [["streaming.path=/services/collector/health/1.0"], "HEC's own health check"],
    [certificate(fixture("first.cert"), fixture("second.key")), "is not the key of the certificate in"],
    [certificate("/dev/null", fixture("first.key")), "contains no PEM certificate"],
    [certificate(fixture("first.cert"), "/dev/null"), "contains no PEM private key"],
    [certificate(fixture("first.cert"), fixture("second.key"), "otlp"), "is not the key of the certificate in"],
    [[...webhook, "webhook.public_url=http://hooks.example.com/x"], "public https addresses only"],
    [[...webhook, "webhook.public_url=https://hooks.example.com:8443/x"], "ports 443 and 80 only"],
    [[...webhook, "webhook.public_url=https://[fd7a:115c:a1e0::1]/x"], "public https addresses only"],
    [["otlp.endpoint=http://192.0.2.1:4318/v1"], "it ends with a path of OTLP"],
    [["admin.listen=9091"], "for example --set admin.listen=127.0.0.1:9091."],
    [["otlp.endpoint=http://192.0.2.1:4318/v1/logs"], "it ends with a path of OTLP"],
    [["otlp.endpoint=http://192.0.2.1:4318/otlp/v1/metrics/"], "it ends with a path of OTLP"],
  ];

  test.each(refused)("%j", (set, problem) => {
    const { problems } = inspectIn(directory, { set: [...soundSettings, ...set], environment: soundEnvironment });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
  });

  test.each([
    [["admin.listen=127.0.0.1:8088", "streaming.listen=[::1]:8088"]],
    [["admin.listen=127.0.0.1:0", "streaming.listen=:0"]],
    [certificate(fixture("first.cert"), fixture("first.key"))],
    [["streaming.max_body_bytes=-2"]],
  ])("and %j is accepted", (set) => {
    expect(inspectIn(directory, { set: [...soundSettings, ...set], environment: soundEnvironment }).problems).toEqual(
      [],
    );
  });

  test("the port of OTLP over gRPC gets a warning", () => {
    const set = [...soundSettings, "otlp.endpoint=http://192.0.2.1:4317"];
    const { problems, warnings } = inspectIn(directory, { set, environment: soundEnvironment });
    expect(problems).toEqual([]);
    expect(warnings).toEqual([
      "otlp.endpoint: port 4317 is usually OTLP over gRPC, which is not supported. Use the port for OTLP over HTTP, usually 4318.",
    ]);
  });

  test("the paths checked for the HEC receiver are those that it serves", () => {
    for (const path of [...ingestPaths("/services/collector/event"), ...healthPaths]) {
      const set = [...soundSettings, ...webhook, "webhook.listen=:8088", `webhook.path=${path}`];
      expect(inspectIn(directory, { set, environment: soundEnvironment }).problems).toHaveLength(1);
    }
  });
});

describe("commands that need a few settings", () => {
  test.each([
    ["a file that is not there", { environment: { TS2OTEL_CONFIG: "typo.toml", TS2OTEL_STATE__PATH: "/x" } }],
    ["a file that is not TOML, though nobody named it", { toml: "[state\n" }],
    ["a mistyped key of theirs", { toml: "[state]\npth = '/x'\n" }],
    ["an invalid value of theirs", { toml: "[state]\npath = 1\n" }],
    ["a wrong flag, whatever it is about", { set: ["otlp.timeout=soon"] }],
  ])("refuse %s", (_, given) => {
    expect(() => loadSections(sourcesIn(directory, given), ["state", "admin"])).toThrow(ConfigError);
  });

  test("leave other problems to check", () => {
    const { problems } = loadSections(sourcesIn(directory, { toml: "[otlp]\ntimeout = 'soon'\n" }), ["state"]);
    expect(problems).toHaveLength(1);
  });
});

test("says how to start if nothing is enabled", () => {
  const { problems } = inspectIn(directory, {});
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith("streaming.enabled: there is nothing to receive or poll. Run tailscale2otel init, ");
  expect(problems[0]).toContain("streaming.enabled = true, streaming.token");
  expect(problems[0]).toContain("tailscale2otel demo");
});

test("a number where text is required must be quoted", () => {
  const { problems } = inspectIn(directory, { toml: "[streaming]\ntoken = 12345\n" });
  expect(problems[0]).toContain("Use text: put it in quotes, for example token = ");
});

test("the address of one signal without a path is used as written, with a warning", () => {
  const set = [...soundSettings, "otlp.logs.endpoint=http://192.0.2.1:4318"];
  const { warnings } = inspectIn(directory, { set, environment: soundEnvironment });
  expect(warnings.join()).toContain("used as written. Did you mean http://192.0.2.1:4318/v1/logs?");
});

describe("a file that cannot be used", () => {
  test.each([
    ["YAML", "# comment\nstreaming:\n  token: s3cr3t-value\n"],
    ["YAML", "---\nstreaming: {enabled: true}\n"],
    ["JSON", '{\n  "streaming": { "token": "s3cr3t-value" }\n}\n'],
  ])("in another format is recognized: %s", (format, toml) => {
    expect(inspectIn(directory, { toml }).problems).toEqual([
      `tailscale2otel.toml: it is not TOML; it looks like ${format}. Write tables such as [streaming] and lines such as key = value (docs/configuration.example.toml).${format === "YAML" ? " To convert a file of the Go program, run: tailscale2otel init --from tailscale2otel.toml" : ""}`,
    ]);
  });

  test.each([
    ["[streaming] is already defined above", "[streaming]\nenabled = true\n[streaming]\npath = '/x'\n"],
    ["enabled is already defined above", "[streaming]\nenabled = true\nenabled = true\n"],
  ])("with a duplicate says which: %s", (reason, toml) => {
    expect(inspectIn(directory, { toml }).problems[0]).toMatch(
      new RegExp(`^tailscale2otel.toml:3: column \\d+: invalid TOML: ${reason.replace(/[[\]]/g, "\\$&")}\\. `),
    );
  });

  test("with invalid TOML is reported with line, column and frame, but no secret", () => {
    const toml = '[streaming]\ntoken = "s3cr3t-value"\nlisten = :8088\n';
    const { problems } = inspectIn(directory, { toml, set: ["streaming.decompress=zip"] });
    expect(problems).toHaveLength(2);
    expect(problems[0]).toStartWith("tailscale2otel.toml:3: column 10: invalid TOML: ");
    expect(problems[0]).toContain("listen = :8088");
    expect(problems[0]).not.toContain("token");
    expect(problems.join()).not.toContain("s3cr3t-value");
  });

  test.each(["listen = :8088", "token = abc", "public_url = https://example.com"])(
    "with unquoted text is told to quote it: %s",
    (line) => {
      const { problems } = inspectIn(directory, { toml: `[streaming]\n${line}\n` });
      expect(problems[0]).toContain("invalid TOML: invalid value. Fix this line (a text needs quotes):\n    2 | ");
    },
  );

  test.each([
    ["[streaming\nenabled = true\n", "1: column 1", "[", "[streaming"],
    ["log_level = 'info'\n[webhook.tls\ncert_file = 'x'\n", "2: column 1", "[", "[webhook.tls"],
    ["[webhook]\nsubscriptions = [ # ]\n  'a]',\n\n[otlp]\n", "2: column 17", "[", "subscriptions = [ # ]"],
    ["[webhook]\nsubscriptions = ['a'\nenabled = true\n", "2: column 17", "[", "subscriptions = ['a'"],
    ["x = [", "1: column 5", "[", "x = ["],
    ["[resource]\nattributes = { a = 'b'\n[otlp]\n", "2: column 14", "{", "attributes = { a = 'b'"],
  ])("with an unclosed bracket is wrong at that bracket: %j", (toml, place, bracket, shown) => {
    const closing = bracket === "[" ? "]" : "}";
    expect(inspectIn(directory, { toml }).problems).toEqual([
      `tailscale2otel.toml:${place}: invalid TOML: this ${bracket} is never closed. Close it with ${closing}:\n    ${place.split(":")[0]} | ${shown}`,
    ]);
  });

  test("with a mistake inside brackets is wrong at that mistake", () => {
    const { problems } = inspectIn(directory, { toml: "[webhook]\nsubscriptions = [\n  'a' 'b',\n]\n" });
    expect(problems[0]).toStartWith("tailscale2otel.toml:3: column 7: invalid TOML: expected comma");
  });

  test("is reported if it is named and does not exist", () => {
    const { problems } = inspectIn(directory, { environment: { TS2OTEL_CONFIG: "missing.toml" } });
    expect(problems).toEqual([
      "missing.toml: cannot be read: there is no such file or directory. Name a regular, readable TOML file with --config or TS2OTEL_CONFIG.",
    ]);
  });

  test("is not read to its end if it is endless", () => {
    const { problems } = inspectIn(directory, { environment: { TS2OTEL_CONFIG: "/dev/zero" } });
    expect(problems[0]).toContain("it is not a regular file");
  });
});

describe("flags", () => {
  test.each([
    ["streaming.tokn=x", "--set streaming.tokn: unknown setting."],
    ["streaming.token", "--set streaming.token: the value is missing. Use --set streaming.token=value."],
    ["nokey", "--set nokey: unknown setting. Use --set key=value. At the top level there are: log_level, "],
    ["nokey=x", "--set nokey: unknown setting. At the top level there are: log_level, "],
    ["nokey=x", "To see every setting, run: tailscale2otel check"],
    ["=x", '--set "": the name of the setting is missing. Use --set key=value, for example --set log_level=debug.'],
    ["", '--set "": the name of the setting is missing.'],
    ["otlp=x", "--set otlp: this is a section, not a setting. Use --set otlp.NAME=value; the names are: endpoint, "],
    ["otlp", "--set otlp: this is a section"],
    ["streaming.enabled=maybe", "for example --set streaming.enabled=true."],
    ["otlp.headers=x", 'for example --set otlp.headers=\'{ "X-Scope-OrgID" = "tenant-1" }\'.'],
  ])("%j is refused", (assignment, problem) => {
    const { problems } = inspectIn(directory, { set: [...soundSettings, assignment], environment: soundEnvironment });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
  });
});

test("names an invalid variable and an example of a valid value", () => {
  const { problems } = inspectIn(directory, { environment: { TS2OTEL_OTLP__TIMEOUT: "10" } });
  expect(problems).toEqual([
    'TS2OTEL_OTLP__TIMEOUT: otlp.timeout: invalid duration "10". Use a duration from 100ms to 10m, for example TS2OTEL_OTLP__TIMEOUT=10s.',
  ]);
});
