/** The metrics of network flow logs, kept by the ledger. */
import type { MetricDefinition } from "./definition.ts";

/** The traffic classes of a flow record. */
export const trafficTypes = ["virtual", "subnet", "exit", "physical"] as const;

/** What a flow record can carry of a connection, or not. */
export const fieldClasses = ["source", "destination", "protocol", "source_port", "destination_port"] as const;

/** Whether a record names its own node as the one that Tailscale has verified. */
export const consistencies = ["match", "mismatch", "missing_reference"] as const;

const direction = ["transmit", "receive"] as const;

const rolledUpAttributes = {
  "network.io.direction": direction,
  "network.transport": "text",
  "tailscale.traffic_type": trafficTypes,
  "tailscale.src.node": "text",
  "tailscale.dst.node": "text",
  "tailscale.dst.service": "text",
  "tailscale.path": ["direct", "derp"],
  "tailscale.derp.region_id": "text",
  "tailscale.src.user": "text",
  "tailscale.src.tags": "text",
  "tailscale.src.os": "text",
  "tailscale.dst.user": "text",
  "tailscale.dst.tags": "text",
  "tailscale.dst.os": "text",
} as const;

const flowAttributes = {
  ...rolledUpAttributes,
  "source.port": "text",
  "destination.port": "text",
} as const;

const exitAttributes = { "tailscale.exit_node": "text", "network.io.direction": direction } as const;

export const flowMetrics = {
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
    attributes: rolledUpAttributes,
  },
  "tailscale.network.packets.rollup": {
    origin: "ledger",
    kind: "counter",
    unit: "{packet}",
    description: "Packets of the top pairs of nodes of each interval, the rest in `__other__`.",
    attributes: rolledUpAttributes,
  },
  "tailscale.network.flows": {
    origin: "ledger",
    kind: "counter",
    unit: "{flow}",
    description: "Connection entries in accepted flow records.",
    attributes: {
      "network.transport": "text",
      "tailscale.traffic_type": trafficTypes,
    },
  },
  "tailscale.network.unique.dst_peers": {
    origin: "ledger",
    kind: "gauge",
    unit: "{peer}",
    description:
      "Distinct destinations of a node in the last interval: nodes by name, other addresses each for itself.",
    attributes: { "tailscale.src.node": "text" },
  },
  "tailscale.network.unique.dst_ports": {
    origin: "ledger",
    kind: "gauge",
    unit: "{port}",
    description: "Distinct destination ports of a node in the last interval.",
    attributes: { "tailscale.src.node": "text" },
  },
  "tailscale.exit_node.io": {
    origin: "ledger",
    kind: "counter",
    unit: "By",
    description:
      "Bytes that an exit node carried for other nodes: exit traffic whose source is not the reporting node itself.",
    attributes: exitAttributes,
  },
  "tailscale.exit_node.packets": {
    origin: "ledger",
    kind: "counter",
    unit: "{packet}",
    description:
      "Packets that an exit node carried for other nodes: exit traffic whose source is not the reporting node itself.",
    attributes: exitAttributes,
  },
  "tailscale.network.flow.logs_dropped": {
    origin: "ledger",
    kind: "counter",
    unit: "{record}",
    description: "Log records of flows left out by `collectors.flowlogs.max_log_records_per_window`.",
    attributes: {},
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
    description:
      "Connection entries left out of accepted flow records, records quarantined for their window, and accepted records whose time lies ahead of ours or was replaced.",
    attributes: {
      source: ["poll", "stream", "webhook"],
      reason: [
        "negative_counters",
        "oversized_counters",
        "inverted_window",
        "invalid_endpoint",
        "invalid_protocol",
        "invalid_entry",
        "future_timestamp",
        "replaced_time",
      ],
    },
  },
  "tailscale.network.reporter.observations": {
    origin: "ledger",
    kind: "counter",
    unit: "{observation}",
    description: "Accepted flow records by whether `srcNode.nodeId` is the node that Tailscale has verified.",
    attributes: { consistency: consistencies },
  },
  "tailscale.network.field.observations": {
    origin: "ledger",
    kind: "counter",
    unit: "{observation}",
    description:
      "Connection entries by what they carry. The port of a relay is its region, and counts as a missing port.",
    attributes: {
      "tailscale.traffic_type": trafficTypes,
      field_class: fieldClasses,
      state: ["present", "missing"],
    },
  },
} as const satisfies Record<string, MetricDefinition>;
