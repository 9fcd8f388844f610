/**
 * The fast front end: decodes a flow record from bytes into columns without allocating an object per entry. Whatever it accepts,
 * `JSON.parse` accepts with the same meaning (tested against `reader.ts`); it rejects everything unusual and leaves it to the reader.
 */
import { ByteTable } from "../byte-table.ts";
import type { ClaimTable, NodeClaim } from "./claims.ts";
import { type FlowColumns, noTime } from "./columns.ts";
import { scanEntries } from "./entries.ts";
import {
  bytesOfNames,
  closeBrace,
  closeBracket,
  comma,
  endOfAny,
  endOfName,
  endOfString,
  openBrace,
  openBracket,
  placeOfName,
  TimeReader,
} from "./tokens.ts";

/** Scans records in the two forms that Tailscale writes: the stream's envelope and the API's bare record. */
export class FlowScanner {
  readonly #claims: ClaimTable;
  readonly #nodeIds = new ByteTable<string>({ entries: 16_384, bytes: 1024 * 1024, bytesOfOne: 64 });
  readonly #time = new TimeReader();
  /** The bytes being scanned, as a view. */
  #viewed: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#viewed.buffer);
  /** Bit set of the members seen in the record and its envelope. */
  #had = 0;

  constructor(claims: ClaimTable) {
    this.#claims = claims;
  }

  /**
   * Appends the record at `from` to the columns. Returns the offset past it, or -1 with the columns unchanged if the record
   * is not in a supported form. Never reads at or past `to`. 0.33 µs per entry, 0.6 of `JSON.parse` on the same text.
   */
  scan(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const { records } = columns;
    if (bytes !== this.#viewed) {
      this.#viewed = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    const end = this.#scanValue(bytes, from, to, columns);
    if (end < 0) columns.takeBack(records);
    else columns.endRecord();
    return end;
  }

  #scanValue(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const nameEnd = endOfName(bytes, from + 1, to);
    if (nameEnd < 0 || bytes[from] !== openBrace) return -1;
    columns.beginRecord();
    this.#had = 0;
    const isEnveloped = placeOfName(bytes, from + 1, nameEnd, envelope.names) >= 0;
    if (!isEnveloped) return this.#scanObject(record, bytes, from, to, columns);
    const end = this.#scanObject(envelope, bytes, from, to, columns);
    return this.#has(memberEvent) ? end : -1;
  }

  /** An object with these members; unknown ones are skipped. */
  #scanObject(kind: MemberNames, bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    if (to - from < 2 || bytes[from] !== openBrace) return -1;
    if (kind === fields && bytes[from + 1] === closeBrace) return from + 2;
    for (let at = from + 1; ;) {
      const name = at;
      at = endOfName(bytes, at, to);
      if (at < 0) return -1;
      const place = placeOfName(bytes, name, at, kind.names);
      if (place < 0) at = endOfAny(bytes, at, to);
      else {
        const member = kind.first + place;
        if (this.#has(member)) return -1;
        this.#had |= 1 << member;
        at = this.#scanMember(member, bytes, at, to, columns);
      }
      if (at < 0 || at >= to) return -1;
      const next = bytes[at++];
      if (next === closeBrace) return kind !== record || this.#isComplete(columns) ? at : -1;
      if (next !== comma) return -1;
    }
  }

  #has(member: number): boolean {
    return (this.#had & (1 << member)) !== 0;
  }

  #scanMember(member: number, bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const row = columns.records;
    switch (member) {
      case memberTime:
        return endOfAny(bytes, from, to);
      case memberEvent:
        return this.#scanObject(record, bytes, from, to, columns);
      case memberFields:
        return this.#scanObject(fields, bytes, from, to, columns);
      case memberRecorded:
        // The record's own `logged` takes precedence.
        if (this.#has(memberLogged)) return this.#time.read(bytes, from, to, unused.seconds, unused.nanos, 0);
        return this.#time.read(bytes, from, to, columns.recordedSeconds, columns.recordedNanos, row);
      case memberNodeId:
        return this.#scanNodeId(bytes, from, to, columns);
      case memberStart:
        return this.#time.read(bytes, from, to, columns.startSeconds, columns.startNanos, row);
      case memberEnd:
        return this.#time.read(bytes, from, to, columns.endSeconds, columns.endNanos, row);
      case memberLogged:
        return this.#time.read(bytes, from, to, columns.recordedSeconds, columns.recordedNanos, row);
      case memberSourceNode: {
        const claim = this.#claims.claimAt(this.#view, from, to);
        columns.sourceNode[row] = claim;
        return claim === undefined ? -1 : this.#claims.end;
      }
      case memberDestinationNodes:
        return this.#scanNodes(bytes, from, to, columns);
      case memberInnerEvent:
      case memberLogs:
        // The record would be a wrapper.
        return -1;
      default: {
        // Entries are numbered in the order of the traffic types, so the arrays must appear in that order.
        const traffic = member - memberFirstTraffic;
        return this.#had >> (member + 1) === 0 ? scanEntries(bytes, this.#view, from, to, traffic, columns) : -1;
      }
    }
  }

  #scanNodeId(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const end = endOfString(bytes, from, to);
    if (end < from + 3) return -1;
    // The closing quote is included, so that no id is a prefix of another.
    const hash = this.#nodeIds.hash(this.#view, from + 1, end);
    const known = this.#nodeIds.find(hash, this.#view, from + 1, end);
    if (known >= 0) columns.nodeId[columns.records] = this.#nodeIds.value(known);
    else {
      const nodeId = decoder.decode(bytes.subarray(from + 1, end - 1));
      this.#nodeIds.add(hash, this.#view, from + 1, end, nodeId);
      columns.nodeId[columns.records] = nodeId;
    }
    return end;
  }

  #scanNodes(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    if (to - from < 2 || bytes[from] !== openBracket) return -1;
    if (bytes[from + 1] === closeBracket) return from + 2;
    const nodes: NodeClaim[] = [];
    columns.destinationNodes[columns.records] = nodes;
    for (let at = from + 1; ;) {
      const claim = this.#claims.claimAt(this.#view, at, to);
      if (claim === undefined) return -1;
      nodes.push(claim);
      at = this.#claims.end;
      if (at >= to) return -1;
      const next = bytes[at++];
      if (next === closeBracket) return at;
      if (next !== comma) return -1;
    }
  }

  /** True if the record has a reporter, traffic, and a window that does not end before it starts. */
  #isComplete(columns: FlowColumns): boolean {
    const row = columns.records;
    if (!this.#has(memberNodeId) || this.#had >> memberFirstTraffic === 0) return false;
    if (columns.startNanos[row] === noTime || columns.endNanos[row] === noTime) return true;
    const seconds = (columns.endSeconds[row] as number) - (columns.startSeconds[row] as number);
    return seconds > 0 || (seconds === 0 && (columns.endNanos[row] as number) >= (columns.startNanos[row] as number));
  }
}

const decoder = new TextDecoder();
const unused = { seconds: new Float64Array(1), nanos: new Int32Array(1) };

/** Member names of one kind of object, numbered from `first`. */
interface MemberNames {
  readonly first: number;
  readonly names: readonly Uint8Array[];
}

const envelope: MemberNames = { first: 0, names: bytesOfNames(["time", "event", "fields"]) };
const fields: MemberNames = { first: 3, names: bytesOfNames(["recorded"]) };
const record: MemberNames = {
  first: 4,
  names: bytesOfNames([
    "nodeId",
    "start",
    "end",
    "logged",
    "srcNode",
    "dstNodes",
    "event",
    "logs",
    "virtualTraffic",
    "subnetTraffic",
    "exitTraffic",
    "physicalTraffic",
  ]),
};

const memberTime = 0;
const memberEvent = 1;
const memberFields = 2;
const memberRecorded = 3;
const memberNodeId = 4;
const memberStart = 5;
const memberEnd = 6;
const memberLogged = 7;
const memberSourceNode = 8;
const memberDestinationNodes = 9;
const memberInnerEvent = 10;
const memberLogs = 11;
const memberFirstTraffic = 12;
