/** Mapping rows for export, series limits, privacy, state and the program itself. */
import { type GoSettings, type Mapping, missing, moved, on, positive, same } from "./mapping.ts";

/** The default endpoint of the Go program. */
const gateway = "https://otlp-gateway-prod-us-central-0.grafana.net/otlp";

/** With `delivery.mode: prometheus`, only a signal with an endpoint of its own is pushed. */
const isPushed = (go: GoSettings): boolean => go.text("delivery.mode") !== "prometheus";

/**
 * The base URL of an endpoint. Here the scheme selects TLS, not a setting. A gRPC address has no scheme; OTLP over HTTP uses
 * port 4318 where gRPC uses 4317.
 */
function baseUrl(value: unknown, go: GoSettings, isInsecure: boolean): string {
  const bare = String(value).replace(/\/+$/, "");
  const scheme = isInsecure ? "http://" : "https://";
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(bare)) {
    return scheme + (go.text("otlp.protocol") === "grpc" ? bare.replace(/:4317$/, ":4318") : bare);
  }
  return isInsecure ? bare.replace(/^https:/i, "http:") : bare;
}

const grpcRemark =
  "OTLP over gRPC is not supported: check that the endpoint accepts OTLP over HTTP, usually on port 4318";

/** Both signals share one setting here, so there is no place for a setting of one signal. */
const shared = "one setting for both signals: what differs between them needs `[[otlp.also]]`";

function signalRows(signal: "metrics" | "logs"): readonly Mapping[] {
  const section = `otlp.${signal}`;
  const path = `/v1/${signal}`;
  const isSet = (key: string) => (go: GoSettings) => go.text(`${section}.${key}`) !== "";
  return [
    same(`${section}.enabled`, "true"),
    same(`${section}.endpoint`, "", {
      convert: (value, go) => {
        const isOwn = isSet("tls.insecure")(go);
        const base = baseUrl(value, go, go.isOn(isOwn ? `${section}.tls.insecure` : "otlp.tls.insecure"));
        return base.endsWith(path) ? base : base + path;
      },
      remark: `the full URL, with \`${path}\``,
      concerns: isSet("endpoint"),
    }),
    same(`${section}.headers`, "", {
      remark: "added to `otlp.headers` here, instead of replacing them",
      concerns: () => false,
    }),
    missing(`${section}.protocol`, shared, { initial: "" }),
    missing(`${section}.tls.*`, shared, {
      concerns: (go) => ["ca_file", "cert_file", "key_file"].some((key) => isSet(`tls.${key}`)(go)),
      isTask: true,
    }),
    missing(`${section}.compression`, shared, { initial: "" }),
    missing(`${section}.timeout`, shared, { initial: "0s" }),
    ...(signal === "logs"
      ? [moved("otlp.logs.max_request_size", "otlp.logs.max_bytes", "0", { convert: positive })]
      : [
          missing("otlp.metrics.max_request_size", "a request that the backend finds too large is divided", {
            initial: "0",
          }),
        ]),
    missing(`${section}.grpc_reconnection_period`, "OTLP over gRPC is not supported", { initial: "0s" }),
    missing(`${section}.retry.*`, "logs are retried until they are delivered, metrics with the next interval"),
  ];
}

const otlp: readonly Mapping[] = [
  same("otlp.protocol", "http", {
    convert: (value) => (value === "stdout" ? "stdout" : value === "http" || value === "grpc" ? undefined : value),
    remark: grpcRemark,
    concerns: (go) => go.text("otlp.protocol") === "grpc",
    isTask: true,
  }),
  same("otlp.endpoint", gateway, {
    convert: (value, go) =>
      isPushed(go) && go.text("otlp.protocol") !== "stdout"
        ? baseUrl(value, go, go.isOn("otlp.tls.insecure"))
        : undefined,
  }),
  same("otlp.grafana_cloud.instance_id", ""),
  same("otlp.grafana_cloud.token", ""),
  same("otlp.grafana_cloud.token_file", ""),
  same("otlp.headers", ""),
  moved("otlp.tls.insecure", "otlp.endpoint", "false", {
    convert: () => undefined,
    remark: "the scheme of the endpoint says it: `http://`",
    concerns: () => false,
  }),
  same("otlp.tls.insecure_skip_verify", "false"),
  same("otlp.tls.ca_file", ""),
  same("otlp.tls.cert_file", ""),
  same("otlp.tls.key_file", ""),
  same("otlp.metric_interval", "60s"),
  missing("otlp.metric_export_batch_size", "a request that the backend finds too large is divided", {
    initial: "10000",
  }),
  moved("otlp.metric_temporality", "otlp.metrics.temporality", "cumulative"),
  missing("otlp.outage_summary_interval", "an outage is logged when it begins and when it ends", { initial: "5m" }),
  missing("otlp.limits.log_body_bytes", "the limit is fixed: 32 KiB", { initial: "32768" }),
  missing("otlp.limits.log_attribute_value_bytes", "the limit is fixed: 4 KiB", { initial: "4096" }),
  same("otlp.compression", "", { remark: "`gzip` is the default here, `none` there", concerns: () => false }),
  same("otlp.timeout", "0s", { convert: positive }),
  moved("otlp.max_request_size", "otlp.logs.max_bytes", "0", {
    convert: positive,
    remark: "requests are kept below it instead of failing; it applies to logs",
  }),
  missing("otlp.grpc_reconnection_period", "OTLP over gRPC is not supported", { initial: "0s" }),
  missing("otlp.retry.*", "logs are retried until they are delivered, metrics with the next interval", {
    initial: "true",
    concerns: (go) => !go.isOn("otlp.retry.enabled"),
  }),
  moved("otlp.batch.logs.export_max_batch_size", "otlp.logs.max_records", "0", { convert: positive }),
  missing("otlp.batch.*", "log records wait in the state directory, not in a queue in memory"),
  moved("otlp.stdout.metric_interval", "otlp.metric_interval", "5s", {
    convert: (value, go) => (go.text("otlp.protocol") === "stdout" ? positive(value) : undefined),
  }),
  missing("otlp.stdout.pretty", "one JSON object per line", { initial: "false" }),
  missing("otlp.credential_reload.*", "not needed: files of secrets and certificates are read again when they change"),
  ...signalRows("metrics"),
  ...signalRows("logs"),
  missing("otlp.traces.*", "there are no traces"),
  missing(
    "delivery.mode",
    "`/metrics` of the admin listener is always there; without `otlp.endpoint` nothing is pushed",
    {
      initial: "otlp",
    },
  ),
];

const flow = "cardinality.flow";

const series: readonly Mapping[] = [
  same("cardinality.metric_limit", "10000", {
    convert: (value) => (Number(value) <= 0 ? 10_000_000 : value),
    remark: "there is always a limit: what was unlimited gets 10,000,000",
    concerns: (go) => Number(go.text("cardinality.metric_limit")) <= 0,
  }),
  same(`${flow}.metrics_mode`, "rollup"),
  same(`${flow}.rollup_top_n`, "500", { convert: positive }),
  same(`${flow}.source_port`, "false"),
  same(`${flow}.destination_port`, "false"),
  same(`${flow}.node_dims`, "true"),
  same(`${flow}.identity_dims`, "false"),
  same(`${flow}.collapse_external`, "true"),
  same(`${flow}.exit_node_attribution`, "true"),
  missing(`${flow}.geo_dims`, "addresses are not geolocated", { initial: "false" }),
  missing(`${flow}.destination_service`, "not needed: `tailscale.dst.service` is always there"),
  missing(
    "cardinality.*",
    "it shapes inventories, which are not exported, and the status page, which has no settings here",
  ),
  missing("enrichment.cache_ttl", "names come from the last device list, however old", { initial: "5m" }),
  missing("enrichment.device_cache_stale_after", "names come from the last device list, however old", {
    initial: "0s",
  }),
  missing("enrichment.reverse_dns.*", "addresses outside the tailnet are not resolved to names", {
    concerns: on("enrichment.reverse_dns.enabled"),
  }),
  missing("enrichment.geoip.*", "addresses are not geolocated", { concerns: on("enrichment.geoip.enabled") }),
];

const hides = (name: string, to: string, more: Partial<Mapping> = {}): Mapping =>
  moved(`pii_filter.${name}`, `privacy.${to}`, "true", {
    // In the Go program, `false` hides it, and so does a value that is neither true nor false.
    convert: (_, go) => (go.isOn(`pii_filter.${name}`) ? undefined : "drop"),
    ...more,
  });

const unhidden = (name: string, remark: string, more: { readonly isTask?: true } = {}): Mapping =>
  missing(`pii_filter.${name}`, remark, { initial: "true", ...more });

const privacy: readonly Mapping[] = [
  hides("emails", "emails", { remark: "login names and display names are one setting", concerns: () => false }),
  hides("user_display_names", "emails", { remark: "login names and display names are one setting" }),
  hides("user_ids", "user_ids"),
  hides("hostnames", "hostnames"),
  hides("node_ids", "node_ids"),
  hides("tailscale_ips", "tailscale_ips"),
  hides("internal_ips", "internal_ips"),
  hides("external_ips", "external_ips"),
  hides("tailnet_name", "tailnet_name"),
  hides("free_text_details", "free_text"),
  unhidden("service_addrs", "names of VIP services are not exported"),
  unhidden("endpoint_paths", "paths of the API are a fixed set of words here, without names"),
  unhidden(
    "network_topology",
    'routes and DNS names can appear in audit logs: to hide them, set privacy.free_text = "drop"',
    {
      isTask: true,
    },
  ),
  unhidden("command_text", "commands of Kubernetes sessions are not exported"),
];

const defaultCheckpoint = "/var/lib/tailscale2otel/checkpoints.json";

const state: readonly Mapping[] = [
  moved("checkpoint.file_path", "state.path", defaultCheckpoint, {
    convert: (value) => (value === defaultCheckpoint ? undefined : parentOf(String(value))),
    remark: "a directory, for records and counters too",
  }),
  missing("checkpoint.store", "not needed: the state directory holds more than cursors, so it is always there", {
    initial: "file",
    concerns: () => false,
  }),
  missing("checkpoint.*", "the state directory is written with every request"),
  missing("ingress_wal.enabled", "always on: a request is answered 200 when its records are on disk", {
    initial: "false",
    concerns: () => false,
  }),
  moved("ingress_wal.max_bytes", "state.max_bytes", "268435456", {
    convert: (value, go) =>
      go.isOn("ingress_wal.enabled") && go.given("ingress_wal.max_bytes") !== undefined ? value : undefined,
    remark: "of the whole database, which holds delivered records for replays too",
  }),
  missing("ingress_wal.*", "the state directory is its own journal; a damaged one is moved aside and salvaged"),
];

/** The directory of a file. */
const parentOf = (path: string): string | undefined =>
  path.replace(/[^/\\]*$/, "").replace(/(?<=.)[/\\]$/, "") || undefined;

const itself: readonly Mapping[] = [
  same("log_level", "info"),
  same("log_format", "text"),
  same("self_observability.enabled", "true"),
  same("self_observability.instance_id", "", {
    remark: "the default is generated once here, and the host name there",
    concerns: () => false,
  }),
  same("admin.enabled", "true"),
  same("admin.listen", "127.0.0.1:9091"),
  moved("admin.auth.token", "admin.token", ""),
  moved("admin.auth.token_file", "admin.token_file", ""),
  missing("admin.auth.*", "the limit on wrong tokens is fixed: 20, then one per second, for each address"),
  same("admin.tls.cert_file", ""),
  same("admin.tls.key_file", ""),
  missing("admin.*", "the page has no settings of its own"),
  missing("flows.*", "the page has no settings of its own; in a terminal, use `top`"),
  missing("events.*", "the page has no settings of its own; in a terminal, use `tail`"),
  missing(
    "prometheus.enabled",
    "`/metrics` is a path of the admin listener: scrape `admin.listen`, with `admin.token`",
    {
      initial: "false",
      concerns: (go) => go.isOn("prometheus.enabled") || go.text("delivery.mode") !== "otlp",
      isTask: true,
    },
  ),
  moved("prometheus.listen", "admin.listen", "127.0.0.1:2112", { convert: () => undefined, concerns: () => false }),
  moved("prometheus.auth.token", "admin.token", "", { convert: tokenOfScraper }),
  moved("prometheus.auth.token_file", "admin.token_file", "", { convert: tokenOfScraper }),
  missing("prometheus.*", "the admin listener has no such settings"),
  missing("profiling.*", "there are no profiles", {
    concerns: (go) => go.isOn("profiling.pprof.enabled") || go.isOn("profiling.pyroscope.enabled"),
  }),
  missing("tracing.*", "there are no traces", { concerns: on("tracing.enabled") }),
  moved("resource.service_namespace", "resource.attributes.service.namespace", ""),
  moved("resource.deployment_environment", "resource.attributes.deployment.environment.name", ""),
  same("resource.attributes", ""),
  missing("resource.from_env", "`OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` are always read", {
    initial: "false",
    concerns: () => false,
  }),
  missing("version_checks.*", "the program makes no requests of its own", {
    initial: "true",
    concerns: on("version_checks.self.enabled"),
  }),
  missing(
    "grafana_annotations.*",
    "annotations are not written to Grafana: the log records of audit events can be shown as such",
    {
      concerns: (go) => go.text("grafana_annotations.url") !== "",
    },
  ),
];

/** A listener has a single token, so the scraper's token is used only if the page has none. */
function tokenOfScraper(value: unknown, go: GoSettings): unknown {
  const isTaken = go.text("admin.auth.token") !== "" || go.text("admin.auth.token_file") !== "";
  return isTaken || !go.isOn("prometheus.enabled") ? undefined : value;
}

export const outputRows: readonly Mapping[] = [...otlp, ...series, ...privacy, ...state, ...itself];
