/** Flow records as log events: a pure function of the record and the names. */
import { addSums, type FlowClass, noSums } from "../catalogue/increments.ts";
import type { LogAttributes, LogEvent } from "../catalogue/log-event.ts";
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { type HrTime, hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import { formatRfc3339 } from "../lib/rfc3339.ts";
import type { Address, Connection, FlowRecord } from "../records/types.ts";
import type { Device } from "./directory.ts";
import { classOf } from "./edges.ts";
import { consistencyOf } from "./flow-metrics.ts";
import { type Claims, claimsOf, deviceAt, nameOf, type NameOptions, reporterName } from "./names.ts";

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
  const context = { time, observedTime, ofRecord, ends: createEnds(claimsOf(record), options) };
  return record.connections.map((connection) => describeConnection(connection, context));
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

/** What the events of one record have in common. */
interface RecordContext {
  readonly time: HrTime;
  readonly observedTime: HrTime;
  readonly ofRecord: LogAttributes;
  readonly ends: Ends;
}

function describeConnection(connection: Connection, { time, observedTime, ofRecord, ends }: RecordContext): LogEvent {
  const { source, destination, txBytes, rxBytes } = connection;
  const flowClass = classOf(connection);
  const { transport, traffic, path, derpRegion } = flowClass;
  const shared = [ofRecord, classAttributes(flowClass)];
  const attributes: Attributes = {
    "tailscale.tx.bytes": txBytes,
    "tailscale.rx.bytes": rxBytes,
    "tailscale.tx.packets": connection.txPackets,
    "tailscale.rx.packets": connection.rxPackets,
  };
  if (source !== undefined) {
    shared.push(ends.source(source.address));
    if (source.port !== 0) attributes["source.port"] = source.port;
  }
  let to = destination?.text ?? "?";
  if (path === "derp") {
    to = derpRegion === undefined ? "derp" : `derp-${derpRegion}`;
  } else if (destination !== undefined) {
    shared.push(ends.destination(destination.address));
    if (destination.port !== 0) attributes["destination.port"] = destination.port;
    if (source === undefined) attributes["network.type"] = destination.address.family;
  }
  const body = `${transport} ${traffic} ${source?.text ?? "?"} -> ${to} tx=${txBytes}B rx=${rxBytes}B`;
  return { name: "tailscale.network.flow", severity: "INFO", time, observedTime, body, shared, attributes };
}

/** What a record says about the ends of its connections: one set of attributes an address and role. */
interface Ends {
  source(address: Address): LogAttributes;
  destination(address: Address): LogAttributes;
}

function createEnds(claims: Claims, options: NameOptions): Ends {
  const sources = new Map<Address, LogAttributes>();
  const destinations = new Map<Address, LogAttributes>();
  return {
    source(address) {
      let known = sources.get(address);
      if (known === undefined) {
        known = {
          "network.type": address.family,
          "source.address": address.text,
          "tailscale.src.node": nameOf(address, claims, options),
          ...identityAttributes(deviceAt(address, claims, options), "tailscale.src"),
        };
        sources.set(address, known);
      }
      return known;
    },
    destination(address) {
      let known = destinations.get(address);
      if (known === undefined) {
        known = {
          "destination.address": address.text,
          "tailscale.dst.node": nameOf(address, claims, options),
          ...identityAttributes(deviceAt(address, claims, options), "tailscale.dst"),
        };
        destinations.set(address, known);
      }
      return known;
    },
  };
}

function identityAttributes(device: Device | undefined, prefix: "tailscale.src" | "tailscale.dst"): Attributes {
  const attributes: Attributes = {};
  if (device === undefined) return attributes;
  if (device.user !== "") attributes[`${prefix}.user`] = device.user;
  if (device.tags.length > 0) attributes[`${prefix}.tags`] = device.tags.join(",");
  if (device.os !== "") attributes[`${prefix}.os`] = device.os;
  return attributes;
}

const knownClasses = new WeakMap<FlowClass, LogAttributes>();

function classAttributes(flowClass: FlowClass): LogAttributes {
  let known = knownClasses.get(flowClass);
  if (known === undefined) {
    const { transport, traffic, path, derpRegion, service } = flowClass;
    known = {
      "network.transport": transport,
      "tailscale.traffic_type": traffic,
      ...(service === undefined ? {} : { "tailscale.dst.service": service }),
      ...(path === undefined ? {} : { "tailscale.path": path }),
      ...(derpRegion === undefined ? {} : { "tailscale.derp.region_id": Number(derpRegion) }),
    } satisfies Attributes;
    knownClasses.set(flowClass, known);
  }
  return known;
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
