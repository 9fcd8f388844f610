/** Settings of the Go version: each message names the successor, and settings that hid data are never ignored. */
import { describe, expect, test } from "bun:test";
import { inspectIn, soundEnvironment, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

function inspect(environment: Record<string, string>) {
  return inspectIn(directory, { set: soundSettings, environment: { ...soundEnvironment, ...environment } });
}

describe("a filter for personal data", () => {
  test.each([
    ["EMAILS", 'privacy.emails = "drop" or "hash" (TS2OTEL_PRIVACY__EMAILS=drop)'],
    ["USER_DISPLAY_NAMES", "TS2OTEL_PRIVACY__EMAILS=drop"],
    ["FREE_TEXT_DETAILS", "TS2OTEL_PRIVACY__FREE_TEXT=drop"],
    ["EXTERNAL_IPS", "TS2OTEL_PRIVACY__EXTERNAL_IPS=drop"],
    ["NETWORK_TOPOLOGY", "the settings of [privacy]"],
  ])("%s is an error that points to privacy", (name, successor) => {
    const { problems } = inspect({ [`TS2OTEL_PII_FILTER__${name}`]: "false" });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith(
      `TS2OTEL_PII_FILTER__${name}: this setting of the Go version is not read, so what it hid would be exported. `,
    );
    expect(problems[0]).toContain(successor);
  });

  test("is an error in a file too", () => {
    const { problems } = inspectIn(directory, { toml: "[pii_filter]\nemails = false\n", set: soundSettings });
    expect(problems[0]).toContain("TS2OTEL_PRIVACY__EMAILS=drop");
  });
});

test.each([
  ["ADMIN__AUTH__TOKEN", "Use admin.token (TS2OTEL_ADMIN__TOKEN)."],
  ["ADMIN__AUTH__TOKEN_FILE", "Use admin.token_file (TS2OTEL_ADMIN__TOKEN_FILE)."],
  [
    "TAILSCALE__AUTH__METHOD",
    "Remove it: an OAuth client is used if tailscale.auth.oauth is set, otherwise the API key.",
  ],
  ["TAILSCALE__HTTP__RETRY__MAX_ATTEMPTS", "Use tailscale.http.max_attempts (TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS)."],
  ["OTLP__TLS__INSECURE", "otlp.endpoint begins with http://"],
  ["PROMETHEUS__LISTEN", "Use admin.listen (TS2OTEL_ADMIN__LISTEN)."],
  ["CHECKPOINT__FILE_PATH", "Use state.path (TS2OTEL_STATE__PATH)."],
  ["INGRESS_WAL__ENABLED", "Use state.path (TS2OTEL_STATE__PATH)."],
])("%s is a warning that names its successor", (name, successor) => {
  const { problems, warnings } = inspect({ [`TS2OTEL_${name}`]: "s3cr3t" });
  expect(problems).toEqual([]);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain(successor);
  expect(warnings[0]).not.toContain("s3cr3t");
});

test.each(["http", "grpc"])("a renamed protocol is an error with its new name: %s", (protocol) => {
  const { problems } = inspect({ TS2OTEL_OTLP__PROTOCOL: protocol });
  expect(problems).toEqual([
    `TS2OTEL_OTLP__PROTOCOL: otlp.protocol: invalid value "${protocol}". Use "http/protobuf", "http/json" or "stdout", for example TS2OTEL_OTLP__PROTOCOL=http/protobuf.`,
  ]);
});
