/** The settings of everything that goes out: metrics, logs, and what they may contain. */
import { boolean, bytes, choice, duration, file, integer, map, secret, section, text, url } from "./setting.ts";

export const cardinality = section("How many series metrics may have.", {
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
    exit_node_attribution: boolean(true, "Whether exit traffic is counted by reporting node, in metrics of its own."),
  }),
});

const hidden = (description: string) => choice(["keep", "drop", "hash"], "keep", description);
const exported = (what: string) => hidden(`How ${what} are exported.`);

export const privacy = section(
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

export const otlp = section("Where metrics and logs are exported: any OTLP/HTTP endpoint.", {
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
