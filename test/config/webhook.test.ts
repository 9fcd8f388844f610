/** The settings of the webhook receiver: which values are refused, get a warning, or have no effect. */
import { describe, expect, test } from "bun:test";
import { mergeReload } from "../../src/config/reload.ts";
import { join } from "node:path";
import { inspectIn, soundEnvironment, soundSettings, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();
const secret = { TS2OTEL_WEBHOOK__SECRET: "tskey-webhook-x" };

function inspect(set: readonly string[], environment: Record<string, string> = secret) {
  return inspectIn(directory, {
    set: [...soundSettings, "webhook.enabled=true", ...set],
    environment: { ...soundEnvironment, ...environment },
  });
}

const tls = (name: string): string => join(import.meta.dirname, "../support/tls", `${name}.pem`);

const keyOf = (line: string): string => line.slice(0, line.indexOf(":"));

test("a secret leaves no warnings", () => {
  const { problems, warnings, config } = inspect([]);
  expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  expect(config.webhook).toMatchObject({
    listen: ":8089",
    path: "/tailscale/webhook",
    tolerance: 300_000,
    late_retry_window: 0,
    max_body_bytes: 4 * 1024 * 1024,
    dedup_audit_events: false,
  });
});

test("the receiver alone is enough to run", () => {
  const { problems } = inspectIn(directory, { set: ["webhook.enabled=true"], environment: secret });
  expect(problems).toEqual([]);
});

test("a mistyped variable gets a warning with the probable name, without its value", () => {
  const { warnings } = inspect([], { TS2OTEL_WEBHOOK__SECRT: "tskey-webhook-s3cr3t" });
  expect(warnings).toContain(
    "TS2OTEL_WEBHOOK__SECRT: no setting has this variable, so it has no effect. Did you mean TS2OTEL_WEBHOOK__SECRET?",
  );
  expect(warnings.join()).not.toContain("s3cr3t");
});

describe("an empty secret", () => {
  test("gets a strong warning if others can reach the port", () => {
    const { warnings } = inspect([], {});
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toStartWith("webhook.secret: it is empty and :8089 is not loopback, ");
    expect(warnings[0]).toContain("plain HTTP");
  });

  test("gets a mild warning on loopback", () => {
    expect(inspect(["webhook.listen=127.0.0.1:1"], {}).warnings).toEqual([
      "webhook.secret: it is empty, so every program on this machine can send events. Set webhook.secret to the secret that Tailscale showed when the webhook was created.",
    ]);
  });

  test("is an error if one is required", () => {
    expect(inspect(["webhook.require_secret=true"], {}).problems).toEqual([
      "--set webhook.require_secret: a secret is required, but webhook.secret is empty. Set webhook.secret or webhook.secret_file, or webhook.require_secret = false.",
    ]);
  });
});

const mistakes: readonly [set: readonly string[], message: string][] = [
  [
    ["webhook.late_retry_window=25h", "dedup.webhook_window=25h"],
    "events are remembered for 25h, but deliveries are accepted for 1510m: webhook.late_retry_window plus twice webhook.tolerance.",
  ],
  [["webhook.tolerance=14h"], "Raise dedup.webhook_window, or lower webhook.late_retry_window."],
  [["webhook.tls.cert_file=/dev/null"], "webhook.tls.cert_file: it is set, but webhook.tls.key_file is not"],
  [
    ["webhook.listen=:8088", `webhook.tls.cert_file=${tls("first.cert")}`, `webhook.tls.key_file=${tls("first.key")}`],
    "both receivers share an address, but their TLS settings differ",
  ],
  [
    [
      "webhook.tls.tailscale=true",
      `webhook.tls.cert_file=${tls("first.cert")}`,
      `webhook.tls.key_file=${tls("first.key")}`,
    ],
    "the certificate comes either from tailscaled or from files, not from both",
  ],
  [
    ["webhook.listen=:8088", "webhook.path=/services/collector/event/"],
    "on the shared listener, this path belongs to the HEC receiver",
  ],
  [["webhook.tolerance=25h"], "from 0s to 24h"],
  [["webhook.max_body_bytes=1"], "of at least 1KiB"],
];

test.each(mistakes)("%j is refused", (set, message) => {
  const { problems } = inspect(set);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(message);
});

test.each([
  [["webhook.late_retry_window=25h"]],
  [["webhook.late_retry_window=25h", "dedup.webhook_window=1510m"]],
  [["webhook.listen=:8088"]],
  [["webhook.path=/services/collector/event"]],
])("%j is accepted", (set) => {
  expect(inspect(set)).toMatchObject({ problems: [], warnings: [] });
});

const idle: readonly [set: readonly string[], environment: Record<string, string>, key: string, reason: string][] = [
  [["webhook.enabled=false", "webhook.path=/x"], {}, "webhook.path", "webhook.enabled is false"],
  [["webhook.enabled=false", "dedup.webhook_window=27h"], {}, "dedup.webhook_window", "webhook.enabled is false"],
  [["webhook.listen=[::1]:1", "webhook.tolerance=1m"], {}, "webhook.tolerance", "signatures are not checked"],
  [
    ["webhook.tolerance=0", "webhook.late_retry_window=1h"],
    secret,
    "webhook.late_retry_window",
    "webhook.tolerance is 0",
  ],
];

test.each(idle)("%j with %j has no effect and gets a warning", (set, environment, key, reason) => {
  const found = inspect(set, environment).warnings.filter((warning) => warning.includes("has no effect"));
  expect(found.map(keyOf)).toEqual([key]);
  expect(found[0]).toContain(reason);
});

test("warns about a tolerance of 0", () => {
  expect(inspect(["webhook.tolerance=0"]).warnings.map(keyOf)).toEqual(["webhook.tolerance"]);
});

test("secrets and certificates change without a restart, and nothing else does", () => {
  const { config: before } = inspect([]);
  const after = {
    ...before,
    webhook: { ...before.webhook, secret: "tskey-webhook-y", secret_previous: "tskey-webhook-x", path: "/y" },
  };
  expect(mergeReload(before, after).waiting).toEqual(["webhook.path"]);
});
