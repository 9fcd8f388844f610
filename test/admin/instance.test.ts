/** What `/api/v1/instance` shows: every setting without secrets, listeners with certificates, and warnings with remedies. */
import { expect, test } from "bun:test";
import { createInstance, type Listening } from "../../src/admin/instance.ts";
import type { Health } from "../../src/admin/status.ts";
import { troublesOf } from "../../src/admin/troubles.ts";
import { type ConfigSources, type Inspection, inspectConfig } from "../../src/config/index.ts";
import { appliedAfter, inspectReload } from "../../src/config/reload.ts";
import { settings } from "../../src/config/schema.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { sourcesIn, soundEnvironment, soundSettings, temporaryDirectory } from "../config/sources.ts";

const directory = temporaryDirectory();
const now = Date.UTC(2026, 10, 2, 9, 15);
const dayMs = 86_400_000;
const secret = "s3cr3t-never-shown";

const healthy: Health = {
  notReady: [],
  export: { logs: { kind: "delivering" }, metrics: { kind: "ok" } },
  polls: [],
  tailnet: [],
};

function instanceOf(
  started: Pick<Inspection, "config" | "warnings" | "origins">,
  { health = healthy, listeners = [] }: { health?: Health; listeners?: readonly Listening[] } = {},
) {
  return createInstance(started, {
    build: { version: "1.2.3", commit: "abc" },
    clock: () => now,
    startedAt: now - 5000,
    telemetry: silentTelemetry,
    troubles: () => troublesOf(health),
    listeners: () => listeners,
  });
}

const sources = (given: { toml?: string; set?: readonly string[]; environment?: Record<string, string> }) =>
  sourcesIn(directory, {
    ...given,
    environment: { ...soundEnvironment, ...given.environment },
    set: [...soundSettings, ...(given.set ?? [])],
  });

function rowsOf(given: ConfigSources): Readonly<Record<string, { value: string; origin: string; isDefault: boolean }>> {
  const { settings: rows } = instanceOf(inspectConfig(given)).show();
  return Object.fromEntries(rows.map(({ key, ...row }) => [key, row]));
}

const also = '[[otlp.also]]\nname = "archive"\nendpoint = "http://192.0.2.7:4318"\n';
const tailnet = '[[tailnet]]\nname = "acme"\n';

test("shows every setting once, with its value, origin and purpose", () => {
  const toml = `[otlp]\ntimeout = "30s"\n${also}${tailnet}`;
  const given = sources({ toml, set: ["state.retention=7d"], environment: { TS2OTEL_LOG_LEVEL: "debug" } });
  const { settings: rows } = instanceOf(inspectConfig(given)).show();
  const here = settings.filter(({ item, kind }) => kind !== "map" && (item === undefined || item.index === 0));
  expect(here.map(({ key }) => key).filter((key) => rows.filter((row) => row.key === key).length !== 1)).toEqual([]);
  expect(rows.filter(({ description }) => description === "")).toEqual([]);
  expect(rowsOf(given)).toMatchObject({
    "otlp.timeout": { value: '"30s"', origin: "tailscale2otel.toml:2", isDefault: false },
    "otlp.also.0.name": { value: '"archive"', origin: "tailscale2otel.toml:4", isDefault: false },
    "state.retention": { value: '"7d"', origin: "--set state.retention", isDefault: false },
    log_level: { value: '"debug"', origin: "TS2OTEL_LOG_LEVEL", isDefault: false },
    "otlp.metric_interval": { value: '"1m"', origin: "default", isDefault: true },
  });
});

const hidden = settings.filter(({ isSecret, item }) => isSecret && (item === undefined || item.index === 0));

test.each(hidden.map(({ key, kind }) => [key, kind] as const))("never shows %s", (key, kind) => {
  const toml = key.startsWith("otlp.also.") ? also : key.startsWith("tailnet.") ? tailnet : "";
  const before = instanceOf(inspectConfig(sources({ toml }))).show();
  expect(before.settings.find((row) => row.key === key)?.value).toBe(key === "streaming.token" ? "(set)" : "(not set)");
  const name = kind === "map" ? `${key}.x-key` : key;
  const inspection = inspectConfig(sources({ toml, set: [`${name}=${secret}`] }));
  expect(JSON.stringify(inspection.config)).toContain(secret);
  const answer = instanceOf(inspection).show();
  expect(JSON.stringify(answer)).not.toContain(secret);
  expect(answer.settings.find((row) => row.key === name)).toMatchObject({ value: "(set)", isDefault: false });
});

test.each(settings.filter(({ kind, item }) => kind === "url" && item === undefined).map(({ key }) => key))(
  "shows %s without its user, password and query",
  (key) => {
    const url = `https://${secret}:${secret}@example.com/x?key=${secret}`;
    const inspection = inspectConfig(sources({ set: [`${key}=${url}`] }));
    const { settings: rows } = instanceOf(inspection).show();
    expect(rows.find((row) => row.key === key)?.value).toBe('"https://[redacted]@example.com/x?[redacted]"');
    expect(JSON.stringify(rows)).not.toContain(secret);
  },
);

test("shows the values in effect after a reload: a setting that needs a restart keeps its old value and origin", () => {
  const first = sources({ toml: 'log_level = "info"\n[otlp]\ntimeout = "20s"\n', set: [] });
  const started = inspectConfig(first);
  const instance = instanceOf(started);
  const toml = '# a comment\n# of two lines\nlog_level = "warn"\n[otlp]\ntimeout = "40s"\n[otlp.headers]\nx-a = "b"\n';
  const next = inspectReload(started.config, sources({ toml }));
  instance.use(appliedAfter(started, next));
  const { settings: rows, warnings } = instance.show();
  const row = (key: string) => rows.find((one) => one.key === key);
  expect(row("log_level")).toMatchObject({ value: '"warn"', origin: "tailscale2otel.toml:3" });
  expect(row("otlp.timeout")).toMatchObject({ value: '"20s"', origin: "tailscale2otel.toml:3" });
  expect(row("otlp.headers.x-a")).toMatchObject({ value: "(set)", origin: "tailscale2otel.toml:7" });
  expect(warnings.filter(({ message }) => message.includes("restart"))).toEqual([
    {
      severity: "warning",
      key: "otlp.timeout",
      message: "it was changed, but the change needs a restart",
      remedy: "Restart to apply it.",
    },
  ]);
  instance.refuse();
  expect(instance.show().warnings.map(({ message }) => message)).toContain(
    "the changed configuration is not valid, so the previous one still applies",
  );
  instance.use(appliedAfter(started, next));
  expect(
    instance
      .show()
      .warnings.map(({ message }) => message)
      .join(),
  ).not.toContain("is not valid");
});

test("warns about current problems first, each with a remedy, and then about the configuration", () => {
  const started = inspectConfig(
    sources({ set: ["otlp.tls.insecure_skip_verify=true", "otlp.endpoint=https://192.0.2.1"] }),
  );
  expect(started.warnings).toHaveLength(1);
  const health: Health = {
    ...healthy,
    notReady: ["the journal is full: it has 5 bytes"],
    export: {
      logs: { kind: "waiting", why: "https://example.com/v1/logs: HTTP 401: <b>no", since: now },
      metrics: { kind: "ok" },
    },
    polls: [{ log: "network", trouble: "the scope is missing", remedy: "Give it the scope." }],
  };
  const { warnings } = instanceOf(started, { health }).show();
  expect(warnings).toEqual([
    {
      severity: "error",
      message: "the journal is full: it has 5 bytes",
      remedy: expect.stringContaining("raise state.max_bytes"),
    },
    {
      severity: "warning",
      message: "log export failing since 2026-11-02T09:15:00.000Z",
      remedy: expect.stringContaining("Check the credentials: otlp.headers"),
    },
    {
      severity: "warning",
      message: "polling of the network log has not succeeded since the start",
      remedy: "Give it the scope.",
    },
    {
      severity: "warning",
      key: "otlp.tls.insecure_skip_verify",
      message: expect.any(String),
      remedy: expect.any(String),
    },
  ]);
});

test.each([
  ["the journal is full: it has 5 bytes of undelivered records", "raise state.max_bytes"],
  ["the disk of the state directory is full: 3 MiB are free", "Free space on that disk"],
  ["the last write failed: disk I/O error", "Check the disk of the state directory"],
  ["another process writes to /state/journal.db: only one may use a state directory", "Stop the other process"],
  ["/state/journal.db is damaged: database disk image is malformed", "it recovers what can be read"],
  ["the journal cannot be read: disk I/O error", "it recovers what can be read"],
  ["the database at 192.0.2.1:5432: no answer within 5 s", "To test it, run: tailscale2otel check --online"],
  ["/state/journal.db was deleted", "if the journal's files were changed, restart it"],
  [":8088 has no TLS certificate from tailscaled yet", "tailscale2otel check --online"],
  ["the program is stopping", "Nothing to do"],
])("gives a remedy if %s", (reason, remedy) => {
  const [trouble] = troublesOf({ ...healthy, notReady: [reason] });
  expect(trouble).toEqual({ severity: "error", message: reason, remedy: expect.stringContaining(remedy) });
});

test.each([
  ["http://192.0.2.1:4318/v1/logs: connection refused by 192.0.2.1:4318", "whether the backend is running"],
  ["https://example.com/v1/logs: HTTP 401", "Check the credentials: otlp.headers, otlp.logs.headers"],
  ["https://example.com/v1/logs: HTTP 404: no such path", "Check the path of otlp.endpoint"],
  ["https://example.com/v1/logs: HTTP 415", "change otlp.protocol"],
  ["https://example.com/v1/logs: HTTP 429: slow down", "limits the rate"],
  ["https://example.com/v1/logs: HTTP 503: HTTP 401 behind it", "see its own log"],
  ["HTTP 400: bad tenant", "Check the tenant"],
  ["the backend rejects all metrics: HTTP 422: HTTP 503 behind it", "Check the tenant"],
])("gives a remedy if log export fails with %s", (why, remedy) => {
  const logs = { kind: "waiting", why, since: now };
  const [trouble] = troublesOf({ ...healthy, export: { ...healthy.export, logs } });
  expect(trouble?.remedy).toContain(remedy);
  const destinations = [{ name: "archive", export: { ...healthy.export, logs }, lastSuccess: {} }];
  const [further] = troublesOf({ ...healthy, destinations });
  expect(further?.message).toStartWith("log export to archive failing");
  expect(further?.remedy).not.toContain("otlp.");
});

test("shows listeners, and warns about a certificate that expires within two weeks, is missing, or could not be replaced", () => {
  const started = inspectConfig(sources({}));
  const served = (days: number, trouble = "", remedy?: string): Listening["certificate"] => ({
    current: {
      certificate: "",
      key: secret,
      notBefore: now - dayMs,
      notAfter: now + days * dayMs,
      subjects: ["ts.example.com"],
    },
    trouble,
    remedy,
  });
  const listeners: Listening[] = [
    { name: "stream", address: "https on all interfaces, port 8088", certificate: served(13.5) },
    {
      name: "webhook",
      address: "https://127.0.0.1:8089",
      certificate: { ...served(0), current: undefined, trouble: "no name", remedy: "Enable HTTPS." },
    },
    { name: "admin", address: "http://127.0.0.1:9091", certificate: undefined },
  ];
  const answer = instanceOf(started, { listeners }).show();
  expect(JSON.stringify(answer)).not.toContain(secret);
  expect(answer.listeners).toEqual([
    {
      name: "stream",
      url: "https on all interfaces, port 8088",
      certificate: { notAfter: "2026-11-15T21:15:00.000Z", subjects: ["ts.example.com"] },
    },
    { name: "webhook", url: "https://127.0.0.1:8089", certificate: { subjects: [], trouble: "no name" } },
    { name: "admin", url: "http://127.0.0.1:9091" },
  ]);
  expect(answer.warnings.map(({ message, remedy }) => `${message}. ${remedy}`)).toEqual([
    "TLS certificate of the stream listener: it expires in 13 days. Renew it: a new one is served without a restart.",
    "TLS certificate of the webhook listener: no name. Enable HTTPS.",
  ]);
  const at = (days: number) =>
    instanceOf(started, { listeners: [{ name: "stream", address: "x", certificate: served(days) }] }).show().warnings;
  expect(at(14)).toEqual([]);
  expect(at(1.5)[0]?.message).toEndWith("it expires in 1 day");
  expect(at(-0.1)[0]?.message).toEndWith("it has expired, so senders reject it");
});
