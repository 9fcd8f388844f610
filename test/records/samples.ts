/** Records for the tests of this folder: Tailscale's own shapes with reserved names, and columns by value. */
import { readFileSync } from "node:fs";
import { ClaimTable } from "../../src/records/flow/claims.ts";
import { addressIpv4, addressIpv6, addressText, FlowColumns } from "../../src/records/flow/columns.ts";
import { readFlow } from "../../src/records/flow/reader.ts";
import { ipv4Text, ipv6Text } from "../../src/records/address.ts";
import { unwrap, type Unwrapped } from "../../src/records/envelope.ts";
import type { JsonObject, RawRecord } from "../../src/records/types.ts";

/** A virtual connection between two nodes; members given replace or add to it. */
export function connection(members: JsonObject = {}): JsonObject {
  return {
    proto: 6,
    src: "100.64.1.1:40000",
    dst: "100.64.1.2:443",
    txPkts: 3,
    txBytes: 300,
    rxPkts: 2,
    rxBytes: 200,
    ...members,
  };
}

/** A flow record with one virtual connection. */
export function flowValue(members: JsonObject = {}): JsonObject {
  return {
    nodeId: "nONECNTRL",
    start: "2026-11-02T09:15:00Z",
    end: "2026-11-02T09:15:05Z",
    virtualTraffic: [connection()],
    ...members,
  };
}

/** An audit record as the stream gives it. */
export function auditValue(members: JsonObject = {}): JsonObject {
  return {
    eventGroupID: "group-1",
    origin: "ADMIN_CONSOLE",
    actor: { id: "uONECNTRL", type: "USER", loginName: "alice@example.com", displayName: "Alice Example" },
    target: { id: "T1CNTRL", name: "example.com", type: "TAILNET", property: "ACL" },
    action: "UPDATE",
    old: "a",
    new: "b",
    ...members,
  };
}

/** An envelope as Tailscale sends it. */
export function enveloped(event: JsonObject, time: unknown = 1_793_610_908.125): JsonObject {
  return { time, event, fields: { recorded: "2026-11-02T09:15:07.204000111Z" } };
}

/** What one top-level value holds; its text is what `JSON.stringify` makes of it if none is given. */
export function unwrapped(value: unknown, text: string = JSON.stringify(value)): Unwrapped {
  const into: Unwrapped = { records: [], skipped: [] };
  unwrap(value, text, into);
  return into;
}

/** The records of a sample file, in its order. */
export function sampleRecords(
  name: "hec-flow" | "hec-audit" | "api-network" | "api-configuration",
): readonly RawRecord[] {
  const text = readFileSync(new URL(`../fixtures/samples/${name}.json`, import.meta.url), "utf8");
  const list = name.startsWith("hec") ? `[${text.replaceAll("}{", "},{")}]` : text;
  return unwrapped(JSON.parse(list), list).records;
}

/** Columns with the records of these values, as the reader reads them. */
export function columnsOf(...values: readonly unknown[]): FlowColumns {
  const columns = new FlowColumns();
  const claims = new ClaimTable();
  for (const value of values)
    for (const record of unwrapped(value).records) readFlow(record.value, record.recorded, claims, columns);
  return columns;
}

/** All that columns hold of a record, by value. */
export function plainRecord(columns: FlowColumns, record: number) {
  const from = columns.firstEntry[record] as number;
  const to = columns.firstEntry[record + 1] as number;
  return {
    nodeId: columns.nodeId[record],
    start: timeAt(columns.startSeconds, columns.startNanos, record),
    end: timeAt(columns.endSeconds, columns.endNanos, record),
    recorded: timeAt(columns.recordedSeconds, columns.recordedNanos, record),
    sourceNode: plainClaim(columns.sourceNode[record]),
    destinationNodes: columns.destinationNodes[record]?.map(plainClaim),
    entries: Array.from({ length: to - from }, (_, place) => plainEntry(columns, from + place)),
  };
}

function timeAt(seconds: Float64Array, nanos: Int32Array, record: number) {
  return nanos[record] === -1 ? "none" : [seconds[record], nanos[record]];
}

function plainClaim(claim: FlowColumns["sourceNode"][number]) {
  return claim === undefined ? "none" : { ...claim, ipv4: [...claim.ipv4], ipv6: [...claim.ipv6] };
}

function plainEntry(columns: FlowColumns, entry: number) {
  return {
    traffic: columns.traffic[entry],
    protocol: columns.protocol[entry],
    source: addressAt(columns, (columns.ends[entry] as number) & 3, columns.source[entry] as number),
    destination: addressAt(columns, (columns.ends[entry] as number) >> 2, columns.destination[entry] as number),
    sourcePort: columns.sourcePort[entry],
    destinationPort: columns.destinationPort[entry],
    counters: [columns.txPackets[entry], columns.txBytes[entry], columns.rxPackets[entry], columns.rxBytes[entry]],
    leftOut: columns.leftOut[entry],
    text: columns.leftOutTexts.get(entry) ?? "",
  };
}

function addressAt(columns: FlowColumns, tag: number, value: number): string {
  if (tag === addressIpv4) return ipv4Text(value);
  if (tag === addressIpv6) return ipv6Text(columns.ipv6, value * 4);
  return tag === addressText ? `text ${columns.addressTexts[value]}` : "absent";
}
