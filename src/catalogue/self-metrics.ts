/** What the process says about its ingest, its store and itself: SDK instruments, which begin with the process. */
import type { MetricDefinition } from "./definition.ts";

const origin = {
  source: ["stream", "webhook", "poll"],
  type: ["flow", "audit", "webhook"],
} as const;

const logStreamType = ["network", "configuration"] as const;

const ageBuckets = [1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21_600, 86_400] as const;

export const selfMetrics = {
  "tailscale2otel.ingest.event.age": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time between events and their receipt; of at most 16 records of each batch and type.",
    attributes: origin,
    buckets: ageBuckets,
  },
  "tailscale2otel.ingest.capture.delay": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description:
      "Time between events and their record at Tailscale's log service; of at most 16 records of each batch.",
    attributes: origin,
    buckets: ageBuckets,
  },
  "tailscale2otel.ingest.last_event_timestamp": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description: "When the newest accepted event happened, seconds since the epoch; never moves back.",
    attributes: origin,
  },
  "tailscale2otel.journal.pending.age": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description: "How long the oldest record has been waiting for delivery.",
    attributes: {},
  },
  "tailscale2otel.journal.size": {
    origin: "process",
    kind: "gauge",
    unit: "By",
    description: "What the journal holds.",
    attributes: {},
  },
  "tailscale2otel.journal.limit": {
    origin: "process",
    kind: "gauge",
    unit: "By",
    description: "What it may hold: `state.max_bytes`.",
    attributes: {},
  },
  "tailscale2otel.journal.lost.rows": {
    origin: "process",
    kind: "total",
    unit: "{row}",
    description: "Rows that damage took before they were both delivered and measured, where it is known how many.",
    attributes: {},
  },
  "tailscale2otel.journal.lost.records": {
    origin: "process",
    kind: "total",
    unit: "{record}",
    description:
      "Accepted records that damage took before they were delivered, or before it was known that they were; anew with the ledger.",
    attributes: {},
  },
  "tailscale2otel.dedup.horizon": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description: "How far back records are known again, at most the window that is set.",
    attributes: { type: ["flow", "audit", "webhook"] },
  },
  "tailscale2otel.quarantine.evicted": {
    origin: "process",
    kind: "total",
    unit: "{record}",
    description: "Records that left the quarantine for want of space.",
    attributes: { class: ["invalid", "sample", "note", "dead_letter"], reason: "text" },
  },
  "tailscale2otel.series.active": {
    origin: "process",
    kind: "gauge",
    unit: "{series}",
    description: "Series held of a metric.",
    attributes: { "metric.name": "text" },
  },
  "tailscale2otel.series.limit": {
    origin: "process",
    kind: "gauge",
    unit: "{series}",
    description: "Series that a metric may have: `cardinality.metric_limit`.",
    attributes: { "metric.name": "text" },
  },
  "tailscale2otel.logstream.entries_sent": {
    origin: "process",
    kind: "gauge",
    unit: "{entry}",
    description:
      "Entries that Tailscale says it has sent since the log stream was configured; of streams that `streaming.auto_configure` has set.",
    attributes: { "tailscale.logstream.type": logStreamType },
  },
  "tailscale2otel.logstream.requests_failed": {
    origin: "process",
    kind: "gauge",
    unit: "{request}",
    description: "Requests of the log stream that failed, as Tailscale says, since it was configured.",
    attributes: { "tailscale.logstream.type": logStreamType },
  },
  "tailscale2otel.logstream.missing": {
    origin: "process",
    kind: "gauge",
    unit: "{entry}",
    description:
      "Entries that Tailscale says it has sent, less the stream's records taken here (accepted, known already, or quarantined): both since the first look of this process, or since Tailscale's own count began anew. Never below 0. What is under way makes it a little too large for a moment; a batch that is sent twice, and values that are no record of a known kind, make it inexact by their number. Growth that stays is loss.",
    attributes: { "tailscale.logstream.type": logStreamType },
  },
  "tailscale2otel.config.warnings": {
    origin: "process",
    kind: "gauge",
    unit: "{warning}",
    description: "Warnings about the configuration.",
    attributes: {},
  },
  "tailscale2otel.event_loop.lag": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "How much later than asked for a timer of the main thread runs.",
    attributes: {},
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  },
  "process.cpu.time": {
    origin: "process",
    kind: "total",
    unit: "s",
    description: "Processor time of the process.",
    attributes: { "cpu.mode": ["user", "system"] },
  },
  "process.memory.usage": {
    origin: "process",
    kind: "gauge",
    unit: "By",
    description: "Memory that the process holds.",
    attributes: {},
  },
  "process.uptime": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description: "How long the process has been running.",
    attributes: {},
  },
} as const satisfies Record<string, MetricDefinition>;
