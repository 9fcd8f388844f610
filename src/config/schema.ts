/** Every setting, once. Types, defaults, validation, variables, the reference and the example file are derived from this. */
import type { Static } from "@sinclair/typebox";
import { collectors, streaming, tailscale, webhook } from "./schema-inputs.ts";
import {
  boolean,
  bytes,
  choice,
  directory,
  duration,
  file,
  integer,
  listen,
  map,
  secret,
  section,
  sectionsOf,
  type Setting,
  text,
  url,
} from "./setting.ts";

const cardinality = section("How many series metrics may have.", {
  metric_limit: integer(
    10_000,
    [1, 10_000_000],
    "Maximum series per metric; further ones are summed in the series with `otel.metric.overflow=true`.",
  ),
  series_ttl: duration("24h", ["1m", "365d"], "How long an idle series is exported."),
  flow: section("Metrics of flow logs.", {
    metrics_mode: choice(
      ["all", "rollup", "both"],
      "rollup",
      "`all`: every pair of nodes. `rollup`: the busiest pairs, with the rest summed as `__other__`.",
    ),
    rollup_top_n: integer(500, [1, 8000], "Number of node pairs that the rollup keeps per interval."),
    source_port: boolean(false, "Whether the metrics of `all` have the source port. Creates very many series."),
    destination_port: boolean(false, "Whether the metrics of `all` have the destination port."),
    node_dims: boolean(true, "Whether flow metrics have the names of the source and destination nodes."),
    identity_dims: boolean(false, "Whether flow metrics have the user, tags and operating system of both nodes."),
    collapse_external: boolean(
      true,
      "Whether addresses of unknown nodes become `external` or `unknown`, to limit series.",
    ),
    exit_node_attribution: boolean(true, "Whether exit traffic is also counted by exit node, in metrics of its own."),
  }),
});

const hidden = (description: string) => choice(["keep", "drop", "hash"], "keep", description);
const exported = (what: string) => hidden(`How ${what} are exported.`);

const privacy = section(
  "What is exported about people and machines. `drop`: left out. `hash`: a keyed hash, stable for the lifetime of the state directory. Counts and totals are not affected.",
  {
    emails: exported("e-mail addresses, login names and display names"),
    user_ids: exported("user IDs"),
    hostnames: exported("node names"),
    node_ids: exported("node IDs"),
    tailscale_ips: exported("Tailscale addresses"),
    internal_ips: exported("private addresses outside the tailnet"),
    external_ips: exported("public addresses"),
    tailnet_name: hidden("How the tailnet name is exported."),
    free_text: hidden(
      "How free texts are exported: messages, details, errors, old and new values. With `keep`, what the other settings hide is hidden in them too.",
    ),
  },
);

const headers = (which: string) =>
  map(
    "header",
    `${which} In a variable's name, \`_\` also stands for \`-\`. Values are never shown.`,
    '{ "X-Scope-OrgID" = "tenant-1" }',
  );

const signalUrl = (signal: string) =>
  url(
    "",
    `Complete URL for ${signal}, if it differs from \`otlp.endpoint\`. Nothing is appended.`,
    `"https://${signal}.example.com/otlp/v1/${signal}"`,
  );

const otlp = section("Where metrics and logs are exported: any OTLP/HTTP endpoint.", {
  endpoint: url(
    "",
    "Base URL; `/v1/logs` and `/v1/metrics` are appended. Empty: local mode, nothing is exported.",
    '"http://127.0.0.1:4318"',
  ),
  protocol: choice(
    ["http/protobuf", "http/json", "stdout"],
    "http/protobuf",
    "Encoding of requests. `stdout`: OTLP JSON lines on standard output instead of requests.",
  ),
  headers: headers("Headers of every request."),
  compression: choice(["gzip", "none"], "gzip", "Compression of requests."),
  timeout: duration("10s", ["100ms", "10m"], "Timeout of a request, from start to end."),
  metric_interval: duration("60s", ["100ms", "24h"], "How often metrics are aggregated, saved and exported."),
  metrics: section("Settings for metrics only.", {
    endpoint: signalUrl("metrics"),
    headers: headers("Headers of metrics requests; they override `otlp.headers`."),
    enabled: boolean(true, "Whether to export metrics."),
  }),
  logs: section("Settings for logs only.", {
    endpoint: signalUrl("logs"),
    headers: headers("Headers of logs requests; they override `otlp.headers`."),
    enabled: boolean(true, "Whether to export logs."),
    max_records: integer(5000, [1, 100_000], "Maximum log records per request."),
    max_bytes: bytes("4MiB", "16KiB", "Maximum size of a request before compression."),
    concurrency: integer(2, [1, 64], "Maximum concurrent logs requests."),
    record_uid: boolean(
      false,
      "Whether log records have `log.record.uid`, which a backend can deduplicate retries by.",
    ),
  }),
  tls: section("TLS of the connection to the backend.", {
    ca_file: file("CA certificates (PEM) to trust instead of the system's."),
    cert_file: file("Client certificate (PEM); needs its key."),
    key_file: file("Client key (PEM); needs its certificate."),
    insecure_skip_verify: boolean(
      false,
      "Whether to accept any certificate, so that anyone in between can read everything.",
    ),
  }),
  grafana_cloud: section("Grafana Cloud credentials, sent as the `Authorization` header.", {
    instance_id: text("", "^[^\\x00-\\x20\\x7f:]*$", "Number of the OTLP instance: the user name.", '"123456"'),
    token: secret("Access policy token with write scopes.", "glc_example"),
  }),
});

const window = (written: string, of: string, more = "") =>
  duration(written, ["1m", "365d"], `Dedup window for ${of}: how long their identities are remembered.${more}`);

export const configSchema = section("The configuration of tailscale2otel.", {
  log_level: choice(["debug", "info", "warn", "error"], "info", "Minimum severity of the program's own log lines."),
  log_format: choice(
    ["auto", "text", "json"],
    "auto",
    "`auto`: text on a terminal, otherwise one JSON object per line. Log lines go to stderr.",
  ),
  tailscale,
  collectors,
  streaming,
  webhook,
  cardinality,
  privacy,
  otlp,
  resource: section("The OpenTelemetry resource.", {
    attributes: map(
      "attribute",
      "Resource attributes of everything that is exported. In a variable's name, capitals become lower case and `_` becomes `.`.",
      '{ "deployment.environment.name" = "production" }',
    ),
  }),
  state: section("Where accepted records are stored until they are delivered.", {
    path: directory(
      "Directory, created if it is missing; relative to the working directory. `:memory:` keeps nothing across a restart. Empty: `$XDG_STATE_HOME/tailscale2otel` or `~/.local/state/tailscale2otel`, `/var/lib/tailscale2otel` as root on Linux, `~/Library/Application Support/tailscale2otel` on macOS.",
      '"/var/lib/tailscale2otel"',
    ),
    max_bytes: bytes(
      "1GiB",
      "32MiB",
      "Maximum size of the database on disk. Undelivered records are never dropped to stay below it: when they fill it, senders get 503.",
    ),
    retention: duration("24h", ["0", "365d"], "How long delivered records are kept for a replay."),
    durability: choice(
      ["full", "normal"],
      "full",
      "`full`: acknowledged records survive a power failure. `normal`: they survive a crash of the program, but not always one of the machine.",
    ),
  }),
  dedup: section("Detection of duplicates.", {
    flow_window: window("6h", "flow records"),
    audit_window: window("48h", "audit records"),
    webhook_window: window(
      "26h",
      "webhook events",
      " At least `webhook.late_retry_window` plus twice `webhook.tolerance`, or a replay could count.",
    ),
    max_keys: integer(
      4_000_000,
      [1000, 100_000_000],
      "Maximum flow record identities to remember, at about 25 bytes of memory each.",
    ),
  }),
  admin: section("The listener for operators: health, `/metrics` for Prometheus, `/api/status`.", {
    enabled: boolean(true, "Whether to run the listener."),
    listen: listen("127.0.0.1:9091", "Address to listen on. A token is required unless it is loopback."),
    token: secret(
      "Token that every request must send as `Authorization: Bearer`, except for `/healthz` and `/readyz`.",
    ),
  }),
  self_observability: section("Telemetry about the program itself.", {
    enabled: boolean(true, "Whether to export metrics about the program itself."),
    logs: boolean(false, "Whether to export the program's own log lines too."),
    instance_id: text(
      "",
      "^[^\\x00-\\x1f\\x7f]*$",
      "`service.instance.id`. Empty: generated once and kept in the state directory.",
      '"edge-1"',
    ),
  }),
});

/** Every setting with its value. Durations are milliseconds, sizes bytes, files absolute paths. */
export type Config = Static<typeof configSchema>;

/** All sections and settings, in the order of the schema. */
export const sections = sectionsOf(configSchema);
export const settings: readonly Setting[] = sections.flatMap((one) => one.settings);

/** The value of a setting in a configuration. */
export function valueOf(config: Config, setting: Setting): unknown {
  return setting.path.reduce<unknown>((table, name) => (table as Record<string, unknown>)[name], config);
}

/** The logs that can be polled, by the names of their sections. */
export type CollectedLog = "flowlogs" | "auditlogs";

export const collectedLogs: readonly CollectedLog[] = ["flowlogs", "auditlogs"];

export function usesOauth({ tailscale: { auth } }: Pick<Config, "tailscale">): boolean {
  return auth.oauth.client_id !== "" && auth.oauth.client_secret !== "";
}

/** Whether there are credentials for the API. */
export function hasCredentials(config: Pick<Config, "tailscale">): boolean {
  return usesOauth(config) || config.tailscale.auth.apikey !== "";
}

/** Whether the settings ask for the log to be polled, with credentials or without. */
export function wantsPoll({ collectors: of }: Pick<Config, "collectors">, log: CollectedLog): boolean {
  return of[log].enabled && of[log].source !== "stream";
}

export function isPolled(config: Pick<Config, "collectors" | "tailscale">, log: CollectedLog): boolean {
  return wantsPoll(config, log) && hasCredentials(config);
}

export function readsDevices(config: Pick<Config, "collectors" | "tailscale">): boolean {
  return config.collectors.devices.enabled && hasCredentials(config);
}
