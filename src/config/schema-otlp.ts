/** Settings of the export: the primary destination, and additional ones as an array of tables. */
import {
  arrayOf,
  boolean,
  bytes,
  choice,
  duration,
  file,
  integer,
  list,
  map,
  secret,
  section,
  text,
  url,
} from "./setting.ts";

/** Maximum number of additional destinations. */
export const maxAlso = 8;

const headers = (which: string) =>
  map(
    "header",
    `${which} In the name of a variable, \`_\` also stands for \`-\`. Values are never shown.`,
    '{ "X-Scope-OrgID" = "tenant-1" }',
  );

const compression = choice(
  ["gzip", "zstd", "none"],
  "gzip",
  "Compression of request bodies. `zstd` needs a third less bandwidth, but many backends do not accept it.",
);
const timeout = duration("10s", ["100ms", "10m"], "Timeout of a whole request.");

/** `of`: the section of the destination. */
const ofSignal = (signal: "metrics" | "logs", of: string) => ({
  endpoint: url(
    "",
    `Full URL for ${signal}, instead of one derived from \`${of}.endpoint\`. Nothing is appended.`,
    `"https://${signal}.example.com/otlp/v1/${signal}"`,
  ),
  headers: headers(`Headers of ${signal} requests, in addition to \`${of}.headers\` and overriding them.`),
  enabled: boolean(true, `Export ${signal}.`),
});

const ofMetrics = (of: string) => ({
  ...ofSignal("metrics", of),
  temporality: choice(
    ["cumulative", "delta"],
    "cumulative",
    "What a counter reports: its total or, with `delta`, what was added since the last report that the backend acknowledged.",
  ),
});

const ofLogs = (of: string) => ({
  ...ofSignal("logs", of),
  max_records: integer(5000, [1, 100_000], "Maximum log records per request."),
  max_bytes: bytes("4MiB", "16KiB", "Maximum size of a request body before compression."),
  concurrency: integer(2, [1, 64], "Maximum concurrent logs requests."),
});

const tls = section("TLS of the connection to the backend.", {
  ca_file: file("CA certificates (PEM) to trust instead of the system's.", "ca.pem"),
  cert_file: file("Client certificate (PEM). Needs `key_file`.", "client-cert.pem"),
  key_file: file("Key of the client certificate (PEM), without a passphrase.", "client-key.pem"),
  insecure_skip_verify: boolean(false, "Accept any certificate, so anyone in between can read everything."),
});

const grafanaCloud = section("Grafana Cloud credentials, sent as the `Authorization` header.", {
  instance_id: text(
    "",
    "^[^\\x00-\\x20\\x7f:]*$",
    "ID of the OTLP instance, a number. It is the user name.",
    '"123456"',
  ),
  token: secret("Access policy token with write scopes.", "glc_example"),
});

const also = arrayOf(
  section(
    "Further destinations, each in a table `[[otlp.also]]` of its own (docs/destinations.md). In variables and `--set`, they are numbered from 0. Each has a position and dead letters of its own, and one that is down does not delay the others. Log records of a new one begin with the newest record; `replay --destination NAME` sends the past.",
    {
      name: text(
        "",
        "^[^\\x00-\\x1f\\x7f]*$",
        "Name in `status`, metrics and commands. Required, and different from all others. Renaming a destination removes it and adds a new one.",
        '"archive"',
      ),
      types: list(
        ["flow", "audit", "webhook"],
        ["flow", "audit", "webhook"],
        "Record types whose log records are sent.",
        '["audit", "webhook"]',
      ),
      required: boolean(
        true,
        "Keep its undelivered records whatever happens; if they fill the journal, senders get 503. With `false`, its oldest undelivered records are given up when space is short, counted as `evicted`.",
      ),
      endpoint: url(
        "",
        "Base URL, to which `/v1/logs` and `/v1/metrics` are appended.",
        '"https://archive.example.com/otlp"',
      ),
      protocol: choice(["http/protobuf", "http/json"], "http/protobuf", "Encoding of requests."),
      headers: headers("Headers of all requests."),
      compression,
      timeout,
      metrics: section("Settings for metrics only.", ofMetrics("otlp.also")),
      logs: section("Settings for logs only.", ofLogs("otlp.also")),
      tls,
      grafana_cloud: grafanaCloud,
    },
  ),
  maxAlso,
);

export const otlp = section("Where metrics and logs are exported: any OTLP/HTTP endpoint.", {
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
  compression,
  timeout,
  metric_interval: duration(
    "60s",
    ["100ms", "24h"],
    "How often metrics are aggregated, saved and exported. The first record after a start does not wait for it.",
  ),
  metrics: section("Settings for metrics only.", ofMetrics("otlp")),
  logs: section("Settings for logs only.", {
    ...ofLogs("otlp"),
    record_uid: boolean(false, "Add `log.record.uid`, by which a backend can deduplicate retries."),
  }),
  tls,
  grafana_cloud: grafanaCloud,
  also,
});
