/**
 * Every metric that can leave, defined once. Types, the ledger, the SDK's instruments and the reference page read it;
 * emitting what is not here does not compile. Names and rules: the signals page of the reference.
 */
import { auditActions, auditOrigins } from "./vocabulary.ts";

/** An attribute is a closed set of values, or free text whose bound is the ledger's series limit. */
export type AttributeDomain = readonly string[] | "text";

export interface MetricDefinition {
  /** `ledger`: exact, from accepted records, survives restarts. `process`: an SDK instrument of this process. */
  readonly origin: "ledger" | "process";
  readonly kind: "counter" | "gauge" | "updown" | "histogram";
  /** UCUM. */
  readonly unit: string;
  readonly description: string;
  readonly attributes: Readonly<Record<string, AttributeDomain>>;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

const direction = ["transmit", "receive"] as const;
const trafficType = ["virtual", "subnet", "exit", "physical"] as const;
const source = ["stream", "webhook", "poll"] as const;
const recordType = ["flow", "audit", "webhook"] as const;
const streamType = ["flow", "audit"] as const;

const flowAttributes = {
  "network.io.direction": direction,
  "network.transport": "text",
  "tailscale.traffic_type": trafficType,
  "tailscale.src.node": "text",
  "tailscale.dst.node": "text",
  "tailscale.path": ["direct", "derp"],
  "tailscale.derp.region_id": "text",
} as const;

export const metrics = {
  "tailscale.network.io": {
    origin: "ledger",
    kind: "counter",
    unit: "By",
    description: "Bytes that nodes reported, by connection attributes.",
    attributes: flowAttributes,
  },
  "tailscale.network.packets": {
    origin: "ledger",
    kind: "counter",
    unit: "{packet}",
    description: "Packets that nodes reported, by connection attributes.",
    attributes: flowAttributes,
  },
  "tailscale.network.io.rollup": {
    origin: "ledger",
    kind: "counter",
    unit: "By",
    description: "Bytes of the top pairs of nodes of each interval, the rest in `__other__`.",
    attributes: flowAttributes,
  },
  "tailscale.network.packets.rollup": {
    origin: "ledger",
    kind: "counter",
    unit: "{packet}",
    description: "Packets of the top pairs of nodes of each interval, the rest in `__other__`.",
    attributes: flowAttributes,
  },
  "tailscale.network.flows": {
    origin: "ledger",
    kind: "counter",
    unit: "{flow}",
    description: "Connection entries in accepted flow records.",
    attributes: {
      "network.transport": "text",
      "tailscale.traffic_type": trafficType,
    },
  },
  "tailscale.network.dedup.conflicts": {
    origin: "ledger",
    kind: "counter",
    unit: "{conflict}",
    description: "Flow records already known with other counters, or a known window with other entries.",
    attributes: { kind: ["counters", "entries"] },
  },
  "tailscale.network.data_quality": {
    origin: "ledger",
    kind: "counter",
    unit: "{violation}",
    description: "Flow records that were quarantined for what they say, or whose time lies ahead of ours.",
    attributes: {
      source: ["poll", "stream"],
      reason: [
        "negative_counters",
        "oversized_counters",
        "inverted_window",
        "invalid_endpoint",
        "invalid_protocol",
        "future_timestamp",
      ],
    },
  },
  "tailscale.config.audit.events": {
    origin: "ledger",
    kind: "counter",
    unit: "{event}",
    description: "Accepted configuration audit records.",
    attributes: {
      "tailscale.audit.action": auditActions,
      "tailscale.audit.origin": auditOrigins,
    },
  },
  "tailscale.stream.records": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Records accepted by the stream receiver.",
    attributes: { type: streamType },
  },
  "tailscale.stream.decode_errors": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Records of a known kind that did not decode and were quarantined.",
    attributes: { type: streamType },
  },
  "tailscale.stream.skipped": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Values that are no record of a known kind.",
    attributes: { reason: ["unclassified", "unwrap_drop"] },
  },
  "tailscale.stream.duplicates": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Records that were known already.",
    attributes: { type: streamType },
  },
  "tailscale2otel.ingest.records": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Records received, by what became of them.",
    attributes: {
      source,
      type: ["flow", "audit", "webhook", "unknown"],
      outcome: ["accepted", "duplicate", "skipped", "quarantined"],
    },
  },
  "tailscale2otel.ingest.size": {
    origin: "ledger",
    kind: "counter",
    unit: "By",
    description: "Text of requests taken, decompressed.",
    attributes: { source, type: ["flow", "audit", "webhook", "unknown"] },
  },
  "tailscale2otel.quarantine.records": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Records set aside, by class and reason.",
    attributes: {
      class: ["invalid", "sample", "note", "dead_letter"],
      reason: "text",
    },
  },
  "tailscale2otel.export.log_records": {
    origin: "ledger",
    kind: "counter",
    unit: "{log_record}",
    description: "Log events that left the queue, by how.",
    attributes: { outcome: ["delivered", "rejected", "dead_lettered"] },
  },
  "tailscale.stream.rejected": {
    origin: "process",
    kind: "counter",
    unit: "{rejection}",
    description: "Requests refused as a whole.",
    attributes: {
      reason: ["auth", "unparsable", "too_large", "overloaded", "unavailable", "timeout", "cross_site"],
    },
  },
  "tailscale.stream.inflight": {
    origin: "process",
    kind: "updown",
    unit: "{request}",
    description: "Requests being read, parsed or committed.",
    attributes: {},
  },
  "tailscale.stream.request.duration": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time from the head of a request to its answer.",
    attributes: {},
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  "tailscale.stream.request.size": {
    origin: "process",
    kind: "histogram",
    unit: "By",
    description: "Size of request bodies on the wire.",
    attributes: {},
    buckets: [1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864],
  },
  "tailscale2otel.journal.pending": {
    origin: "process",
    kind: "gauge",
    unit: "{record}",
    description: "Accepted records whose logs have not been delivered yet.",
    attributes: {},
  },
  "tailscale2otel.journal.commit.duration": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time of one append transaction.",
    attributes: {},
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  },
  "tailscale2otel.dedup.keys": {
    origin: "process",
    kind: "gauge",
    unit: "{key}",
    description: "Seen keys held, by record type.",
    attributes: { type: recordType },
  },
  "tailscale2otel.export.requests": {
    origin: "process",
    kind: "counter",
    unit: "{request}",
    description: "OTLP requests, by signal and outcome.",
    attributes: {
      signal: ["logs", "metrics"],
      outcome: ["success", "retry", "rejected"],
    },
  },
  "tailscale2otel.export.duration": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time of one OTLP request.",
    attributes: {
      signal: ["logs", "metrics"],
      outcome: ["success", "retry", "rejected"],
    },
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  "tailscale2otel.export.last_success": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description: "When the backend last took a request, seconds since the epoch.",
    attributes: { signal: ["logs", "metrics"] },
  },
  "tailscale2otel.series.overflowed": {
    origin: "process",
    kind: "counter",
    unit: "{series}",
    description: "New series folded into the overflow series of their metric.",
    attributes: { "metric.name": "text" },
  },
  "tailscale2otel.up": {
    origin: "process",
    kind: "gauge",
    unit: "1",
    description: "1 while the process runs.",
    attributes: {},
  },
  "tailscale2otel.build_info": {
    origin: "process",
    kind: "gauge",
    unit: "1",
    description: "1, with the version as an attribute.",
    attributes: { version: "text" },
  },
} as const satisfies Record<string, MetricDefinition>;

type Metrics = typeof metrics;

export type MetricName = keyof Metrics;

/** The names of one origin and kind. */
export type MetricNameOf<Origin extends string, Kind extends string = string> = {
  [Name in MetricName]: Metrics[Name] extends { origin: Origin; kind: Kind } ? Name : never;
}[MetricName];

/** Counters that the ledger keeps. */
export type LedgerMetric = MetricNameOf<"ledger">;

/** The attributes that a metric may carry; each may be absent. */
export type AttributesOf<Name extends MetricName> = {
  readonly [
    Key in keyof Metrics[Name]["attributes"]
  ]?: Metrics[Name]["attributes"][Key] extends readonly (infer Value)[] ? Value : string;
};
