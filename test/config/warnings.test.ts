import { chmodSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { inspectIn, soundEnvironment, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

function warningsWith(set: readonly string[], environment: Record<string, string> = soundEnvironment) {
  const { problems, warnings } = inspectIn(directory, { set: [...soundSettings, ...set], environment });
  expect(problems).toEqual([]);
  return warnings;
}

describe("an empty token", () => {
  test("gets a strong warning if others can reach the port", () => {
    const [warning, ...others] = warningsWith([], {});
    expect(others).toEqual([]);
    expect(warning).toStartWith("streaming.token: it is empty and :8088 is not loopback, ");
    expect(warning).toContain("plain HTTP");
  });

  test("gets a strong warning with TLS too, but not about plain HTTP", () => {
    const files = ["cert", "key"].map(
      (part) => `streaming.tls.${part}_file=${join(import.meta.dirname, `../support/tls/first.${part}.pem`)}`,
    );
    const [warning] = warningsWith(files, {});
    expect(warning).toStartWith("streaming.token: it is empty and :8088 is not loopback, ");
    expect(warning).not.toContain("plain HTTP");
  });

  test.each(["127.0.0.1:1", "[::1]:1", "localhost:1"])("gets a mild warning on %s", (listen) => {
    expect(warningsWith([`streaming.listen=${listen}`], {})).toEqual([
      "streaming.token: it is empty, so every program on this machine can send records. Set streaming.token to a long random text, and use the same in Tailscale.",
    ]);
  });
});

test("a disabled collector gets no warning about credentials", () => {
  expect(warningsWith(["collectors.auditlogs.enabled=false"])).toEqual([
    "collectors.auditlogs.source: it has no effect: collectors.auditlogs.enabled is false. Set collectors.auditlogs.enabled = true, or remove it.",
  ]);
});

describe("local mode", () => {
  test("gets a warning", () => {
    expect(warningsWith(["otlp.endpoint="])).toEqual([
      "otlp.endpoint: metrics and logs are not exported, because no endpoint is set (local mode). Set otlp.endpoint to export them to an OTLP backend.",
    ]);
  });

  test("of one signal gets a warning", () => {
    expect(warningsWith(["otlp.endpoint=", "otlp.logs.endpoint=http://192.0.2.1/logs"])).toEqual([
      "otlp.metrics.endpoint: metrics are not exported, because they have no endpoint. Set otlp.metrics.endpoint, or otlp.metrics.enabled = false.",
    ]);
  });

  test("gets no warning if everything goes to standard output", () => {
    expect(warningsWith(["otlp.endpoint=", "otlp.protocol=stdout", "otlp.logs.max_records=9"])).toEqual([]);
  });
});

describe("settings without effect", () => {
  const idle: readonly [set: string[], keys: string[], reason: string][] = [
    [
      ["otlp.endpoint=", "otlp.logs.max_records=9", "otlp.timeout=1s"],
      ["otlp.timeout", "otlp.logs.max_records"],
      "local mode",
    ],
    [["otlp.logs.enabled=false", "otlp.logs.max_bytes=1MiB"], ["otlp.logs.max_bytes"], "otlp.logs.enabled is false"],
    [
      ["cardinality.flow.metrics_mode=all", "cardinality.flow.rollup_top_n=9"],
      ["cardinality.flow.rollup_top_n"],
      '"all"',
    ],
    [["otlp.protocol=stdout"], ["otlp.endpoint"], "nothing is sent over the network"],
    [
      ["otlp.logs.endpoint=http://192.0.2.1/l", "otlp.metrics.endpoint=http://192.0.2.1/m"],
      ["otlp.endpoint"],
      "each have an endpoint of their own",
    ],
    [["otlp.tls.ca_file=/dev/null"], ["otlp.tls.ca_file"], "no endpoint uses https"],
    [["tailscale.socket=/run/t.sock"], ["tailscale.socket"], "no listener takes its certificate from tailscaled"],
  ];

  test.each(idle)("%j", (set, keys, reason) => {
    const found = warningsWith(set).filter((warning) => warning.includes("has no effect"));
    expect(found.map((warning) => warning.slice(0, warning.indexOf(":")))).toEqual(keys);
    expect(found[0]).toContain(reason);
  });

  test("of the receiver while it is off", () => {
    const { warnings } = inspectIn(directory, { toml: "[streaming]\nenabled = false\nlisten = ':1'\n" });
    expect(warnings).toContain(
      "streaming.listen: it has no effect: streaming.enabled is false. Set streaming.enabled = true, or remove it.",
    );
  });

  test("a previous token without a token", () => {
    const warnings = warningsWith([], { TS2OTEL_STREAMING__TOKEN_PREVIOUS: "old-token" });
    expect(warnings.map((warning) => warning.slice(0, warning.indexOf(":")))).toEqual([
      "streaming.token",
      "streaming.token_previous",
    ]);
  });
});

test("warns about state in memory, an unverified certificate, and a body limit above the total", () => {
  const warnings = warningsWith([
    "state.path=:memory:",
    "otlp.endpoint=https://192.0.2.1",
    "otlp.tls.insecure_skip_verify=true",
    "streaming.max_inflight_bytes=1MiB",
  ]);
  expect(warnings.map((warning) => warning.slice(0, warning.indexOf(":")))).toEqual([
    "streaming.max_inflight_bytes",
    "otlp.tls.insecure_skip_verify",
    "state.path",
  ]);
});

test("warns about a secret on the command line", () => {
  const warnings = warningsWith(["streaming.token=s3cr3t", "otlp.headers.X-Key=s3cr3t"]);
  expect(warnings.map((warning) => warning.slice(0, warning.indexOf(":")))).toEqual([
    "streaming.token",
    "otlp.headers.X-Key",
  ]);
  expect(warnings.join()).not.toContain("s3cr3t");
});

describe("a file that others can read", () => {
  const secretToml = '[streaming]\ntoken = "s3cr3t"\n';

  function modeWarnings(toml: string, mode: number) {
    const given = { toml, set: soundSettings, environment: {} };
    inspectIn(directory, given);
    chmodSync(join(directory, "tailscale2otel.toml"), mode);
    return inspectIn(directory, given).warnings.filter((warning) => warning.includes("chmod"));
  }

  test.each([0o644, 0o604, 0o620])("with a secret in it gets a warning (mode %o)", (mode) => {
    expect(modeWarnings(secretToml, mode)).toEqual([
      `streaming.token: tailscale2otel.toml:2 contains a secret, and other users can read or write the file (mode 0${mode.toString(8)}). Run: chmod 600 tailscale2otel.toml`,
    ]);
  });

  test.each([0o600, 0o640, 0o400])("gets no warning for the owner and its group (mode %o)", (mode) => {
    expect(modeWarnings(secretToml, mode)).toEqual([]);
  });

  test("gets no warning without a secret in it", () => {
    expect(modeWarnings('log_level = "info"\n', 0o644)).toEqual([]);
  });
});
