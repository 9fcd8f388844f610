/** Flow records as metrics and as log events: pure functions of the record and the names. */
import { addSums, type Increments, noSums } from "../catalogue/increments.ts";
import type { AttributeValue, LogEvent } from "../catalogue/log-event.ts";
import { type HrTime, hrTimeOfMillis } from "../lib/clock.ts";
import { formatRfc3339 } from "../lib/rfc3339.ts";
import type { Connection, FlowRecord, NodeClaim } from "../records/types.ts";
import { classOf, edgeOf } from "./edges.ts";
import { type Claims, claimsOf, nameOf, type NameOptions } from "./names.ts";

/** How many log events a flow record becomes. */
export type FlowLogMode = "per_connection" | "per_record" | "off";

type Attributes = Record<string, AttributeValue>;

/** Adds a record's connections to the flow sums. */
export function measureFlow(record: FlowRecord, options: NameOptions, into: Increments): void {
  const claims = claimsOf(record);
  for (const connection of record.connections) {
    const edge = edgeOf(connection, claims, options);
    let sums = into.flows.get(edge);
    if (sums === undefined) into.flows.set(edge, (sums = noSums()));
    sums.entries++;
    sums.txBytes += connection.txBytes;
    sums.rxBytes += connection.rxBytes;
    sums.txPackets += connection.txPackets;
    sums.rxPackets += connection.rxPackets;
  }
}

/** The record's log events, in the order of its connections. `acceptedAt`: epoch milliseconds. */
export function describeFlow(
  record: FlowRecord,
  options: NameOptions & { flowLogMode: FlowLogMode },
  acceptedAt: number,
): LogEvent[] {
  if (options.flowLogMode === "off") return [];
  const observedTime = record.recorded ?? hrTimeOfMillis(acceptedAt);
  const time = record.start ?? record.end ?? observedTime;
  const shared = recordAttributes(record);
  if (options.flowLogMode === "per_record") return [describeRecord(record, shared, time, observedTime)];
  const claims = claimsOf(record);
  return record.connections.map((connection) =>
    describeConnection(connection, {
      shared,
      claims,
      options,
      time,
      observedTime,
    }),
  );
}

function describeRecord(record: FlowRecord, shared: Attributes, time: HrTime, observedTime: HrTime): LogEvent {
  const sums = noSums();
  for (const connection of record.connections) addSums(sums, { ...connection, entries: 1 });
  return {
    name: "tailscale.network.flow",
    severity: "INFO",
    time,
    observedTime,
    body: `node ${record.nodeId}: ${sums.entries} connections tx=${sums.txBytes}B rx=${sums.rxBytes}B`,
    attributes: {
      ...shared,
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
  readonly shared: Attributes;
  readonly claims: Claims;
  readonly options: NameOptions;
  readonly time: HrTime;
  readonly observedTime: HrTime;
}

function describeConnection(connection: Connection, context: RecordContext): LogEvent {
  const { shared, claims, options, time, observedTime } = context;
  const { source, destination, txBytes, rxBytes } = connection;
  const { transport, traffic, path, derpRegion } = classOf(connection);
  const attributes: Attributes = {
    ...shared,
    "network.transport": transport,
    "tailscale.traffic_type": traffic,
  };
  const isRelayed = path === "derp";
  const family = source?.address.family ?? (isRelayed ? undefined : destination?.address.family);
  if (family !== undefined) attributes["network.type"] = family;
  let from = "?";
  let to = "?";
  if (source !== undefined) {
    from = `${source.address.text}:${source.port}`;
    attributes["source.address"] = source.address.text;
    if (source.port !== 0) attributes["source.port"] = source.port;
    attributes["tailscale.src.node"] = nameOf(source.address, claims, options);
    const claim = claims.get(source.address.text);
    if (claim !== undefined) claimAttributes(claim, "tailscale.src", attributes);
  }
  if (isRelayed) {
    to = `derp-${derpRegion}`;
    attributes["tailscale.derp.region_id"] = Number(derpRegion);
  } else if (destination !== undefined) {
    to = `${destination.address.text}:${destination.port}`;
    attributes["destination.address"] = destination.address.text;
    if (destination.port !== 0) attributes["destination.port"] = destination.port;
    attributes["tailscale.dst.node"] = nameOf(destination.address, claims, options);
    const claim = claims.get(destination.address.text);
    if (claim !== undefined) claimAttributes(claim, "tailscale.dst", attributes);
  }
  if (path !== undefined) attributes["tailscale.path"] = path;
  attributes["tailscale.tx.bytes"] = txBytes;
  attributes["tailscale.rx.bytes"] = rxBytes;
  attributes["tailscale.tx.packets"] = connection.txPackets;
  attributes["tailscale.rx.packets"] = connection.rxPackets;
  return {
    name: "tailscale.network.flow",
    severity: "INFO",
    time,
    observedTime,
    body: `${transport} ${traffic} ${from} -> ${to} tx=${txBytes}B rx=${rxBytes}B`,
    attributes,
  };
}

/** What every event of a record shares. */
function recordAttributes(record: FlowRecord): Attributes {
  const attributes: Attributes = { "tailscale.node.id": record.nodeId };
  const claim = record.sourceNode;
  if (claim !== undefined && claim.nodeId === record.nodeId && claim.label !== "") {
    attributes["tailscale.node.hostname"] = claim.label;
  }
  if (record.start !== undefined) attributes["tailscale.flow.window.start"] = formatRfc3339(record.start);
  if (record.end !== undefined) attributes["tailscale.flow.window.end"] = formatRfc3339(record.end);
  attributes["tailscale.reporter.consistency"] =
    claim === undefined || claim.nodeId === ""
      ? "missing_reference"
      : claim.nodeId === record.nodeId
        ? "match"
        : "mismatch";
  return attributes;
}

function claimAttributes(claim: NodeClaim, prefix: "tailscale.src" | "tailscale.dst", into: Attributes): void {
  if (claim.user !== "") into[`${prefix}.user`] = claim.user;
  if (claim.tags.length > 0) into[`${prefix}.tags`] = claim.tags.join(",");
  if (claim.os !== "") into[`${prefix}.os`] = claim.os;
}
