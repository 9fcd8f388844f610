/** The counters of ingest, receivers and delivery that the ledger keeps: exact, and the same after a restart. */
import type { MetricDefinition } from "./definition.ts";
import { webhookTypes } from "./vocabulary.ts";

const source = ["stream", "webhook", "poll"] as const;
const streamType = ["flow", "audit"] as const;

export const ledgerMetrics = {
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
  "tailscale.webhook.events": {
    origin: "ledger",
    kind: "counter",
    unit: "{event}",
    description: "Accepted webhook events, by type.",
    attributes: {
      "tailscale.webhook.type": { known: webhookTypes, maxOthers: 64 },
      "tailscale.tailnet": { known: [], maxOthers: 8 },
    },
  },
  "tailscale.webhook.duplicates": {
    origin: "ledger",
    kind: "counter",
    unit: "{event}",
    description: "Webhook events that were known already, or that an audit record had told.",
    attributes: {},
  },
  "tailscale.webhook.schema_drift": {
    origin: "ledger",
    kind: "counter",
    unit: "{observation}",
    description: "Accepted webhook events by whether their version is one that this program knows.",
    attributes: { field: ["version"], status: ["known", "unknown"] },
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
  "tailscale2otel.reconcile.repaired": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description:
      "Records that the poll brought first, while the stream was there to bring them. Less those that were late: what the stream lost.",
    attributes: { type: streamType },
  },
  "tailscale2otel.reconcile.late": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Repaired records that the stream has brought afterwards.",
    attributes: { type: streamType },
  },
  "tailscale2otel.reconcile.unverifiable": {
    origin: "ledger",
    kind: "counter",
    unit: "s",
    description:
      "Spans of the log that are not polled: beyond the horizon of seen keys while the stream brought records, or beyond what Tailscale keeps.",
    attributes: { type: streamType },
  },
  "tailscale2otel.dedup.unproven": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Streamed records older than the horizon of seen keys: accepted, though they may have been before.",
    attributes: { type: streamType },
  },
  "tailscale2otel.quarantine.retried": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description:
      "Records that left the quarantine because they came in once more, by the reason they had been set aside.",
    attributes: { class: ["invalid"], reason: "text" },
  },
  "tailscale2otel.export.log_records": {
    origin: "ledger",
    kind: "counter",
    unit: "{log_record}",
    description: "Log events that left the queue, by how.",
    attributes: { outcome: ["delivered", "rejected", "dead_lettered"] },
  },
  "tailscale2otel.export.metric_points": {
    origin: "ledger",
    kind: "counter",
    unit: "{data_point}",
    description:
      "Metric points that were exported, by what became of them. Left out: the backend has refused the series.",
    attributes: { outcome: ["delivered", "left_out", "rejected"] },
  },
} as const satisfies Record<string, MetricDefinition>;
