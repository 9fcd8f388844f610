/** Generates the reference page of metrics and log records, `docs/signals.md`, from the catalogue, with notes and an example query each. */
import { type LogAttributeDefinition, type LogDefinition, logs } from "../src/catalogue/logs.ts";
import {
  type AttributeDomain,
  type MetricDefinition,
  prometheusLabel,
  prometheusName,
} from "../src/catalogue/definition.ts";
import { type MetricName, metrics } from "../src/catalogue/metrics.ts";
import { settings } from "../src/config/schema.ts";

/** `docs/signals.md`, as Markdown. */
export function signalsPage(): string {
  return [introduction, ...groups.map(groupText), logsText()].join("\n\n");
}

const introduction = `# Signals

Every metric and log record that this program sends. This page is generated from \`src/catalogue\`; nothing else is sent.

- **Names.** Each metric has an OpenTelemetry name and, below it, its name in Prometheus, which is the same by OTLP and on
  \`/metrics\` of the admin listener. Characters that Prometheus does not allow in attribute names become \`_\`.
- **On every point and log record**: the attribute \`tailscale.tailnet\`, from the setting of the same name; with
  [several tailnets](tailnets.md), the name of each. If none is set, only signals from webhooks have it, with the tailnet that the webhook names.
- **Resource**: \`service.name\`, \`service.instance.id\`, \`os.type\`, \`telemetry.sdk.*\`, everything in \`resource.attributes\`, and
  \`host.name\` on logs. The version is not included because every upgrade would start new series; see \`tailscale2otel.build_info\`.
- **Exact** counters are sums over accepted records. They survive restarts and crashes without a reset, count every record once no
  matter how often it arrives, and have a start time per series. A new series starts with a point of 0 just before its first value,
  so that \`increase()\` and \`rate()\` include it. A series that has not changed for \`cardinality.series_ttl\` ends.
- **Process** metrics start with the process. Counters of up to 16 possible series have all of them from the start, with 0.
- **Limits.** Once a metric has \`cardinality.metric_limit\` series, new attribute sets are counted in one series with
  \`otel.metric.overflow="true"\`, one per direction. Totals stay exact. Texts longer than 4 KiB in an attribute, 32 KiB in a log
  body or 256 bytes in a metric attribute are cut and end with \`…[truncated]\`; \`tailscale2otel.export.truncated_texts\` counts them.
- **Privacy.** Attributes marked in the tables of logs, and node names on metrics, are kept, dropped or hashed according to \`privacy.*\`.
- **Off by default** are signals that a setting switches on; they say which. The others are exported as soon as there is something to
  measure: those of polling with credentials, for example.
- An attribute is absent if the record has no value for it; empty values are never sent.
- **Dashboards and alerts** of these metrics are in \`contrib/\`: see [Dashboards and alerts](dashboards.md).`;

/** An example query in PromQL: what an operator would ask first. */
export function exampleQuery(name: MetricName, definition: MetricDefinition): string {
  return chosen[name] ?? usualQuery(name, definition);
}

interface Group {
  readonly title: string;
  readonly holds: (name: string) => boolean;
}

const groups: readonly Group[] = [
  {
    title: "Network flows",
    holds: (name) => name.startsWith("tailscale.network.") || name.startsWith("tailscale.exit_node."),
  },
  { title: "Configuration audit", holds: (name) => name.startsWith("tailscale.config.") },
  { title: "Webhooks", holds: (name) => name.startsWith("tailscale.webhook.") },
  {
    title: "Stream receiver",
    holds: (name) => name.startsWith("tailscale.stream.") || name.startsWith("tailscale.logstream."),
  },
  { title: "The program itself", holds: (name) => name.startsWith("tailscale2otel.") || name.startsWith("process.") },
];

function groupText({ title, holds }: Group): string {
  const found = (Object.entries(metrics) as [MetricName, MetricDefinition][]).filter(([name]) => holds(name));
  return [`## ${title}`, ...found.map(([name, definition]) => metricText(name, definition))].join("\n\n");
}

function metricText(name: MetricName, definition: MetricDefinition): string {
  const { origin, kind, unit, description, attributes, buckets } = definition;
  const exactness = origin === "ledger" ? "exact" : "process";
  const bounds = buckets === undefined ? [] : [`Buckets: ${buckets.join(", ")}.`];
  const rows = Object.entries(attributes).map(
    ([attribute, domain]) =>
      `| \`${attribute}\` | \`${prometheusLabel(attribute)}\` | ${domainText(domain)}${onlyWith(attributeNeeds[attribute])} |`,
  );
  const table =
    rows.length === 0 ? [] : [["| attribute | label | values |", "| --- | --- | --- |", ...rows].join("\n")];
  return [
    `### \`${name}\``,
    `\`${prometheusName(name, definition)}\` · ${exactness} ${kindNames[kind]} · unit \`${unit}\``,
    [description, notes[name] ?? "", offByDefault(name), ...bounds].filter((text) => text !== "").join(" "),
    ...table,
    `\`\`\`promql\n${exampleQuery(name, definition)}\n\`\`\``,
  ].join("\n\n");
}

/** The setting that a metric needs if by default it is not exported or has nothing to measure. */
const needs: readonly (readonly [prefix: string, assignment: string])[] = [
  ["tailscale.network.io", 'cardinality.flow.metrics_mode = "all"'],
  ["tailscale.network.packets", 'cardinality.flow.metrics_mode = "all"'],
  ["tailscale.network.flow.logs_dropped", "collectors.flowlogs.max_log_records_per_window"],
  ["tailscale.webhook.", "webhook.enabled"],
  ["tailscale.stream.", "streaming.enabled"],
  ["tailscale.logstream.", "streaming.auto_configure"],
  ["tailscale2otel.logstream.", "streaming.auto_configure"],
  ["tailscale2otel.reconcile.", 'collectors.flowlogs.source = "both"'],
  ["tailscale2otel.tls.", "streaming.tls.cert_file"],
  ["tailscale2otel.cluster.", "state.url"],
];

/** The same for attributes of metrics. */
const attributeNeeds: Readonly<Record<string, string>> = {
  "source.port": "cardinality.flow.source_port",
  "destination.port": "cardinality.flow.destination_port",
  ...Object.fromEntries(
    ["src", "dst"].flatMap((end) =>
      ["user", "tags", "os"].map((what) => [`tailscale.${end}.${what}`, "cardinality.flow.identity_dims"]),
    ),
  ),
};

function offByDefault(name: string): string {
  const found = needs.find(([prefix]) => (prefix.endsWith(".") ? name.startsWith(prefix) : name === prefix));
  return found === undefined ? "" : `**Off by default**: needs ${settingText(found[1])}.`;
}

function onlyWith(setting: string | undefined): string {
  return setting === undefined ? "" : `; off by default: needs ${settingText(setting)}`;
}

/** @throws {Error} if there is no such setting. */
function settingText(assignment: string): string {
  const [key = ""] = assignment.split(" = ");
  if (!settings.some((setting) => setting.key === key)) throw new Error(`there is no setting ${key}`);
  return `\`${assignment}\``;
}

const kindNames: Readonly<Record<MetricDefinition["kind"], string>> = {
  counter: "counter",
  total: "counter",
  gauge: "gauge",
  updown: "up-down counter",
  histogram: "histogram",
};

function domainText(domain: AttributeDomain): string {
  if (domain === "text") return "text";
  if ("maxOthers" in domain) {
    const known = domain.known.map((word) => `\`${word}\``).join(" ");
    return `${known === "" ? "" : `${known}, and `}up to ${domain.maxOthers} others as they occur, then \`other\``;
  }
  return domain.map((word) => `\`${word}\``).join(" ");
}

function logsText(): string {
  return ["## Logs", ...Object.entries(logs).map(([name, definition]) => logText(name, definition))].join("\n\n");
}

function logText(name: string, { description, severity, body, attributes }: LogDefinition): string {
  const rows = Object.entries(attributes).map(([attribute, definition]) => attributeRow(attribute, definition));
  return [
    `### \`${name}\``,
    description,
    `- Severity: ${severity}\n- Body: ${body}`,
    ["| attribute | type | what | `privacy` |", "| --- | --- | --- | --- |", ...rows].join("\n"),
  ].join("\n\n");
}

function attributeRow(name: string, { type, description, privacy }: LogAttributeDefinition): string {
  return `| \`${name}\` | ${type} | ${description} | ${privacy === undefined ? "" : (privacyText[privacy] ?? privacy)} |`;
}

/** Texts for attributes to which several rules may apply; the others name their rule. */
const privacyText: Readonly<Partial<Record<NonNullable<LogAttributeDefinition["privacy"]>, string>>> = {
  node: "hostnames, or by the address",
  address: "by its range: tailscale_ips, internal_ips, external_ips",
  target_id: "by the target: node_ids, user_ids, tailnet_name, else free_text",
  target_name: "by the target: hostnames, emails, tailnet_name, else free_text",
};

/** Notes that do not fit in a description. */
const notes: Readonly<Partial<Record<MetricName, string>>> = {
  "tailscale.network.io.rollup": "All other pairs are summed under `__other__`.",
  "tailscale.network.packets.rollup": "All other pairs are summed under `__other__`.",
  "tailscale.network.unique.dst_peers":
    "Counted per metric interval; nodes by name, other addresses individually. Not sent if nodes have no names on metrics.",
  "tailscale.network.unique.dst_ports": "Counted per metric interval. Not sent if nodes have no names on metrics.",
  "tailscale.exit_node.io":
    "That is exit traffic whose source is not the reporting node itself: clients report their own exit traffic too.",
  "tailscale.exit_node.packets":
    "That is exit traffic whose source is not the reporting node itself: clients report their own exit traffic too.",
  "tailscale.network.flow.logs_dropped": "The limit is `collectors.flowlogs.max_log_records_per_window`.",
  "tailscale.network.dedup.conflicts":
    "`counters`: a known record with other counters, counted once. `entries`: another record of a known node and window.",
  "tailscale.network.data_quality":
    "Entries are left out of their record, records with an inverted window are quarantined, and records whose time is in the future or was replaced by the time of receipt are accepted.",
  "tailscale.network.reporter.observations": "Tailscale verifies `nodeId`; `srcNode.nodeId` is the node's own claim.",
  "tailscale.network.field.observations": "The port of a relay is its region and counts as a missing port.",
  "tailscale.config.audit.schema_drift":
    "`unknown`: this version does not know the value, and other metrics show `other`.",
  "tailscale.config.audit.deferred.delay": "Negative delays, which differing clocks cause, are not recorded.",
  "tailscale.config.audit.processing.delay": "Negative delays, which differing clocks cause, are not recorded.",
  "tailscale.webhook.duplicates":
    "Includes events that an audit record had already reported, if `webhook.dedup_audit_events` is on.",
  "tailscale2otel.ingest.event.age": "Sampled: at most 16 records of each batch and type.",
  "tailscale2otel.ingest.capture.delay": "Sampled: at most 16 records of each batch and type.",
  "tailscale2otel.ingest.last_event_timestamp": "It never moves back.",
  "tailscale2otel.ingest.front_end":
    "The scanner is fast and strict; the slower reader handles everything else. If its share grows, Tailscale has changed its format.",
  "tailscale2otel.reconcile.repaired":
    "Counted while the stream was delivering. `repaired` minus `late` is what the stream lost.",
  "tailscale2otel.reconcile.unverifiable":
    "They lie beyond the dedup window while the stream was delivering, or beyond Tailscale's retention.",
  "tailscale2otel.dedup.unproven": "Streamed records that old may be duplicates.",
  "tailscale2otel.dedup.horizon": "At most the configured dedup window.",
  "tailscale2otel.journal.lost.rows": "As far as their number is known.",
  "tailscale2otel.journal.lost.records": "Undelivered ones, and those not known to be delivered.",
  "tailscale2otel.export.records":
    "Kept in the journal, so it goes on after a restart. Accepted records are delivered, dead-lettered or `tailscale2otel.journal.pending`; `status` shows the whole sum.",
  "tailscale2otel.export.datapoints": "`left_out`: the backend rejected the series before.",
  "tailscale2otel.api.duration": "Includes the response body.",
  "tailscale2otel.scrape.lag":
    "For logs the age of the end of the last window that was read, for devices the age of the last response.",
  "tailscale.logstream.entries_sent":
    "Counted since the log stream was configured; only for streams that `streaming.auto_configure` has set up.",
  "tailscale.logstream.requests_failed": "Counted since the log stream was configured.",
  "tailscale2otel.logstream.missing":
    "Entries sent minus records received from the stream (accepted, duplicate or quarantined), both since this process first looked or since Tailscale's counter was reset; never below 0. Entries in transit raise it for a moment, and batches sent twice and values of unknown types make it inexact. A lasting increase means loss.",
  "tailscale2otel.scrape.staleness": "Before the first success: since the start.",
  "tailscale2otel.config.valid": "The previous configuration stays in force.",
  "tailscale2otel.cluster.members": "Those that have shown a sign of life within the last `state.lease`.",
  "tailscale2otel.cluster.lease.held":
    "As this instance sees it, from the database. Absent, as are members, fence and lag, while the database does not answer.",
  "tailscale2otel.cluster.fence": "It rises whenever an instance begins to lead.",
  "tailscale2otel.cluster.lag":
    "`counting`: rows that are in no committed counters yet, which are committed every `otlp.metric_interval`. `delivery`: rows whose logs have not all been delivered to `otlp.endpoint`.",
  "tailscale2otel.cluster.database.duration": "Of one query every 5 seconds, from each instance.",
  "tailscale2otel.tls.cert.rejected":
    "The previous certificate is served until then; with `tls.tailscale`, a listener that has had none stays closed. The log says what to do.",
};

/** Queries that are more useful than the usual one for their kind of metric. */
const chosen: Readonly<Partial<Record<MetricName, string>>> = {
  "tailscale.network.io":
    'topk(10, sum by (tailscale_src_node, tailscale_dst_node) (rate(tailscale_network_io_bytes_total{tailscale_traffic_type="virtual"}[5m])))',
  "tailscale.network.packets":
    'sum by (tailscale_src_node) (rate(tailscale_network_packets_total{network_io_direction="transmit"}[5m]))',
  "tailscale.network.io.rollup":
    'topk(10, sum by (tailscale_src_node, tailscale_dst_node) (rate(tailscale_network_io_rollup_bytes_total{tailscale_traffic_type="virtual"}[5m])))',
  "tailscale.network.packets.rollup":
    "sum by (tailscale_dst_service) (rate(tailscale_network_packets_rollup_total[5m]))",
  "tailscale.network.unique.dst_peers": "topk(10, tailscale_network_unique_dst_peers)",
  "tailscale.network.unique.dst_ports": "tailscale_network_unique_dst_ports > 100",
  "tailscale.exit_node.io":
    "sum by (tailscale_exit_node, network_io_direction) (rate(tailscale_exit_node_io_bytes_total[5m]))",
  "tailscale.network.reporter.observations":
    'increase(tailscale_network_reporter_observations_total{consistency="mismatch"}[1h]) > 0',
  "tailscale.network.field.observations":
    'sum by (field_class) (rate(tailscale_network_field_observations_total{state="missing"}[1h])) / sum by (field_class) (rate(tailscale_network_field_observations_total[1h]))',
  "tailscale.network.data_quality": "sum by (reason) (increase(tailscale_network_data_quality_total[1h])) > 0",
  "tailscale.config.audit.changes":
    'increase(tailscale_config_audit_changes_total{tailscale_audit_change="acl"}[5m]) > 0',
  "tailscale.config.audit.schema_drift":
    'increase(tailscale_config_audit_schema_drift_total{status="unknown"}[1d]) > 0',
  "tailscale.webhook.schema_drift": 'increase(tailscale_webhook_schema_drift_total{status="unknown"}[1d]) > 0',
  "tailscale2otel.ingest.records": "sum by (source, signal, outcome) (rate(tailscale2otel_ingest_records_total[5m]))",
  "tailscale2otel.ingest.last_event_timestamp": "time() - tailscale2otel_ingest_last_event_timestamp_seconds > 900",
  "tailscale2otel.journal.pending": "deriv(tailscale2otel_journal_pending[15m]) > 0",
  "tailscale2otel.journal.pending.age": "tailscale2otel_journal_pending_age_seconds > 300",
  "tailscale2otel.journal.size": "tailscale2otel_journal_size_bytes / tailscale2otel_journal_limit_bytes > 0.95",
  "tailscale2otel.journal.limit": "tailscale2otel_journal_size_bytes / tailscale2otel_journal_limit_bytes",
  "tailscale2otel.dedup.horizon": 'tailscale2otel_dedup_horizon_seconds{type="flow"} < 3600',
  "tailscale2otel.export.log_records":
    'increase(tailscale2otel_export_log_records_total{outcome!="delivered"}[1h]) > 0',
  "tailscale2otel.export.requests": 'rate(tailscale2otel_export_requests_total{outcome!="success"}[5m])',
  "tailscale2otel.export.last_success": "time() - tailscale2otel_export_last_success_seconds > 300",
  "tailscale2otel.series.active": "tailscale2otel_series_active / on (metric_name) tailscale2otel_series_limit > 0.8",
  "tailscale2otel.series.limit": "tailscale2otel_series_active / on (metric_name) tailscale2otel_series_limit",
  "tailscale2otel.series.overflowed": "increase(tailscale2otel_series_overflowed_total[1h]) > 0",
  "tailscale2otel.quarantine.records":
    "sum by (class, reason) (increase(tailscale2otel_quarantine_records_total[1h])) > 0",
  "tailscale2otel.tls.cert.not_after": "tailscale2otel_tls_cert_not_after_seconds - time() < 7 * 86400",
  "tailscale2otel.cluster.lease.held": "min(tailscale2otel_cluster_lease_held_ratio) == 0",
  "tailscale2otel.cluster.fence": "delta(tailscale2otel_cluster_fence[1h]) > 0",
  "tailscale2otel.cluster.lag": 'min_over_time(tailscale2otel_cluster_lag{step="delivery"}[15m]) > 1000',
  "tailscale2otel.cluster.database.up": "tailscale2otel_cluster_database_up_ratio == 0",
  "tailscale2otel.up": "absent(tailscale2otel_up_ratio) or tailscale2otel_up_ratio == 0",
  "tailscale2otel.logstream.missing": "min_over_time(tailscale2otel_logstream_missing[30m]) > 0",
  "tailscale2otel.config.warnings": "tailscale2otel_config_warnings_ratio > 0",
  "process.cpu.time": "sum(rate(process_cpu_time_seconds_total[5m]))",
};

function usualQuery(metric: string, definition: MetricDefinition): string {
  const name = prometheusName(metric, definition);
  const labels = Object.keys(definition.attributes).map(prometheusLabel).slice(0, 3);
  const by = labels.length === 0 ? "" : ` by (${labels.join(", ")})`;
  switch (definition.kind) {
    case "counter":
    case "total":
      return `sum${by} (rate(${name}[5m]))`;
    case "gauge":
    case "updown":
      return `max${by} (${name})`;
    case "histogram":
      return `histogram_quantile(0.99, sum by (${[...labels, "le"].join(", ")}) (rate(${name}_bucket[5m])))`;
  }
}
