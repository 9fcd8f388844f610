/** The counters that the ledger keeps: exact, from accepted records, and the same after a restart. */
import type { MetricDefinition } from "./definition.ts";
import { auditActions, auditOrigins } from "./vocabulary.ts";

const direction = ["transmit", "receive"] as const;
const trafficType = ["virtual", "subnet", "exit", "physical"] as const;
const source = ["stream", "webhook", "poll"] as const;
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

export const ledgerMetrics = {
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
} as const satisfies Record<string, MetricDefinition>;
