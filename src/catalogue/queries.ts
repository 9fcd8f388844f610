/** One question for each metric, in PromQL: what an operator would ask it first. */
import type { MetricDefinition } from "./definition.ts";
import type { MetricName } from "./metrics.ts";
import { prometheusLabel, prometheusName } from "./prometheus-name.ts";

/** The example of a metric: chosen where there is a better question than the usual one of its kind. */
export function exampleQuery(name: MetricName, definition: MetricDefinition): string {
  return chosen[name] ?? usualQuery(name, definition);
}

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
  "tailscale2otel.ingest.records": "sum by (source, type, outcome) (rate(tailscale2otel_ingest_records_total[5m]))",
  "tailscale2otel.ingest.last_event_timestamp": "time() - tailscale2otel_ingest_last_event_timestamp_seconds > 900",
  "tailscale2otel.journal.pending": "deriv(tailscale2otel_journal_pending[15m]) > 0",
  "tailscale2otel.journal.pending.age": "tailscale2otel_journal_pending_age_seconds > 300",
  "tailscale2otel.journal.size": "tailscale2otel_journal_size_bytes / tailscale2otel_journal_limit_bytes > 0.8",
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
  "tailscale2otel.up": "absent(tailscale2otel_up) or tailscale2otel_up == 0",
  "tailscale2otel.logstream.missing": "min_over_time(tailscale2otel_logstream_missing[30m]) > 0",
  "tailscale2otel.config.warnings": "tailscale2otel_config_warnings > 0",
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
