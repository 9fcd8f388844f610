/** The dashboard of network flows. It needs nothing beyond the default settings. */
import { type Dashboard, ids, scope, window } from "./grafana.ts";
import { bars, stacked, stat, table, timeseries } from "./panels.ts";
import { latest } from "./logs-queries.ts";
import { promql } from "./promql.ts";

const { rate, increase, max, count } = promql({ scope, window, keep: [] });

const bytes = "tailscale.network.io.rollup";
const logRecords = latest("Flow log records", "The newest connections.", "tailscale.network.flow");
const sent = { "tailscale.traffic_type": "virtual", "network.io.direction": "transmit" } as const;
const pair = ["tailscale.src.node", "tailscale.dst.node"] as const;
const over = "$__range";

export const flows: Dashboard = {
  id: ids.flows,
  title: "Tailscale: network flows",
  description: "Who talks to whom in the tailnet, how much, and by which path.",
  rows: [
    {
      title: "Now",
      panels: [
        stat(
          "Sent between nodes",
          "Virtual traffic. Only what senders report is counted, so that each byte counts once.",
          [{ expression: rate(bytes, { where: sent }) }],
          { unit: "Bps" },
        ),
        stat(
          "Connections",
          "Connection entries per second. Both ends report a connection.",
          [{ expression: rate("tailscale.network.flows") }],
          { unit: "cps" },
        ),
        stat("Nodes that connect", "Nodes that opened connections in the last metric interval.", [
          { expression: count("tailscale.network.unique.dst_peers") },
        ]),
        stat(
          "Relayed",
          "The share of physical traffic that takes a DERP relay instead of a direct path.",
          [
            {
              expression: `${rate(bytes, { where: { "tailscale.path": "derp" } })} / ${rate(bytes, { where: { "tailscale.path": { not: "" } } })}`,
            },
          ],
          { unit: "percentunit", redFrom: 0.5 },
        ),
        stat(
          "Through exit nodes",
          "Bytes per second that exit nodes forward for other nodes.",
          [{ expression: rate("tailscale.exit_node.io") }],
          { unit: "Bps" },
        ),
        stat(
          "Not among the busiest pairs",
          "The share of bytes summed under __other__. Raise cardinality.flow.rollup_top_n to see more pairs.",
          [
            {
              expression: `(${rate(bytes, { where: { "tailscale.dst.node": "__other__" } })} or vector(0)) / ${rate(bytes)}`,
            },
          ],
          { unit: "percentunit", redFrom: 0.5 },
        ),
      ],
    },
    {
      title: "Throughput",
      panels: [
        stacked(
          "Throughput by class",
          "virtual: between nodes; subnet: through subnet routers; exit: through exit nodes; physical: the packets that carry them. Both directions and both ends are counted.",
          [{ expression: rate(bytes, { by: ["tailscale.traffic_type"] }), legend: "{{tailscale_traffic_type}}" }],
          { unit: "Bps" },
        ),
        stacked(
          "Packets by class",
          "Both directions and both ends are counted.",
          [
            {
              expression: rate("tailscale.network.packets.rollup", { by: ["tailscale.traffic_type"] }),
              legend: "{{tailscale_traffic_type}}",
            },
          ],
          { unit: "pps" },
        ),
        timeseries(
          "Connections by class",
          "Connection entries per second.",
          [
            {
              expression: rate("tailscale.network.flows", { by: ["tailscale.traffic_type"] }),
              legend: "{{tailscale_traffic_type}}",
            },
          ],
          { unit: "cps" },
        ),
        timeseries(
          "Connections by transport",
          "Connection entries per second.",
          [
            {
              expression: rate("tailscale.network.flows", { by: ["network.transport"] }),
              legend: "{{network_transport}}",
            },
          ],
          { unit: "cps" },
        ),
      ],
    },
    {
      title: "Who",
      panels: [
        table(
          "Top pairs",
          "Bytes from one node to another in the time range.",
          [{ expression: `topk($top, ${increase(bytes, { by: pair, where: sent, over })})` }],
          { unit: "bytes" },
        ),
        timeseries(
          "Top pairs over time",
          "Bytes per second from one node to another.",
          [
            {
              expression: `topk($top, ${rate(bytes, { by: pair, where: sent })})`,
              legend: "{{tailscale_src_node}} → {{tailscale_dst_node}}",
            },
          ],
          { unit: "Bps", height: 9 },
        ),
        bars(
          "Top senders",
          "Bytes that a node sent to other nodes in the time range.",
          [
            {
              expression: `topk($top, ${increase(bytes, { by: ["tailscale.src.node"], where: sent, over })})`,
              legend: "{{tailscale_src_node}}",
            },
          ],
          { unit: "bytes" },
        ),
        bars(
          "Top receivers",
          "Bytes that other nodes sent to a node in the time range.",
          [
            {
              expression: `topk($top, ${increase(bytes, { by: ["tailscale.dst.node"], where: sent, over })})`,
              legend: "{{tailscale_dst_node}}",
            },
          ],
          { unit: "bytes" },
        ),
        bars(
          "Most peers",
          "Distinct peers that a node connected to in the last metric interval. A scan looks like this.",
          [
            {
              expression: `topk($top, ${max("tailscale.network.unique.dst_peers", { by: ["tailscale.src.node"] })})`,
              legend: "{{tailscale_src_node}}",
            },
          ],
        ),
      ],
    },
    {
      title: "What",
      panels: [
        stacked(
          "Services",
          "By IANA's name for the transport and destination port; traffic without one is left out.",
          [
            {
              expression: `topk($top, ${rate(bytes, { by: ["tailscale.dst.service"], where: { "tailscale.dst.service": { not: "" } } })})`,
              legend: "{{tailscale_dst_service}}",
            },
          ],
          { unit: "Bps" },
        ),
        timeseries(
          "Most ports",
          "Distinct ports that a node connected to in a metric interval. A port scan looks like this.",
          [
            {
              expression: `topk($top, ${max("tailscale.network.unique.dst_ports", { by: ["tailscale.src.node"] })})`,
              legend: "{{tailscale_src_node}}",
            },
          ],
        ),
      ],
    },
    {
      title: "By which path",
      panels: [
        stacked(
          "Relayed and direct",
          "Physical traffic: by a DERP relay, or directly from node to node.",
          [
            {
              expression: rate(bytes, { by: ["tailscale.path"], where: { "tailscale.path": { not: "" } } }),
              legend: "{{tailscale_path}}",
            },
          ],
          { unit: "Bps" },
        ),
        stacked(
          "Relays",
          "Relayed traffic by DERP region ID.",
          [
            {
              expression: rate(bytes, {
                by: ["tailscale.derp.region_id"],
                where: { "tailscale.derp.region_id": { not: "" } },
              }),
              legend: "region {{tailscale_derp_region_id}}",
            },
          ],
          { unit: "Bps" },
        ),
        stacked(
          "Exit nodes",
          "What exit nodes forward for other nodes.",
          [
            {
              expression: rate("tailscale.exit_node.io", { by: ["tailscale.exit_node", "network.io.direction"] }),
              legend: "{{tailscale_exit_node}} {{network_io_direction}}",
            },
          ],
          { unit: "Bps" },
        ),
        stacked(
          "Exit nodes, packets",
          "What exit nodes forward for other nodes.",
          [
            {
              expression: rate("tailscale.exit_node.packets", { by: ["tailscale.exit_node", "network.io.direction"] }),
              legend: "{{tailscale_exit_node}} {{network_io_direction}}",
            },
          ],
          { unit: "pps" },
        ),
      ],
    },
    {
      title: "Quality of the records",
      panels: [
        timeseries(
          "Who reports",
          "mismatch: a record names another node than the one that Tailscale verified as its reporter.",
          [
            {
              expression: rate("tailscale.network.reporter.observations", { by: ["consistency"] }),
              legend: "{{consistency}}",
            },
          ],
          { unit: "cps", width: 8 },
        ),
        timeseries(
          "Missing parts",
          "The share of entries without this part. A relayed packet has no destination port.",
          [
            {
              expression: `${rate("tailscale.network.field.observations", { by: ["field_class"], where: { state: "missing" } })} / ${rate("tailscale.network.field.observations", { by: ["field_class"] })}`,
              legend: "{{field_class}}",
            },
          ],
          { unit: "percentunit", width: 8 },
        ),
        timeseries(
          "Impossible values and contradictions",
          "Impossible entries, records and times, and records that contradict an earlier one.",
          [
            {
              expression: rate("tailscale.network.data_quality", { by: ["source", "reason"] }),
              legend: "{{source}} {{reason}}",
            },
            {
              expression: rate("tailscale.network.dedup.conflicts", { by: ["kind"] }),
              legend: "conflict {{kind}}",
            },
            {
              expression: `${rate("tailscale.network.flow.logs_dropped")} or vector(0)`,
              legend: "log records over the limit",
            },
          ],
          { unit: "cps", width: 8 },
        ),
      ],
    },
    { title: "Log records in Loki", isCollapsed: true, panels: [logRecords.loki] },
    { title: "Log records in VictoriaLogs", isCollapsed: true, panels: [logRecords.victorialogs] },
  ],
};
