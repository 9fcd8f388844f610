/** Compares the metrics of the Go program with the catalogue: names, labels, and where to look for metrics without a counterpart. */
import { type MetricDefinition, prometheusLabel, prometheusName } from "../src/catalogue/definition.ts";
import { type MetricName, metrics } from "../src/catalogue/metrics.ts";

/** Both tables as Markdown. */
export function metricTables(): string {
  const shared = goMetrics.filter(({ name }) => name in metrics);
  const others = goMetrics.filter(({ name }) => !(name in metrics));
  const unexplained = others.filter(({ name }) => elsewhere[name] === undefined).map(({ name }) => name);
  if (unexplained.length > 0)
    throw new Error(`scripts/moving-metrics.ts: where to look for ${unexplained.join(", ")}?`);
  return `### Metrics of the same name

The Go program has ${goMetrics.length} metrics about flows, audit logs, webhooks, log streaming and the program itself; ${shared.length} exist here
under the same name. A label that exists only on one side matters if a query names it.

${table(["metric", "labels only there", "labels only here", "what else differs"], shared.map(sharedRow))}

### Metrics without one of the same name

${table(["metric there", "look at"], others.map(otherRow))}`;
}

interface GoMetric {
  readonly name: string;
  /** The name in Prometheus. */
  readonly queried: string;
  readonly labels: readonly string[];
}

function sharedRow({ name, queried, labels }: GoMetric): readonly string[] {
  const definition: MetricDefinition = metrics[name as MetricName];
  const own = new Set(Object.keys(definition.attributes).map(prometheusLabel));
  const here = prometheusName(name, definition);
  const renamed = here === queried ? "" : `\`${here}\` here. `;
  const code = (list: readonly string[]): string => list.map((label) => `\`${label}\``).join(" ");
  return [
    `\`${queried}\``,
    code(labels.filter((label) => !own.has(label))),
    code([...own].filter((label) => !labels.includes(label))),
    renamed + (meanings[name] ?? ""),
  ];
}

function otherRow({ name, queried }: GoMetric): readonly string[] {
  return [`\`${queried}\``, elsewhere[name] ?? ""];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const flow =
  "network_io_direction network_transport tailscale_traffic_type tailscale_src_node tailscale_dst_node tailscale_dst_service tailscale_path tailscale_derp_region_id tailscale_src_user tailscale_src_tags tailscale_src_os tailscale_dst_user tailscale_dst_tags tailscale_dst_os source_geo_country_iso_code source_geo_continent_code destination_geo_country_iso_code destination_geo_continent_code";

/** Name, suffix in Prometheus (`-`: none), labels. */
const goMetrics: readonly GoMetric[] = `
tailscale.network.io bytes_total ${flow} source_port destination_port
tailscale.network.packets total ${flow} source_port destination_port
tailscale.network.io.rollup bytes_total ${flow}
tailscale.network.packets.rollup total ${flow}
tailscale.network.flows total network_transport tailscale_traffic_type
tailscale.network.unique.dst_peers - tailscale_src_node
tailscale.network.unique.dst_ports - tailscale_src_node
tailscale.network.flow.logs_dropped total
tailscale.network.data_quality total source reason
tailscale.network.dedup.conflicts total scope tailscale_traffic_type
tailscale.network.field.observations total tailscale_traffic_type field_class state
tailscale.network.reporter.observations total trust consistency
tailscale.network.store.dropped total reason
tailscale.exit_node.io bytes_total tailscale_exit_node network_io_direction
tailscale.exit_node.packets total tailscale_exit_node network_io_direction
tailscale.config.audit.events total tailscale_audit_action tailscale_audit_origin
tailscale.config.audit.changes total tailscale_audit_change tailscale_audit_action tailscale_actor_type
tailscale.config.audit.schema_drift total field status
tailscale.config.audit.deferred.delay seconds
tailscale.config.audit.processing.delay seconds
tailscale.webhook.events total tailscale_webhook_type
tailscale.webhook.duplicates total
tailscale.webhook.rejected total reason
tailscale.webhook.schema_drift total field status
tailscale.webhook.inflight -
tailscale.webhook.request.duration seconds
tailscale.stream.records total type
tailscale.stream.rejected total reason
tailscale.stream.decode_errors total type
tailscale.stream.skipped total reason
tailscale.stream.inflight -
tailscale.stream.request.duration seconds
tailscale.logstream.configured ratio tailscale_logstream_type
tailscale.logstream.entries_sent total tailscale_logstream_type
tailscale.logstream.bytes_sent total tailscale_logstream_type
tailscale.logstream.requests total tailscale_logstream_type
tailscale.logstream.requests_failed total tailscale_logstream_type
tailscale.logstream.max_body_requests total tailscale_logstream_type
tailscale.logstream.spoofed_entries total tailscale_logstream_type
tailscale.logstream.error ratio tailscale_logstream_type
tailscale.logstream.last_activity seconds tailscale_logstream_type
tailscale2otel.up ratio
tailscale2otel.build_info ratio version go_version
tailscale2otel.config.valid ratio
tailscale2otel.config.warnings ratio
tailscale2otel.receiver.misconfigured ratio receiver
tailscale2otel.component.errors total component
tailscale2otel.update_available ratio
tailscale2otel.pii_filter.category ratio category
tailscale2otel.ingest.records total source signal
tailscale2otel.ingest.size bytes_total source
tailscale2otel.ingest.event.age seconds source signal
tailscale2otel.ingest.capture.delay seconds source signal
tailscale2otel.ingest.last_event_timestamp seconds source signal
tailscale2otel.ingest.timestamp_skew total source signal
tailscale2otel.ingress_wal.pending.entries ratio
tailscale2otel.ingress_wal.pending.entries.fill ratio
tailscale2otel.ingress_wal.pending.size bytes
tailscale2otel.ingress_wal.pending.size.fill ratio
tailscale2otel.ingress_wal.completion.markers ratio
tailscale2otel.ingress_wal.orphan.size bytes
tailscale2otel.ingress_wal.orphan.stages ratio
tailscale2otel.dedup.hits total dedup_set
tailscale2otel.dedup.size ratio dedup_set
tailscale2otel.dedup.evictions total dedup_set
tailscale2otel.dedup.overlap_horizon seconds dedup_set
tailscale2otel.dedup.youngest_eviction_age seconds dedup_set
tailscale2otel.export.duration seconds signal outcome
tailscale2otel.export.failures total error_type signal
tailscale2otel.export.log_records total
tailscale2otel.export.datapoints total
tailscale2otel.export.spans total
tailscale2otel.export.diagnostics.suppressed total signal error_type
tailscale2otel.processor.dropped total signal reason
tailscale2otel.processor.queue.size ratio signal
tailscale2otel.processor.queue.capacity ratio signal
tailscale2otel.log.record.truncated total field
tailscale2otel.log.truncated.bytes bytes_total field
tailscale2otel.api.requests total endpoint http_response_status_code
tailscale2otel.api.duration seconds endpoint http_response_status_code
tailscale2otel.api.retries total endpoint
tailscale2otel.api.availability ratio tailscale_collector tailscale_api_operation tailscale_api_state
tailscale2otel.api.last_probe seconds tailscale_collector tailscale_api_operation
tailscale2otel.api.rate_limit.utilization ratio
tailscale2otel.api.rate_limit.wait seconds endpoint
tailscale2otel.capability.scope_satisfied ratio tailscale_capability
tailscale2otel.capability.status ratio tailscale_collector tailscale_api_state
tailscale2otel.subrequest.attempts total tailscale_collector tailscale_subrequest
tailscale2otel.subrequest.coverage ratio tailscale_collector tailscale_subrequest
tailscale2otel.subrequest.failures total tailscale_collector tailscale_subrequest tailscale_api_state
tailscale2otel.scrape.success ratio tailscale_collector
tailscale2otel.scrape.errors total tailscale_collector error_type
tailscale2otel.scrape.staleness seconds tailscale_collector
tailscale2otel.scrape.last_timestamp seconds tailscale_collector
tailscale2otel.scrape.duration seconds tailscale_collector
tailscale2otel.scrape.duration.histogram seconds tailscale_collector
tailscale2otel.scrape.budget ratio tailscale_collector
tailscale2otel.enrich.cache_age seconds
tailscale2otel.enrich.cache_size ratio
tailscale2otel.checkpoint.disk.size bytes
tailscale2otel.checkpoint.persist.age seconds
tailscale2otel.checkpoint.persist.errors total tailscale_collector
tailscale2otel.series.active - metric_name
tailscale2otel.series.limit -
tailscale2otel.series.overflowing ratio metric_name
tailscale2otel.series.by_group - metric_group
tailscale2otel.tls.cert.not_after seconds component
tailscale2otel.tls.cert.not_before seconds component
tailscale2otel.tls.cert.reload.failures total component
tailscale2otel.tls.cert.reload.last_success seconds component
tailscale2otel.admin.auth.rejected total reason
tailscale2otel.metrics.auth.rejected total reason
tailscale2otel.metrics.scrape.requests total outcome
tailscale2otel.metrics.scrape.duration seconds outcome
tailscale2otel.metrics.scrape.in_flight -
tailscale2otel.metrics.scrape.gather_errors total
tailscale2otel.coordination.leader ratio coordination_mode coordination_lease_name coordination_namespace coordination_identity coordination_state
tailscale2otel.coordination.handovers total coordination_mode coordination_lease_name coordination_namespace coordination_identity
tailscale2otel.flow_store.journal.size bytes
tailscale2otel.flow_store.last_checkpoint_timestamp seconds
process.cpu.time seconds_total cpu_mode
process.uptime seconds
tailscale2otel.runtime.memory.sys bytes
tailscale2otel.runtime.memory.heap_alloc bytes
tailscale2otel.runtime.goroutines ratio
tailscale2otel.runtime.gc.pause_time seconds_total
`
  .trim()
  .split("\n")
  .map((line) => {
    const [name = "", suffix = "", ...labels] = line.split(" ");
    return { name, queried: prometheusLabel(name) + (suffix === "-" ? "" : `_${suffix}`), labels };
  });

/** Differences between metrics of the same name. */
const meanings: Readonly<Record<string, string>> = {
  "tailscale.network.data_quality": "Counts the entries that are left out; the rest of their record is accepted.",
  "tailscale.stream.rejected":
    "The reasons are listed in [hec.md](hec.md); one bad record does not reject its request.",
  "tailscale.stream.decode_errors": "Such a record is quarantined; the rest of its request is accepted.",
  "tailscale.stream.records": "Counts each record once, however often it is sent.",
  "tailscale.webhook.rejected": "The reasons are listed in [webhook.md](webhook.md).",
  "tailscale.logstream.entries_sent": "Only for streams that `streaming.auto_configure` has set up.",
  "tailscale.logstream.configured": "Only for streams that `streaming.auto_configure` has set up.",
  "tailscale2otel.ingest.records": 'Counts all records; what the Go program counts has `outcome="accepted"`.',
  "tailscale2otel.ingest.size": "Polled bytes are counted too.",
  "tailscale2otel.export.duration": "One observation per request, not per interval.",
  "tailscale2otel.export.failures": "`error_type` has different values.",
  "tailscale2otel.export.log_records": 'What the backend has accepted has `outcome="delivered"`.',
  "tailscale2otel.export.datapoints": 'What the backend has accepted has `outcome="delivered"`.',
  "tailscale2otel.api.requests": "`endpoint` is a word, such as `network_logs`, not a path.",
  "tailscale2otel.api.duration": "`endpoint` is a word, not a path.",
  "tailscale2otel.api.retries": "`endpoint` is a word, not a path.",
  "tailscale2otel.scrape.success": "Three collectors: `flowlogs`, `auditlogs`, `devices`.",
  "tailscale2otel.scrape.errors": "`error_type` has different values.",
};

const noStore = "nothing: the live page reads the journal and has no store of its own";
const noQueue = "`tailscale2otel_journal_pending`: log records wait on disk, and none is dropped";
const scope = '`tailscale2otel_scrape_errors_total{error_type="missing_scope"}`, and `check --online` before the start';
const noInventory = "nothing: the requests per device or service are not made here";
const pulled = "the scraper's own `up` and `scrape_duration_seconds`";
const noGo = "`process_memory_usage_bytes`, `tailscale2otel_event_loop_lag_seconds`: the runtime is a different one";

/** Where to look for metrics without a counterpart of the same name. */
const elsewhere: Readonly<Record<string, string>> = {
  "tailscale.network.store.dropped": noStore,
  "tailscale.logstream.max_body_requests": "nothing: not read from the API",
  "tailscale2otel.receiver.misconfigured":
    "`tailscale2otel_config_warnings_ratio`: a receiver without a token accepts everything, which is a warning; `require_token` and `require_secret` make it an error",
  "tailscale2otel.component.errors":
    "`tailscale2otel_config_warnings_ratio` and `/readyz`: the program exits if a receiver cannot start",
  "tailscale2otel.update_available": "nothing: there is no update check",
  "tailscale2otel.pii_filter.category": "`check`: the settings of `[privacy]`",
  "tailscale2otel.ingest.timestamp_skew": "`tailscale2otel_ingest_event_age_seconds`: the lowest bucket",
  "tailscale2otel.ingress_wal.pending.entries": "`tailscale2otel_journal_pending`",
  "tailscale2otel.ingress_wal.pending.entries.fill": "nothing: only bytes are limited",
  "tailscale2otel.ingress_wal.pending.size": "`tailscale2otel_journal_size_bytes`",
  "tailscale2otel.ingress_wal.pending.size.fill":
    "`tailscale2otel_journal_size_bytes / tailscale2otel_journal_limit_bytes`",
  "tailscale2otel.ingress_wal.completion.markers": "nothing: a record and its counters are one transaction",
  "tailscale2otel.ingress_wal.orphan.size": "nothing: a record and its counters are one transaction",
  "tailscale2otel.ingress_wal.orphan.stages": "nothing: a record and its counters are one transaction",
  "tailscale2otel.dedup.hits": '`tailscale2otel_ingest_records_total{outcome="duplicate"}`',
  "tailscale2otel.dedup.size": "`tailscale2otel_dedup_keys`",
  "tailscale2otel.dedup.evictions":
    "`tailscale2otel_dedup_unproven_total`: records accepted that are older than the horizon",
  "tailscale2otel.dedup.overlap_horizon":
    "`tailscale2otel_dedup_horizon_seconds`: how far back duplicates are detected",
  "tailscale2otel.dedup.youngest_eviction_age": "`tailscale2otel_dedup_horizon_seconds`",
  "tailscale2otel.export.spans": "nothing: there are no traces",
  "tailscale2otel.export.diagnostics.suppressed": "`tailscale2otel_export_failures_total`: an outage is logged once",
  "tailscale2otel.processor.dropped": noQueue,
  "tailscale2otel.processor.queue.size": noQueue,
  "tailscale2otel.processor.queue.capacity": "`tailscale2otel_journal_limit_bytes`",
  "tailscale2otel.log.record.truncated": "`tailscale2otel_export_truncated_texts_total`",
  "tailscale2otel.log.truncated.bytes": "`tailscale2otel_export_truncated_texts_total`",
  "tailscale2otel.api.availability": scope,
  "tailscale2otel.api.last_probe": "`tailscale2otel_scrape_last_timestamp_seconds`",
  "tailscale2otel.api.rate_limit.utilization": '`tailscale2otel_api_requests_total{http_response_status_code="429"}`',
  "tailscale2otel.api.rate_limit.wait": '`tailscale2otel_api_requests_total{http_response_status_code="429"}`',
  "tailscale2otel.capability.scope_satisfied": scope,
  "tailscale2otel.capability.status": scope,
  "tailscale2otel.subrequest.attempts": noInventory,
  "tailscale2otel.subrequest.coverage": noInventory,
  "tailscale2otel.subrequest.failures": noInventory,
  "tailscale2otel.enrich.cache_age": '`tailscale2otel_scrape_staleness_seconds{tailscale_collector="devices"}`',
  "tailscale2otel.enrich.cache_size": "nothing",
  "tailscale2otel.checkpoint.disk.size": "`tailscale2otel_journal_size_bytes`",
  "tailscale2otel.checkpoint.persist.age": "`tailscale2otel_scrape_lag_seconds`",
  "tailscale2otel.checkpoint.persist.errors": "nothing: a poll commits its records and its cursor in one transaction",
  "tailscale2otel.series.by_group": "`tailscale2otel_series_active`",
  "tailscale2otel.tls.cert.reload.last_success": "`tailscale2otel_tls_cert_not_before_seconds`",
  "tailscale2otel.admin.auth.rejected": "`tailscale2otel_admin_rejected_total`",
  "tailscale2otel.metrics.auth.rejected": "`tailscale2otel_admin_rejected_total`",
  "tailscale2otel.metrics.scrape.requests": pulled,
  "tailscale2otel.metrics.scrape.duration": pulled,
  "tailscale2otel.metrics.scrape.in_flight": pulled,
  "tailscale2otel.metrics.scrape.gather_errors": pulled,
  "tailscale2otel.coordination.leader": "`tailscale2otel_cluster_leading_ratio`",
  "tailscale2otel.coordination.handovers": "`tailscale2otel_cluster_fence`, the number of the leader's term",
  "tailscale2otel.flow_store.journal.size": noStore,
  "tailscale2otel.flow_store.last_checkpoint_timestamp": noStore,
  "tailscale2otel.runtime.memory.sys": "`process_memory_usage_bytes`",
  "tailscale2otel.runtime.memory.heap_alloc": noGo,
  "tailscale2otel.runtime.goroutines": noGo,
  "tailscale2otel.runtime.gc.pause_time": noGo,
};
