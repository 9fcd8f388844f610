import { describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/config/index.ts";
import { ConfigError } from "../../src/errors.ts";
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

test("five mistakes in one file are five problems, each with its line, what is allowed, and how to fix it", () => {
  const { problems, warnings } = inspectIn(directory, { toml: fiveMistakes });
  expect(problems).toEqual([
    'tailscale2otel.toml:1: log_level: "verbose" cannot be used here. Allowed: "debug", "info", "warn", "error". Write for example: log_level = "info"',
    'tailscale2otel.toml:5: streaming.listen: 8088 cannot be used here. Allowed: "host:port", "[v6]:port" or ":port", with a port up to 65535. Write for example: listen = ":8088"',
    "tailscale2otel.toml:6: streaming.tokn: there is no such setting. Did you mean streaming.token?",
    'tailscale2otel.toml:7: streaming.request_timeout: 30 cannot be used here. Allowed: a duration such as "500ms", "30s", "5m", "24h" or "7d"; from 100ms to 1h. Write for example: request_timeout = "30s"',
    'tailscale2otel.toml:10: otlp.endpoint: "collector.example.com:4318" cannot be used here. Allowed: an address that begins with http:// or https://. Write for example: endpoint = "http://collector.example.com:4318"',
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
    expect((error as ConfigError).problems.at(-1)).toStartWith('--set state.retention: "soon"');
  }
});

const singleMistakes: readonly [toml: string, problem: string][] = [
  ["steaming = 1", "tailscale2otel.toml:1: steaming: there is no such setting."],
  ["[steaming]\na = 1\nb = 2", "Did you mean streaming?"],
  ["streaming = true", "tailscale2otel.toml:1: streaming: this is a table, and cannot have a value itself."],
  ["streaming = true", "Write [streaming], and its settings below it."],
  ["rollup_top_n = 5", "Did you mean cardinality.flow.rollup_top_n?"],
  ["[webhook.tls]\nqqqqqqqqqqqqqqqqq = 1", "Allowed: cert_file, key_file. Remove"],
  ["zzz = 1", "Remove it; the reference lists every setting."],
  ["[streaming]\nenabled = 'yes'", "Allowed: true or false. Write for example: enabled = true"],
  ["[streaming]\nenabled = 1", "tailscale2otel.toml:2: streaming.enabled: 1 cannot be used here."],
  ["[streaming]\nlisten = '127.0.0.1:70000'", "with a port up to 65535"],
  ["[streaming]\npath = 'events'", "a path that begins with /, without a query"],
  ["[streaming]\npath = '/events?x=1'", "a path that begins with /, without a query"],
  ["[streaming]\nmax_inflight_bytes = '64M'", 'text such as "64MiB"; from 1MiB on'],
  ["[streaming]\nmax_inflight_bytes = 10", "from 1MiB on"],
  ["[streaming]\nmax_concurrent_requests = 0", "a whole number; from 1 to 1024"],
  ["[streaming]\nmax_concurrent_requests = 1.5", "1.5 cannot be used here"],
  ["[streaming]\ndecompress = 'zst'", 'Write for example: decompress = "zstd"'],
  ["[streaming]\ndecompress = ['gzip']", "a list cannot be used here"],
  ["[streaming]\ndecompress = { a = 1 }", "a table cannot be used here"],
  ["[streaming]\nrequest_timeout = 1979-05-27", "a date cannot be used here"],
  ["[streaming]\nrequest_timeout = '30'", 'Write for example: request_timeout = "30s"'],
  ["[streaming]\nrequest_timeout = '10d'", "from 100ms to 1h"],
  ["[otlp]\nprotocol = 'grpc'", 'Allowed: "http/protobuf", "http/json", "stdout"'],
  ["[otlp.headers]\n'X Bad' = 'x'", "otlp.headers.X Bad: this cannot be the name of a header"],
  [
    "[otlp.headers]\nX-Tenant = 12",
    'the value is not text. Allowed: names of headers with a text each. Write for example: X-Tenant = "text"',
  ],
  ["[otlp.headers]\nContent-Type = 'x'", "this header is set by the program"],
  ['[otlp.headers]\nA = "x\\r\\ny"', "holds a character that no header can carry"],
  ["otlp.headers = 'a=b'", "otlp.headers: what is written (not shown) cannot be used here"],
  ["resource.attributes = 1", "resource.attributes: 1 cannot be used here"],
  ["[tailscale]\ntailnet = ''", 'tailscale.tailnet: "" cannot be used here'],
  ["[otlp.tls]\nca_file = '/nonexistent/ca.pem'", "cannot be read: there is no such file"],
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
      "--set streaming.require_token: a token is required, and streaming.token is empty. Set streaming.token or streaming.token_file, or streaming.require_token = false.",
    ],
    [
      ["otlp.grafana_cloud.instance_id=123"],
      "--set otlp.grafana_cloud.instance_id: it is set and otlp.grafana_cloud.token is not. Allowed: both or neither. Set otlp.grafana_cloud.token too, or remove otlp.grafana_cloud.instance_id.",
    ],
    [
      ["otlp.tls.key_file=/dev/null"],
      "--set otlp.tls.key_file: it is set and otlp.tls.cert_file is not. Allowed: both or neither. Set otlp.tls.cert_file too, or remove otlp.tls.key_file.",
    ],
  ];

  test.each(contradictions)("%j", (set, problem) => {
    expect(inspectIn(directory, { set: [...soundSettings, ...set] }).problems).toEqual([problem]);
  });

  test.each([
    [["admin.listen=127.0.0.1:8088"], "--set admin.listen: streaming.listen has the same address. Change one of them."],
    [["admin.listen=LOCALHOST:1", "streaming.listen=localhost:1"], "--set admin.listen: streaming.listen has the same"],
    [["streaming.listen=127.0.0.1:9091"], "--set streaming.listen: admin.listen has the same address."],
    [["webhook.enabled=true", "webhook.listen=127.0.0.1:9464"], ""],
    [
      ["webhook.enabled=true", "webhook.listen=0.0.0.0:8", "streaming.listen=:8"],
      "--set webhook.listen: streaming.listen has the same address.",
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
    expect(problems[0]).toContain('"stream" needs the receiver, and streaming.enabled is false');
  });

  test("nothing is concluded from a setting that has a mistake of its own", () => {
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

test("with nothing enabled it says so, and how to begin", () => {
  const { problems } = inspectIn(directory, {});
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith("streaming.enabled: nothing is enabled that could produce data. To begin: ");
  expect(problems[0]).toContain("TS2OTEL_STREAMING__ENABLED=true");
  expect(problems[0]).toContain("tailscale2otel demo");
});

describe("a file that cannot be used", () => {
  test("broken TOML has line, column and frame, and no secret in it", () => {
    const toml = '[streaming]\ntoken = "s3cr3t-value"\nlisten = :8088\n';
    const { problems } = inspectIn(directory, { toml, set: ["streaming.decompress=zip"] });
    expect(problems).toHaveLength(2);
    expect(problems[0]).toStartWith("tailscale2otel.toml:3: column 10: this is not TOML: ");
    expect(problems[0]).toContain("listen = :8088");
    expect(problems[0]).toContain("token = [redacted]");
    expect(problems.join()).not.toContain("s3cr3t-value");
  });

  test("one that is named and not there", () => {
    const { problems } = inspectIn(directory, { environment: { TS2OTEL_CONFIG: "missing.toml" } });
    expect(problems).toEqual([
      "missing.toml: there is no such file. Give the path of a TOML file with --config or TS2OTEL_CONFIG.",
    ]);
  });

  test("one without an end is not read to the end", () => {
    const { problems } = inspectIn(directory, { environment: { TS2OTEL_CONFIG: "/dev/zero" } });
    expect(problems[0]).toContain("it is larger than 1 MiB");
  });
});

describe("flags", () => {
  test.each([
    ["streaming.tokn=x", "--set streaming.tokn: there is no such setting."],
    ["streaming.token", "--set streaming.token: the value is missing. Write --set streaming.token=value."],
    ["=x", "--set : there is no such setting."],
    ["streaming.enabled=maybe", "Write for example: --set streaming.enabled=true"],
  ])("%j is refused", (assignment, problem) => {
    const { problems } = inspectIn(directory, { set: [...soundSettings, assignment], environment: soundEnvironment });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
  });
});

test("a wrong variable is named, with the text that would do", () => {
  const { problems } = inspectIn(directory, { environment: { TS2OTEL_OTLP__TIMEOUT: "10" } });
  expect(problems).toEqual([
    'TS2OTEL_OTLP__TIMEOUT: otlp.timeout: "10" cannot be used here. Allowed: a duration such as "500ms", "30s", "5m", "24h" or "7d"; from 100ms to 10m. Write for example: TS2OTEL_OTLP__TIMEOUT=10s',
  ]);
});
