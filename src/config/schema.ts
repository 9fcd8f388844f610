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

const cardinality = section("Limits for the number of metric series.", {
  metric_limit: integer(
    10_000,
    [1, 10_000_000],
    "Maximum series per metric. Further ones are added to one series with `otel.metric.overflow=true`.",
  ),
  series_ttl: duration("24h", ["1m", "365d"], "How long a series is still exported after its last change."),
  flow: section("Flow metrics.", {
    metrics_mode: choice(
      ["all", "rollup", "both"],
      "rollup",
      "`all` exports every pair of nodes, `rollup` only the busiest pairs with the rest summed as `__other__`, and `both` exports both.",
    ),
    rollup_top_n: integer(500, [1, 8000], "Number of node pairs that the rollup keeps per interval."),
    source_port: boolean(false, "Add the source port to the metrics of `all`. Creates very many series."),
    destination_port: boolean(false, "Add the destination port to the metrics of `all`."),
    node_dims: boolean(true, "Add the names of the source and destination nodes."),
    identity_dims: boolean(false, "Add the user, tags and operating system of both nodes."),
    collapse_external: boolean(true, "Replace addresses of unknown nodes with `external` or `unknown`."),
    exit_node_attribution: boolean(true, "Also count exit traffic per exit node, in separate metrics."),
  }),
});

const hidden = (description: string) => choice(["keep", "drop", "hash"], "keep", description);

const privacy = section(
  "What is exported about people and machines. `keep` exports it, `drop` leaves it out, and `hash` exports a keyed hash instead, which stays the same as long as the state directory exists. Counts and totals are not affected.",
  {
    emails: hidden("E-mail addresses, login names and display names."),
    user_ids: hidden("User IDs."),
    hostnames: hidden("Node names."),
    node_ids: hidden("Node IDs."),
    tailscale_ips: hidden("Tailscale addresses."),
    internal_ips: hidden("Private addresses outside the tailnet."),
    external_ips: hidden("Public addresses."),
    tailnet_name: hidden("The tailnet name."),
    free_text: hidden(
      "Free text: messages, details, errors, old and new values. With `keep`, what the other settings hide is also hidden in it.",
    ),
  },
);

const headers = (which: string) =>
  map(
    "header",
    `${which} In the name of a variable, \`_\` also stands for \`-\`. Values are never shown.`,
    '{ "X-Scope-OrgID" = "tenant-1" }',
  );

const signalUrl = (signal: string) =>
  url(
    "",
    `Full URL for ${signal}, instead of one derived from \`otlp.endpoint\`. Nothing is appended.`,
    `"https://${signal}.example.com/otlp/v1/${signal}"`,
  );

const otlp = section("Where metrics and logs are exported: any OTLP/HTTP endpoint.", {
  endpoint: url(
    "",
    "Base URL, to which `/v1/logs` and `/v1/metrics` are appended. If it is empty, nothing is exported (local mode).",
    '"http://127.0.0.1:4318"',
  ),
  protocol: choice(
    ["http/protobuf", "http/json", "stdout"],
    "http/protobuf",
    "Encoding of requests. `stdout` sends none, and writes OTLP JSON lines to standard output instead.",
  ),
  headers: headers("Headers of all requests."),
  compression: choice(
    ["gzip", "zstd", "none"],
    "gzip",
    "Compression of request bodies. `zstd` needs less CPU and bandwidth, but many backends do not accept it.",
  ),
  timeout: duration("10s", ["100ms", "10m"], "Timeout of a whole request."),
  metric_interval: duration("60s", ["100ms", "24h"], "How often metrics are aggregated, saved and exported."),
  metrics: section("Settings for metrics only.", {
    endpoint: signalUrl("metrics"),
    headers: headers("Headers of metrics requests, in addition to `otlp.headers` and overriding them."),
    enabled: boolean(true, "Export metrics."),
  }),
  logs: section("Settings for logs only.", {
    endpoint: signalUrl("logs"),
    headers: headers("Headers of logs requests, in addition to `otlp.headers` and overriding them."),
    enabled: boolean(true, "Export logs."),
    max_records: integer(5000, [1, 100_000], "Maximum log records per request."),
    max_bytes: bytes("4MiB", "16KiB", "Maximum size of a request body before compression."),
    concurrency: integer(2, [1, 64], "Maximum concurrent logs requests."),
    record_uid: boolean(false, "Add `log.record.uid`, by which a backend can deduplicate retries."),
  }),
  tls: section("TLS of the connection to the backend.", {
    ca_file: file("CA certificates (PEM) to trust instead of the system's.", "ca.pem"),
    cert_file: file("Client certificate (PEM). Needs `key_file`.", "client-cert.pem"),
    key_file: file("Key of the client certificate (PEM), without a passphrase.", "client-key.pem"),
    insecure_skip_verify: boolean(false, "Accept any certificate, so anyone in between can read everything."),
  }),
  grafana_cloud: section("Grafana Cloud credentials, sent as the `Authorization` header.", {
    instance_id: text(
      "",
      "^[^\\x00-\\x20\\x7f:]*$",
      "ID of the OTLP instance, a number. It is the user name.",
      '"123456"',
    ),
    token: secret("Access policy token with write scopes.", "glc_example"),
  }),
});

const window = (written: string, of: string, more = "") =>
  duration(written, ["1m", "365d"], `How long ${of} are remembered.${more}`);

export const configSchema = section("The configuration of tailscale2otel.", {
  log_level: choice(["debug", "info", "warn", "error"], "info", "Minimum severity of the program's own log lines."),
  log_format: choice(
    ["auto", "text", "json"],
    "auto",
    "`auto` means text on a terminal, otherwise JSON, one object per line. Log lines go to stderr.",
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
      "Resource attributes of all metrics and logs. In the name of a variable, capitals stand for lower case and `_` stands for `.`.",
      '{ "deployment.environment.name" = "production" }',
    ),
  }),
  state: section("Where accepted records are stored until they are delivered.", {
    path: directory(
      "Directory, created if it is missing; a relative path starts at the working directory. `:memory:` keeps nothing across a restart. If it is empty, the directory is `$XDG_STATE_HOME/tailscale2otel` or `~/.local/state/tailscale2otel`; as root on Linux, `/var/lib/tailscale2otel`; on macOS, `~/Library/Application Support/tailscale2otel`.",
      '"/var/lib/tailscale2otel"',
    ),
    max_bytes: bytes(
      "1GiB",
      "32MiB",
      "Maximum size of the database on disk. Undelivered records are never dropped to stay below it; when they fill it, senders get 503.",
    ),
    retention: duration("24h", ["0", "365d"], "How long delivered records are kept for replays."),
    durability: choice(
      ["full", "normal"],
      "full",
      "With `full`, acknowledged records survive a power failure. With `normal`, they survive a crash of the program, but not always one of the machine.",
    ),
  }),
  dedup: section("Deduplication: how long and how many accepted records are remembered.", {
    flow_window: window("6h", "flow records"),
    audit_window: window("48h", "audit records"),
    webhook_window: window(
      "26h",
      "webhook events",
      " At least `webhook.late_retry_window` plus twice `webhook.tolerance`, so that a replayed delivery is never counted.",
    ),
    max_keys: integer(
      4_000_000,
      [1000, 100_000_000],
      "Maximum number of flow records to remember, at about 25 bytes of memory each.",
    ),
  }),
  admin: section(
    "The admin listener: health checks, `/metrics` for Prometheus, and the API behind `status`, `quarantine` and `replay`.",
    {
      enabled: boolean(true, "Run the listener."),
      listen: listen("127.0.0.1:9091", "Address to listen on. Unless it is a loopback address, a token is required."),
      token: secret(
        "Token that every request must send as `Authorization: Bearer <token>`, except to `/healthz` and `/readyz`.",
      ),
    },
  ),
  self_observability: section("Telemetry about the program itself.", {
    enabled: boolean(true, "Export metrics about the program itself."),
    logs: boolean(false, "Export the program's own log lines too."),
    instance_id: text(
      "",
      "^[^\\x00-\\x1f\\x7f]*$",
      "Value of `service.instance.id`. If it is empty, one is generated and kept in the state directory.",
      '"edge-1"',
    ),
  }),
});

/** Every setting with its value. Durations are milliseconds, sizes bytes, files absolute paths. */
export type Config = Static<typeof configSchema>;

/** All sections and settings, in the order of the schema. */
export const sections = sectionsOf(configSchema);
export const settings: readonly Setting[] = sections.flatMap((one) => one.settings);

/** The value of a setting in a configuration, by its key. */
export function valueAt(config: Config, key: string): unknown {
  return key.split(".").reduce<unknown>((table, name) => (table as Record<string, unknown>)[name], config);
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
