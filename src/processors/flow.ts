/** Flow records as log events: a pure function of the record and the names. */
import { addSums, noSums } from "../catalogue/increments.ts";
import type { LogAttributes, LogEvent } from "../catalogue/log-event.ts";
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { type HrTime, hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import { formatRfc3339 } from "../lib/rfc3339.ts";
import type { FlowRecord } from "../records/types.ts";
import { ConnectionEvent } from "./connection-event.ts";
import { flowEndsOf } from "./flow-ends.ts";
import { consistencyOf } from "./flow-metrics.ts";
import { claimsOf, type NameOptions, reporterName } from "./names.ts";

/** How many log events a flow record becomes. */
export type FlowLogMode = "per_connection" | "per_record" | "off";

export interface DescribeOptions extends NameOptions {
  readonly flowLogMode: FlowLogMode;
  readonly tailnet: string;
}

/** What leaves must be in the catalogue. */
type Attributes = AttributesOfLog<"tailscale.network.flow">;

/** The record's log events, in the order of its connections. `acceptedAt`: epoch milliseconds. */
export function describeFlow(record: FlowRecord, options: DescribeOptions, acceptedAt: number): LogEvent[] {
  if (options.flowLogMode === "off") return [];
  const { recorded } = record;
  const observedTime = recorded !== undefined && isSayable(recorded) ? recorded : hrTimeOfMillis(acceptedAt);
  const time =
    [record.start, record.end].find((instant) => instant !== undefined && isSayable(instant)) ?? observedTime;
  const ofRecord = recordAttributes(record, options);
  if (options.flowLogMode === "per_record") return [describeRecord(record, ofRecord, time, observedTime)];
  const context = { time, observedTime, ofRecord, ends: flowEndsOf(claimsOf(record), options) };
  return record.connections.map((connection) => new ConnectionEvent(connection, context));
}

/** How many log events a record becomes. */
export function flowLogCount({ connections }: FlowRecord, mode: FlowLogMode): number {
  switch (mode) {
    case "per_connection":
      return connections.length;
    case "per_record":
      return 1;
    case "off":
      return 0;
  }
}

function describeRecord(record: FlowRecord, ofRecord: LogAttributes, time: HrTime, observedTime: HrTime): LogEvent {
  const sums = noSums();
  for (const connection of record.connections) addSums(sums, { ...connection, entries: 1 });
  return {
    name: "tailscale.network.flow",
    severity: "INFO",
    time,
    observedTime,
    body: `node ${record.nodeId}: ${sums.entries} connections tx=${sums.txBytes}B rx=${sums.rxBytes}B`,
    shared: [],
    attributes: {
      ...ofRecord,
      "tailscale.connections": sums.entries,
      "tailscale.tx.bytes": sums.txBytes,
      "tailscale.rx.bytes": sums.rxBytes,
      "tailscale.tx.packets": sums.txPackets,
      "tailscale.rx.packets": sums.rxPackets,
    },
  };
}

/** What every event of a record shares. */
function recordAttributes(record: FlowRecord, options: DescribeOptions): Attributes {
  const attributes: Attributes = { "tailscale.node.id": record.nodeId };
  if (options.tailnet !== "") attributes["tailscale.tailnet"] = options.tailnet;
  const hostname = reporterName(record, options);
  if (hostname !== undefined) attributes["tailscale.node.hostname"] = hostname;
  if (record.start !== undefined) attributes["tailscale.flow.window.start"] = formatRfc3339(record.start);
  if (record.end !== undefined) attributes["tailscale.flow.window.end"] = formatRfc3339(record.end);
  attributes["tailscale.reporter.consistency"] = consistencyOf(record);
  return attributes;
}
