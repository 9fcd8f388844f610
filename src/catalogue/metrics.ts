/**
 * Every metric that is sent, in one table. Types, the ledger, the SDK's instruments and the reference page derive from it;
 * sending anything else does not compile.
 */
import {
  anyText,
  counter,
  exact,
  exactGauge,
  gauge,
  histogram,
  type MetricDefinition,
  stored,
  total,
  upDown,
} from "./definition.ts";
import { trafficTypes } from "../records/flow/columns.ts";
import {
  actorTypes,
  apiEndpoints,
  apiStatusCodes,
  auditActions,
  auditChanges,
  auditOrigins,
  exportErrors,
  hecRefusals,
  quality,
  scrapeErrors,
  webhookRefusals,
  webhookTypes,
} from "./vocabulary.ts";

export type { MetricDefinition, OpenWords } from "./definition.ts";

/** Parts of a connection that an entry can carry or leave out. */
export const fieldClasses = ["source", "destination", "protocol", "source_port", "destination_port"] as const;

const direction = ["transmit", "receive"] as const;
const type = ["flow", "audit", "webhook"] as const;
const source = ["stream", "webhook", "poll"] as const;
const received = { source, signal: [...type, "unknown"] } as const;
const byEvent = { source, signal: type } as const;
const streamed = { type: ["flow", "audit"] } as const;
const byTraffic = { "tailscale.traffic_type": trafficTypes } as const;
const bySourceNode = { "tailscale.src.node": "text" } as const;
const byMetric = { "metric.name": "text" } as const;
const byListener = { component: ["stream", "webhook", "admin"] } as const;
const byCall = { endpoint: apiEndpoints, "http.response.status_code": apiStatusCodes } as const;
const byCollector = { "tailscale.collector": ["flowlogs", "auditlogs", "devices"] } as const;
const byLogStream = { "tailscale.logstream.type": ["network", "configuration"] } as const;
/** Absent for the primary destination. */
const destination = { destination: { known: [], maxOthers: 16 } } as const;
const bySignal = { signal: ["logs", "metrics"] } as const;
const byRequest = { ...bySignal, ...destination, outcome: ["success", "retry", "rejected"] } as const;
const byResult = { ...bySignal, ...destination, outcome: ["success", "failure"] } as const;
const byFailure = { ...bySignal, ...destination, error_type: exportErrors } as const;
const byAction = { "tailscale.audit.action": auditActions } as const;
const byStep = { step: ["counting", "delivery"] } as const;
const known = { status: ["known", "unknown"] } as const;
const quarantined = { class: ["invalid", "sample", "note", "dead_letter"], reason: "text" } as const;
const deadLetters = { ...quarantined, ...destination } as const;
const exitNode = { "tailscale.exit_node": "text", "network.io.direction": direction } as const;
const rollup = {
  "network.io.direction": direction,
  "network.transport": "text",
  ...byTraffic,
  ...bySourceNode,
  ...anyText("tailscale.dst.node tailscale.dst.service"),
  "tailscale.path": ["direct", "derp"],
  ...anyText("tailscale.derp.region_id tailscale.src.user tailscale.src.tags tailscale.src.os"),
  ...anyText("tailscale.dst.user tailscale.dst.tags tailscale.dst.os"),
} as const;
const connection = { ...rollup, ...anyText("source.port destination.port") } as const;
const byTransport = { "network.transport": "text", ...byTraffic } as const;
const violation = { source, reason: quality } as const;
const byOrigin = { ...byAction, "tailscale.audit.origin": auditOrigins } as const;
const byChange = { "tailscale.audit.change": auditChanges, ...byAction, "tailscale.actor.type": actorTypes } as const;
const byAuditField = { field: ["action", "origin", "actor_type", "target_property"], ...known } as const;

// Upper bounds of buckets, in seconds except for bytes.
const ages = [1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21_600, 86_400];
const delays = [1, 5, 30, 60, 300, 900, 3600, 21_600, 86_400];
const commits = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const answers = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const calls = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const bytes = [1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

export const metrics = {
  "tailscale.network.io": exact("By", "Bytes reported by nodes.", connection),
  "tailscale.network.packets": exact("{packet}", "Packets reported by nodes.", connection),
  "tailscale.network.io.rollup": exact("By", "Bytes of each interval's busiest node pairs.", rollup),
  "tailscale.network.packets.rollup": exact("{packet}", "Packets of each interval's busiest node pairs.", rollup),
  "tailscale.network.flows": exact("{flow}", "Connection entries in accepted flow records.", byTransport),
  "tailscale.network.unique.dst_peers": exactGauge("{peer}", "Distinct peers a node connected to.", bySourceNode),
  "tailscale.network.unique.dst_ports": exactGauge("{port}", "Distinct ports a node connected to.", bySourceNode),
  "tailscale.exit_node.io": exact("By", "Bytes that an exit node forwarded for other nodes.", exitNode),
  "tailscale.exit_node.packets": exact("{packet}", "Packets that an exit node forwarded for other nodes.", exitNode),
  "tailscale.network.flow.logs_dropped": exact("{record}", "Flow log records dropped by the volume limit.", {}),
  "tailscale.network.dedup.conflicts": exact("{conflict}", "Flow records that contradict an earlier one.", {
    kind: ["counters", "entries"],
  }),
  "tailscale.network.data_quality": exact(
    "{violation}",
    "Entries, records and times with impossible values.",
    violation,
  ),
  "tailscale.network.reporter.observations": exact(
    "{observation}",
    "Flow records by whether they name their reporter.",
    { consistency: ["match", "mismatch", "missing_reference"] },
  ),
  "tailscale.network.field.observations": exact("{observation}", "Connection entries by which parts they carry.", {
    ...byTraffic,
    field_class: fieldClasses,
    state: ["present", "missing"],
  }),

  "tailscale.config.audit.events": exact("{event}", "Accepted configuration audit records.", byOrigin),
  "tailscale.config.audit.changes": exact("{event}", "Security-relevant changes, by what was changed.", byChange),
  "tailscale.config.audit.schema_drift": exact("{observation}", "Values in audit records, known or not.", byAuditField),
  "tailscale.config.audit.deferred.delay": histogram("s", "Time from an event until it takes effect.", delays, {}),
  "tailscale.config.audit.processing.delay": histogram("s", "Time from an event to its receipt.", delays, {}),

  "tailscale.stream.records": exact("{record}", "Records accepted from the log stream.", streamed),
  "tailscale.stream.decode_errors": exact("{record}", "Records quarantined because they do not decode.", streamed),
  "tailscale.stream.skipped": exact("{record}", "Values that are not records of a known type.", {
    reason: ["unclassified", "unwrap_drop"],
  }),
  "tailscale.stream.duplicates": exact("{record}", "Records that had been accepted before.", streamed),
  "tailscale.stream.rejected": counter("{rejection}", "Requests refused as a whole.", { reason: hecRefusals }),
  "tailscale.stream.inflight": upDown("{request}", "Requests being read, parsed or committed.", {}),
  "tailscale.stream.request.duration": histogram("s", "Time from a request's headers to its answer.", answers, {}),
  "tailscale.stream.request.size": histogram("By", "Size of request bodies as received.", bytes, {}),
  "tailscale.logstream.configured": gauge("1", "1 once the log stream is set to send here.", byLogStream),
  "tailscale.logstream.entries_sent": stored("{entry}", "Entries sent, according to Tailscale.", byLogStream),
  "tailscale.logstream.bytes_sent": stored("By", "Bytes sent, according to Tailscale.", byLogStream),
  "tailscale.logstream.requests": stored("{request}", "Requests, according to Tailscale.", byLogStream),
  "tailscale.logstream.requests_failed": stored("{request}", "Failed requests, according to Tailscale.", byLogStream),
  "tailscale.logstream.spoofed_entries": stored("{entry}", "Entries that Tailscale rejected as spoofed.", byLogStream),
  "tailscale.logstream.error": gauge("1", "1 while Tailscale's last request has failed, else 0.", byLogStream),
  "tailscale.logstream.last_activity": gauge("s", "Unix time at which Tailscale last sent something.", byLogStream),
  "tailscale.webhook.events": exact("{event}", "Accepted webhook events, by type.", {
    "tailscale.webhook.type": { known: webhookTypes, maxOthers: 64 },
    "tailscale.tailnet": { known: [], maxOthers: 8 },
  }),
  "tailscale.webhook.duplicates": exact("{event}", "Webhook events that had been accepted or reported before.", {}),
  "tailscale.webhook.schema_drift": exact("{observation}", "Accepted webhook events by their format version.", {
    field: ["version"],
    ...known,
  }),
  "tailscale.webhook.rejected": counter("{rejection}", "Deliveries refused as a whole.", { reason: webhookRefusals }),
  "tailscale.webhook.inflight": upDown("{request}", "Deliveries being read, verified or committed.", {}),
  "tailscale.webhook.request.duration": histogram("s", "Time from a delivery's headers to its answer.", answers, {}),

  "tailscale2otel.ingest.records": exact("{record}", "Records received, by outcome.", {
    ...received,
    outcome: ["accepted", "duplicate", "skipped", "quarantined"],
  }),
  "tailscale2otel.ingest.size": exact("By", "Decompressed size of accepted requests.", received),
  "tailscale2otel.ingest.event.age": histogram("s", "Time from events to their receipt.", ages, byEvent),
  "tailscale2otel.ingest.capture.delay": histogram(
    "s",
    "Time from events to their recording by Tailscale.",
    ages,
    byEvent,
  ),
  "tailscale2otel.ingest.last_event_timestamp": gauge("s", "Unix time of the newest accepted event.", byEvent),
  "tailscale2otel.ingest.front_end": counter("{record}", "Flow records by the decoder that read them.", {
    front_end: ["scanner", "reader"],
  }),
  "tailscale2otel.reconcile.repaired": exact(
    "{record}",
    "Records that arrived by poll before the stream delivered them.",
    streamed,
  ),
  "tailscale2otel.reconcile.late": exact("{record}", "Repaired records that the stream delivered later.", streamed),
  "tailscale2otel.reconcile.unverifiable": exact("s", "Time ranges that cannot be polled.", streamed),
  "tailscale2otel.dedup.unproven": exact("{record}", "Records accepted from before the dedup window.", streamed),
  "tailscale2otel.dedup.keys": gauge("{key}", "Keys in the dedup window.", { type }),
  "tailscale2otel.dedup.horizon": gauge("s", "How far back duplicates are recognized.", { type }),
  "tailscale2otel.journal.pending": gauge(
    "{record}",
    "Accepted records whose logs are not delivered yet.",
    destination,
  ),
  "tailscale2otel.journal.pending.age": gauge("s", "Age of the oldest record that is not delivered yet.", destination),
  "tailscale2otel.journal.size": gauge("By", "Size of the journal.", {}),
  "tailscale2otel.journal.limit": gauge("By", "Maximum size of the journal: `state.max_bytes`.", {}),
  "tailscale2otel.journal.lost.rows": stored("{row}", "Undelivered or uncounted rows lost to corruption.", {}),
  "tailscale2otel.journal.lost.records": stored("{record}", "Accepted records lost to corruption.", {}),
  "tailscale2otel.journal.commit.duration": histogram("s", "Duration of a commit to the journal.", commits, {}),
  "tailscale2otel.quarantine.records": exact("{record}", "Records quarantined, by class and reason.", deadLetters),
  "tailscale2otel.quarantine.retried": exact("{record}", "Quarantined records that were processed again.", {
    class: ["invalid"],
    reason: "text",
  }),
  "tailscale2otel.quarantine.evicted": total("{record}", "Quarantined records removed for lack of space.", quarantined),
  "tailscale2otel.export.records": stored("{record}", "Accepted records by what became of their logs.", {
    outcome: ["delivered", "dead_lettered"],
  }),
  "tailscale2otel.export.log_records": exact("{log_record}", "Log records by the outcome of their delivery.", {
    outcome: ["delivered", "rejected", "dead_lettered"],
    ...destination,
  }),
  "tailscale2otel.export.datapoints": exact("{data_point}", "Metric points by the outcome of their delivery.", {
    outcome: ["delivered", "left_out", "rejected"],
    ...destination,
  }),
  "tailscale2otel.export.evicted": exact("{record}", "Undelivered records given up for lack of space.", destination),
  "tailscale2otel.export.requests": counter("{request}", "OTLP requests, by signal and outcome.", byRequest),
  "tailscale2otel.export.duration": histogram("s", "Duration of an OTLP request.", answers.slice(2), byResult),
  "tailscale2otel.export.failures": counter("{request}", "OTLP requests that failed, by the cause.", byFailure),
  "tailscale2otel.export.last_success": gauge("s", "Unix time of the last request the backend accepted.", {
    ...bySignal,
    ...destination,
  }),
  "tailscale2otel.export.truncated_texts": counter("{text}", "Attribute values and log bodies cut to their limit.", {}),
  "tailscale2otel.history.pending": gauge("{row}", "Rows from which the history by minute is being rebuilt.", {}),
  "tailscale2otel.series.active": gauge("{series}", "Series of a metric.", byMetric),
  "tailscale2otel.series.limit": gauge("{series}", "Series limit of a metric: `cardinality.metric_limit`.", byMetric),
  "tailscale2otel.series.overflowing": gauge("1", "1 while a metric is at its series limit, else 0.", byMetric),
  "tailscale2otel.series.overflowed": total("{series}", "New series folded into the overflow series.", byMetric),
  "tailscale2otel.cluster.members": gauge("{instance}", "Instances that share the journal and show signs of life.", {}),
  "tailscale2otel.cluster.leading": gauge("1", "1 while this instance leads, else 0.", {}),
  "tailscale2otel.cluster.lease.held": gauge("1", "1 while some instance leads, else 0.", {}),
  "tailscale2otel.cluster.fence": gauge("{term}", "Number of the leader's term.", {}),
  "tailscale2otel.cluster.lag": gauge("{row}", "Committed rows that the leader still has to process.", byStep),
  "tailscale2otel.cluster.database.up": gauge("1", "1 while the database answers, else 0.", {}),
  "tailscale2otel.cluster.database.duration": histogram("s", "Round trip of a query to the database.", commits, {}),
  "tailscale2otel.api.requests": counter("{request}", "Requests to Tailscale's API, every attempt counted.", byCall),
  "tailscale2otel.api.duration": histogram("s", "Duration of a request to Tailscale's API.", calls, byCall),
  "tailscale2otel.api.retries": counter("{retry}", "Retries, by the result of the failed attempt.", byCall),
  "tailscale2otel.scrape.success": gauge("1", "1 if a collector's last poll succeeded, else 0.", byCollector),
  "tailscale2otel.scrape.errors": counter("{error}", "Failed polls, by the cause.", {
    ...byCollector,
    error_type: scrapeErrors,
  }),
  "tailscale2otel.scrape.duration": gauge("s", "Duration of a collector's last poll.", byCollector),
  "tailscale2otel.scrape.duration.histogram": histogram("s", "Duration of polls.", calls, byCollector),
  "tailscale2otel.scrape.budget": gauge("1", "Duration of the last poll as a share of the interval.", byCollector),
  "tailscale2otel.scrape.staleness": gauge("s", "Time since a collector's last successful poll.", byCollector),
  "tailscale2otel.scrape.last_timestamp": gauge("s", "Unix time of a collector's last successful poll.", byCollector),
  "tailscale2otel.scrape.lag": gauge("s", "How far a collector is behind.", byCollector),
  "tailscale2otel.logstream.missing": gauge("{entry}", "Entries sent by Tailscale but not received.", byLogStream),
  "tailscale2otel.tls.cert.not_after": gauge("s", "Unix time at which a certificate expires.", byListener),
  "tailscale2otel.tls.cert.not_before": gauge("s", "Unix time from which a certificate is valid.", byListener),
  "tailscale2otel.tls.cert.reload.failures": total(
    "{reload}",
    "Replaced or renewed certificates that were unusable.",
    byListener,
  ),
  "tailscale2otel.tls.cert.rejected": gauge(
    "{state}",
    "1 while a certificate cannot be used, obtained or renewed.",
    byListener,
  ),
  "tailscale2otel.admin.rejected": counter("{request}", "Requests to the admin listener that were refused.", {
    reason: ["unauthorized", "rate_limited", "foreign", "overloaded", "too_many_pages"],
  }),
  "tailscale2otel.admin.live.open": gauge("{page}", "Live pages that are connected.", {}),
  "tailscale2otel.admin.live.skipped": counter(
    "{message}",
    "Messages that a live page missed because it was slow.",
    {},
  ),
  "tailscale2otel.admin.live.closed": counter("{page}", "Connections of live pages that were ended from here.", {
    reason: ["ended", "stalled"],
  }),
  "tailscale2otel.config.warnings": gauge("1", "Number of warnings about the configuration.", {}),
  "tailscale2otel.config.valid": gauge("1", "0 while the last reload was refused as invalid, else 1.", {}),
  "tailscale2otel.up": gauge("1", "1 while the process is running.", {}),
  "tailscale2otel.build_info": gauge("1", "Always 1; the version is an attribute.", { version: "text" }),
  "tailscale2otel.event_loop.lag": histogram("s", "How late timers of the main thread fire.", answers.slice(0, -1), {}),
  "process.cpu.time": total("s", "CPU time used by the process.", { "cpu.mode": ["user", "system"] }),
  "process.memory.usage": gauge("By", "Resident memory of the process.", {}),
  "process.uptime": gauge("s", "Time since the process started.", {}),
} as const satisfies Record<string, MetricDefinition>;

type Metrics = typeof metrics;

export type MetricName = keyof Metrics;

/** The names of one origin and kind. */
export type MetricNameOf<Origin extends string, Kind extends string = string> = {
  [Name in MetricName]: Metrics[Name] extends { origin: Origin; kind: Kind } ? Name : never;
}[MetricName];

/** Counters that the ledger keeps. */
export type LedgerMetric = MetricNameOf<"ledger", "counter">;

/** Gauges that the ledger sets for each interval. */
export type IntervalMetric = MetricNameOf<"ledger", "gauge">;

/** The attributes that a metric may carry; each may be absent. */
export type AttributesOf<Name extends MetricName> = {
  readonly [
    Key in keyof Metrics[Name]["attributes"]
  ]?: Metrics[Name]["attributes"][Key] extends readonly (infer Value)[] ? Value : string;
};
