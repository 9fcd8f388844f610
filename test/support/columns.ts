/** Builds columns of flow records from values, and shows them as values. */
import { ipv4Text, ipv6Text } from "../../src/records/address.ts";
import { ClaimTable } from "../../src/records/flow/claims.ts";
import { addressIpv4, addressIpv6, addressText, FlowColumns } from "../../src/records/flow/columns.ts";
import { readFlow } from "../../src/records/flow/reader.ts";
import { unwrapped } from "./records.ts";

/** Columns with the records of these values, as the parser reads them. */
export function columnsOf(...values: readonly unknown[]): FlowColumns {
  const columns = new FlowColumns();
  const claims = new ClaimTable();
  for (const value of values)
    for (const record of unwrapped(value).records) readFlow(record.value, record.recorded, claims, columns);
  return columns;
}

/** All columns of one record, as a plain value. */
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
