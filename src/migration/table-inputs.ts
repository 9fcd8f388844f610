/** Mapping rows for Tailscale's API, the collectors and the receivers. */
import { hasGoCredentials, type GoSettings, type Mapping, missing, moved, on, positive, same } from "./mapping.ts";

const oauth = "tailscale.auth.oauth";

/** The Go program reads only the credentials of its method; here an OAuth client would win over an API key. */
const ofMethod =
  (method: string) =>
  (value: unknown, go: GoSettings): unknown =>
    go.text("tailscale.auth.method") === method ? value : undefined;

const api: readonly Mapping[] = [
  missing("provider", "only Tailscale is supported: Headscale has neither flow logs nor audit logs", {
    initial: "tailscale",
    isTask: true,
  }),
  missing("headscale.*", "only Tailscale is supported"),
  same("tailscale.tailnet", "-"),
  missing("tailscale.auth.method", "tokens of a workload identity are not exchanged: create an OAuth client", {
    initial: "oauth",
    concerns: (go) => go.text("tailscale.auth.method") === "workload_identity",
    isTask: true,
  }),
  same(`${oauth}.client_id`, "", { convert: ofMethod("oauth") }),
  same(`${oauth}.client_secret`, "", { convert: ofMethod("oauth") }),
  same(`${oauth}.client_secret_file`, "", { convert: ofMethod("oauth") }),
  same(`${oauth}.scopes`, "all:read", {
    convert: (value, go) => (go.text(`${oauth}.client_id`) === "" ? undefined : ofMethod("oauth")(value, go)),
  }),
  same("tailscale.auth.apikey", "", { convert: ofMethod("apikey") }),
  same("tailscale.auth.apikey_file", "", { convert: ofMethod("apikey") }),
  missing("tailscale.auth.workload_identity.*", "tokens of a workload identity are not exchanged"),
  same("tailscale.http.timeout", "30s"),
  moved("tailscale.http.retry.max_attempts", "tailscale.http.max_attempts", "4"),
  missing("tailscale.http.retry.base_delay", "the back-off is fixed: 0.5 s to 10 s, or what the API asks for", {
    initial: "500ms",
  }),
  missing("tailscale.http.retry.max_delay", "the back-off is fixed: 0.5 s to 10 s, or what the API asks for", {
    initial: "10s",
  }),
  same("tailscale.http.rate_limit", "0"),
  missing("tailscale.max_response_bytes", "memory for responses is bounded without it", { initial: "4194304" }),
  missing("tailscale.max_log_response_bytes", "logs are read as a stream, and a range that is too large is halved", {
    initial: "33554432",
  }),
  missing("tailscale.organization", "organizations are not read: `[[tailnet]]` lists several tailnets", {
    initial: "",
  }),
  missing("tailnets", "one tailnet is converted, the one of `--tailnet`; add others as `[[tailnet]]`", { initial: "" }),
];

const inventory =
  "inventories of the tailnet are not exported: keep the Go program for them, without its flow and audit collectors";

/** Enabled by default, as in the Go program. */
const collected = (section: string): Mapping =>
  missing(`${section}.*`, inventory, { initial: "true", concerns: on(`${section}.enabled`) });

const objectStore = "logs are not read from object storage, so the API is polled instead";

/** The settings that the collectors of both logs share. */
function pollRows(log: "flowlogs" | "auditlogs", lag: string, maxWindow: string, capacity: string): readonly Mapping[] {
  const section = `collectors.${log}`;
  return [
    same(`${section}.enabled`, "true"),
    same(`${section}.source`, "poll", {
      convert: (value) => (value === "objectstore" ? "poll" : value),
      remark: objectStore,
      concerns: (go) => go.text(`${section}.source`) === "objectstore",
      isTask: true,
    }),
    same(`${section}.interval`, "60s"),
    same(`${section}.lag`, lag),
    same(`${section}.initial_lookback`, "5m"),
    same(`${section}.max_window`, maxWindow),
    missing(`${section}.dedup_capacity`, "duplicates are recognized on disk, for the time in `[dedup]`", {
      initial: capacity,
    }),
    missing(`${section}.objectstore.*`, objectStore),
  ];
}

const collectors: readonly Mapping[] = [
  same("collectors.devices.enabled", "true"),
  same("collectors.devices.interval", "60s", { convert: (value, go) => (hasGoCredentials(go) ? value : undefined) }),
  missing("collectors.devices.*", `${inventory}; the device list is read for names alone`, {
    concerns: on("collectors.devices.enabled"),
  }),
  ...pollRows("flowlogs", "120s", "1h", "16384"),
  same("collectors.flowlogs.replay_overlap", "5m"),
  missing("collectors.flowlogs.replay_seen_capacity", "duplicates are recognized on disk, for the time in `[dedup]`", {
    initial: "131072",
  }),
  missing("collectors.flowlogs.trusted_reporter_node_ids", "reporters are not classified by a list of trusted ones", {
    initial: "",
  }),
  missing("collectors.flowlogs.trusted_reporter_tags", "reporters are not classified by a list of trusted ones", {
    initial: "",
  }),
  same("collectors.flowlogs.log_mode", "per_connection"),
  same("collectors.flowlogs.max_log_records_per_window", "0", {
    remark: "the limit applies to each request of a poll or stream, not to a window",
  }),
  ...pollRows("auditlogs", "60s", "6h", "4096"),
  ...[
    "users",
    "keys",
    "settings",
    "acl",
    "dns",
    "contacts",
    "webhooks",
    "posture_integrations",
    "oauth_apps",
    "services",
  ].map((name) => collected(`collectors.${name}`)),
  missing("collectors.pam.*", inventory, { concerns: on("collectors.pam.enabled") }),
  missing("pam.*", inventory),
  missing("collectors.k8s_audit.*", "recordings of tsrecorder are not read", {
    concerns: on("collectors.k8s_audit.enabled"),
  }),
  missing(
    "collectors.log_stream.*",
    "not needed: with `streaming.enabled` and API credentials, `tailscale2otel.logstream.*` is exported",
  ),
  missing(
    "collectors.node_metrics.*",
    "metrics of nodes are not scraped: use Prometheus, or the Prometheus receiver of a Collector",
    { concerns: on("collectors.node_metrics.enabled") },
  ),
  missing("scheduler.*", "collectors start at once, each in its own interval"),
  missing("coordination.*", "instances that share a database (`state.url`) elect a leader there, without Kubernetes", {
    concerns: (go) => go.text("coordination.mode") === "kubernetes",
    isTask: true,
  }),
];

const streaming: readonly Mapping[] = [
  same("streaming.enabled", "false"),
  same("streaming.listen", ":8088"),
  same("streaming.path", "/services/collector/event"),
  same("streaming.token", ""),
  same("streaming.token_file", ""),
  same("streaming.public_url", ""),
  same("streaming.tls.cert_file", ""),
  same("streaming.tls.key_file", ""),
  same("streaming.decompress", "auto"),
  same("streaming.auto_configure", "false", {
    remark: "only the logs of enabled collectors are pointed here, not both",
    concerns: on("streaming.auto_configure"),
  }),
  same("streaming.max_body_bytes", "0"),
  same("streaming.max_concurrent_requests", "0", {
    convert: (value) => (Number(value) < 0 ? 1024 : positive(value)),
    remark:
      "requests that are being parsed, by default 16 instead of 4 and at most 1,024; bodies in memory are limited by `streaming.max_inflight_bytes`",
  }),
  missing("streaming.per_route_max_concurrent_requests", "tailnets share one limit", { initial: "0" }),
  missing("streaming.routes", "the route of the converted tailnet is converted", {
    initial: "",
  }),
];

const webhook: readonly Mapping[] = [
  same("webhook.enabled", "false"),
  same("webhook.listen", ":8089"),
  same("webhook.path", "/tailscale/webhook"),
  same("webhook.secret", ""),
  same("webhook.secret_file", ""),
  same("webhook.tls.cert_file", ""),
  same("webhook.tls.key_file", ""),
  same("webhook.tolerance", "5m"),
  same("webhook.dedup_audit_events", "false"),
  same("webhook.max_body_bytes", "0", {
    convert: (value) => (Number(value) < 0 ? 64 * 1024 * 1024 : positive(value)),
    remark: "there is always a limit: `0` means 4 MiB here and 1 MiB there, and what was unlimited gets 64 MiB",
    concerns: on("webhook.enabled"),
  }),
  missing("webhook.max_concurrent_requests", "the bodies of webhooks are limited together, without a setting", {
    initial: "0",
  }),
  missing("webhook.per_route_max_concurrent_requests", "tailnets share one limit", { initial: "0" }),
  missing("webhook.routes", "the secret of the converted tailnet's route is converted", {
    initial: "",
  }),
];

export const inputRows: readonly Mapping[] = [...api, ...collectors, ...streaming, ...webhook];
