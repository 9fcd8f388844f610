/**
 * The general front end: decodes a flow record of any form from parsed JSON into columns. Slower than the scanner, and its test
 * oracle. Entries are validated one by one: an invalid one is left out, and the others still count.
 */
import type { HrTime } from "../../lib/clock.ts";
import { Defect, type JsonObject } from "../types.ts";
import { isObject, listMember, objectMember, stringMember, timeMember, wrongType } from "../members.ts";
import { parseAddress, parseIpv4, parseIpv6Words } from "../address.ts";
import { canonicalJson } from "../json.ts";
import type { ClaimTable } from "./claims.ts";
import {
  addressAbsent,
  addressIpv4,
  addressIpv6,
  addressText,
  type FlowColumns,
  type LeftOutReason,
  leftOutReasons,
  maxEntriesOfRecord,
  trafficTypes,
} from "./columns.ts";
import { protocolOf } from "./protocols.ts";

/**
 * Appends a flow record. Members that are absent on the wire become zero. `recorded`: from its envelope. Invalid entries get a
 * reason in `leftOut`, and their canonical text.
 *
 * For a stored record, `isLeftOut` returns whether an entry (by its number in the record) was left out at acceptance; that is
 * final. Every other entry counts, without any member that cannot be decoded.
 * @throws {Defect} if the record must be quarantined: `inverted_window`, `decode_error` (a member of the record itself, or too
 * many entries), or the reason of its first entry if all its entries are invalid. The columns are then unchanged.
 */
export function readFlow(
  value: JsonObject,
  recorded: HrTime | undefined,
  claims: ClaimTable,
  columns: FlowColumns,
  isLeftOut?: (entry: number) => boolean,
): void {
  const { records } = columns;
  try {
    readRecord(value, recorded, claims, columns);
    readEntries(value, columns, isLeftOut);
    if (isLeftOut === undefined) refuseIfAllLeftOut(columns);
    columns.endRecord();
  } catch (error) {
    columns.takeBack(records);
    throw error;
  }
}

/** Number of entries in a record, valid or not. */
export function countEntries(value: JsonObject): number {
  let entries = 0;
  for (const traffic of trafficTypes) {
    const list = value[`${traffic}Traffic`];
    if (Array.isArray(list)) entries += list.length;
  }
  return entries;
}

/** Appends an empty record in place of one that cannot be decoded. */
export function appendEmptyRecord(columns: FlowColumns): void {
  columns.beginRecord();
  columns.nodeId[columns.records] = "";
  columns.endRecord();
}

function readRecord(value: JsonObject, recorded: HrTime | undefined, claims: ClaimTable, columns: FlowColumns): void {
  columns.beginRecord();
  const record = columns.records;
  const start = timeMember(value, "start");
  const end = timeMember(value, "end");
  if (start !== undefined && end !== undefined && isBefore(end, start))
    throw new Defect("inverted_window", "the window ends before it starts");
  writeTime(start, columns.startSeconds, columns.startNanos, record);
  writeTime(end, columns.endSeconds, columns.endNanos, record);
  writeTime(timeMember(value, "logged") ?? recorded, columns.recordedSeconds, columns.recordedNanos, record);
  columns.nodeId[record] = stringMember(value, "nodeId");
  const sourceNode = objectMember(value, "srcNode");
  columns.sourceNode[record] = sourceNode === undefined ? undefined : claims.claimOfJson(sourceNode);
  columns.destinationNodes[record] = listMember(value, "dstNodes").map((node) => {
    if (!isObject(node)) throw wrongType("dstNodes[]", "an object", node);
    return claims.claimOfJson(node);
  });
}

function readEntries(
  value: JsonObject,
  columns: FlowColumns,
  isLeftOut: ((entry: number) => boolean) | undefined,
): void {
  const lists = trafficTypes.map((traffic) => listMember(value, `${traffic}Traffic`));
  if (countEntries(value) > maxEntriesOfRecord)
    throw new Defect("decode_error", `more than ${maxEntriesOfRecord} entries in one record`);
  let number = 0;
  for (const [traffic, list] of lists.entries())
    for (const entry of list) appendEntry(entry, traffic, columns, isLeftOut?.(number++));
}

function refuseIfAllLeftOut(columns: FlowColumns): void {
  const first = columns.firstEntry[columns.records] as number;
  if (first === columns.entries) return;
  for (let entry = first; entry < columns.entries; entry++) if (columns.leftOut[entry] === 0) return;
  const reason = leftOutReasons[(columns.leftOut[first] as number) - 1] as LeftOutReason;
  throw new Defect(reason, `no entry makes sense, first: ${(columns.leftOutTexts.get(first) ?? "").slice(0, 200)}`);
}

function writeTime(time: HrTime | undefined, seconds: Float64Array, nanos: Int32Array, record: number): void {
  if (time !== undefined) [seconds[record], nanos[record]] = time;
}

function isBefore(a: HrTime, b: HrTime): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}

/** `stored`: for a stored record, whether the entry was left out at acceptance. */
function appendEntry(value: unknown, traffic: number, columns: FlowColumns, stored: boolean | undefined): void {
  columns.beginEntry(traffic);
  const entry = columns.entries;
  const { ipv6Addresses, addressTexts } = columns;
  const texts = addressTexts.length;
  let reason = readEntry(value, columns, entry);
  if (reason !== undefined) {
    columns.clearEntry(entry, traffic);
    columns.ipv6Addresses = ipv6Addresses;
    addressTexts.length = texts;
  }
  if (stored === false) reason = undefined;
  if (stored === true) {
    columns.clearEntry(entry, traffic);
    reason ??= "invalid_entry";
  }
  if (reason !== undefined) {
    columns.leftOut[entry] = leftOutReasons.indexOf(reason) + 1;
    columns.leftOutTexts.set(entry, canonicalJson(value));
  }
  columns.entries = entry + 1;
}

/** Writes the members of one entry. Returns the reason if it is invalid. */
function readEntry(value: unknown, columns: FlowColumns, entry: number): LeftOutReason | undefined {
  if (!isObject(value)) return "invalid_entry";
  const protocol = protocolOf(value["proto"]);
  if (typeof protocol === "string") return protocol;
  if (typeof protocol === "number") columns.protocol[entry] = protocol;
  else columns.protocolNames.set(entry, protocol.name);
  return (
    readEndpoint(value["src"], columns, entry, columns.source, columns.sourcePort, 0) ??
    readEndpoint(value["dst"], columns, entry, columns.destination, columns.destinationPort, 2) ??
    readCounter(value["txPkts"], columns.txPackets, entry) ??
    readCounter(value["txBytes"], columns.txBytes, entry) ??
    readCounter(value["rxPkts"], columns.rxPackets, entry) ??
    readCounter(value["rxBytes"], columns.rxBytes, entry)
  );
}

/** `shift`: bit offset of the endpoint's tag in `ends`. */
function readEndpoint(
  value: unknown,
  columns: FlowColumns,
  entry: number,
  addresses: Uint32Array,
  ports: Uint16Array,
  shift: number,
): LeftOutReason | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") return "invalid_entry";
  const [, bracketed, plain, port] = endpointPattern.exec(value) ?? [];
  const text = bracketed ?? plain ?? value;
  if (Number(port ?? 0) > 65_535) return "invalid_endpoint";
  const tag = readAddress(text, columns, entry, addresses);
  // IPv6 in brackets, IPv4 before a single colon, either one without a port.
  if (tag === addressAbsent || (bracketed !== undefined && !text.includes(":"))) return "invalid_endpoint";
  if (plain !== undefined && text.includes(":")) return "invalid_endpoint";
  columns.ends[entry] = (columns.ends[entry] as number) | (tag << shift);
  ports[entry] = Number(port ?? 0);
  return undefined;
}

/** `[v6]:port`, `[v6]` or `v4:port`; anything else can only be an address without a port. */
const endpointPattern = /^(?:\[([^\]]*)\]|([^:]*)(?=:\d{1,5}$))(?::(\d{1,5}))?$/s;

/** Writes the address and returns its tag; `addressAbsent` if the text is not an address. */
function readAddress(text: string, columns: FlowColumns, entry: number, addresses: Uint32Array): number {
  if (parseIpv6Words(text, words, 0)) {
    const [word0, word1, word2, word3] = words as unknown as [number, number, number, number];
    addresses[entry] = columns.addIpv6(word0, word1, word2, word3);
    return addressIpv6;
  }
  const ipv4 = parseIpv4(text);
  if (ipv4 !== undefined) {
    addresses[entry] = ipv4;
    return addressIpv4;
  }
  const address = parseAddress(text);
  if (address === undefined) return addressAbsent;
  addresses[entry] = columns.addressTexts.push(address.text) - 1;
  return addressText;
}

const words = new Uint32Array(4);

/** Unsigned on the wire. No interface can carry more than 2^53-1 in one window. */
function readCounter(value: unknown, into: Float64Array, entry: number): LeftOutReason | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number") return "invalid_entry";
  if (value < 0) return "negative_counters";
  if (value > Number.MAX_SAFE_INTEGER) return "oversized_counters";
  if (!Number.isInteger(value)) return "invalid_entry";
  into[entry] = value + 0;
  return undefined;
}
