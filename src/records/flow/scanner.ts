/**
 * The fast front end: a flow record from its bytes into columns, without an object per entry. What it takes, `JSON.parse`
 * takes with the same meaning (`reader.ts` is the oracle); anything out of the ordinary it gives up, and the reader decides.
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

/** Takes records as Tailscale writes them: the stream's envelope, and the API's bare record. */
export class FlowScanner {
  readonly #claims: ClaimTable;
  readonly #nodeIds = new ByteTable<string>({ entries: 16_384, bytes: 1024 * 1024, bytesOfOne: 64 });
  readonly #time = new TimeReader();
  /** The bytes being scanned, as a view. */
  #viewed: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#viewed.buffer);
  /** Members that the record has had, a bit each, in the order of `recordMembers`. */
  #had = 0;

  constructor(claims: ClaimTable) {
    this.#claims = claims;
  }

  /**
   * Appends the record at `from` to the columns. Returns the offset behind it, or -1: it gives up, and the columns are as
   * before. Reads nothing at or beyond `to`. 0.33 µs an entry, 0.6 of `JSON.parse` of the same text.
   */
  scan(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const { records, ipv6Addresses, addressTexts } = columns;
    if (bytes !== this.#viewed) {
      this.#viewed = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    const end = this.#scanValue(bytes, from, to, columns);
    if (end < 0) columns.truncate(records, ipv6Addresses, addressTexts.length);
    else columns.endRecord();
    return end;
  }

  #scanValue(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const nameEnd = endOfName(bytes, from + 1, to);
    if (nameEnd < 0 || bytes[from] !== openBrace) return -1;
    columns.beginRecord();
    this.#had = 0;
    const isEnveloped = placeOfName(bytes, from + 1, nameEnd, envelopeMembers) >= 0;
    return isEnveloped ? this.#scanEnvelope(bytes, from, to, columns) : this.#scanRecord(bytes, from, to, columns);
  }

  #scanEnvelope(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    let had = 0;
    for (let at = from + 1; ;) {
      const name = at;
      at = endOfName(bytes, at, to);
      if (at < 0) return -1;
      const member = placeOfName(bytes, name, at, envelopeMembers);
      if (member >= 0 && (had & (1 << member)) !== 0) return -1;
      had |= member < 0 ? 0 : 1 << member;
      if (member === envelopeEvent) at = this.#scanRecord(bytes, at, to, columns);
      else if (member === envelopeFields) at = this.#scanFields(bytes, at, to, columns);
      else at = endOfAny(bytes, at, to);
      if (at < 0 || at >= to) return -1;
      const next = bytes[at++];
      if (next === closeBrace) return (had & (1 << envelopeEvent)) === 0 ? -1 : at;
      if (next !== comma) return -1;
    }
  }

  /** `{"recorded":"…"}`, possibly with others. `logged` of the record itself is the better time. */
  #scanFields(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    if (to - from < 2 || bytes[from] !== openBrace) return -1;
    if (bytes[from + 1] === closeBrace) return from + 2;
    let hasRecorded = false;
    for (let at = from + 1; ;) {
      const name = at;
      at = endOfName(bytes, at, to);
      if (at < 0) return -1;
      if (placeOfName(bytes, name, at, fieldsMembers) < 0) at = endOfAny(bytes, at, to);
      else {
        if (hasRecorded) return -1;
        hasRecorded = true;
        at = this.#time.read(bytes, at, to);
        if (at >= 0 && (this.#had & (1 << memberLogged)) === 0) this.#setRecorded(columns);
      }
      if (at < 0 || at >= to) return -1;
      const next = bytes[at++];
      if (next === closeBrace) return at;
      if (next !== comma) return -1;
    }
  }

  #scanRecord(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    if (from >= to || bytes[from] !== openBrace) return -1;
    for (let at = from + 1; ;) {
      const name = at;
      at = endOfName(bytes, at, to);
      if (at < 0) return -1;
      const member = placeOfName(bytes, name, at, recordMembers);
      if (member < 0) at = endOfAny(bytes, at, to);
      else {
        if ((this.#had & (1 << member)) !== 0) return -1;
        this.#had |= 1 << member;
        at = this.#scanMember(member, bytes, at, to, columns);
      }
      if (at < 0 || at >= to) return -1;
      const next = bytes[at++];
      if (next === closeBrace) return this.#isComplete(columns) ? at : -1;
      if (next !== comma) return -1;
    }
  }

  #scanMember(member: number, bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const record = columns.records;
    switch (member) {
      case memberNodeId:
        return this.#scanNodeId(bytes, from, to, columns);
      case memberStart: {
        const end = this.#time.read(bytes, from, to);
        columns.startSeconds[record] = this.#time.seconds;
        columns.startNanos[record] = this.#time.nanos;
        return end;
      }
      case memberEnd: {
        const end = this.#time.read(bytes, from, to);
        columns.endSeconds[record] = this.#time.seconds;
        columns.endNanos[record] = this.#time.nanos;
        return end;
      }
      case memberLogged: {
        const end = this.#time.read(bytes, from, to);
        this.#setRecorded(columns);
        return end;
      }
      case memberSourceNode: {
        const claim = this.#claims.claimAt(this.#view, from, to);
        columns.sourceNode[record] = claim;
        return claim === undefined ? -1 : this.#claims.end;
      }
      case memberDestinationNodes:
        return this.#scanNodes(bytes, from, to, columns);
      case memberEvent:
      case memberLogs:
        // It would be a wrapper.
        return -1;
      default: {
        // Entries are numbered in this order.
        const traffic = member - memberFirstTraffic;
        return this.#had >> (member + 1) === 0 ? scanEntries(bytes, this.#view, from, to, traffic, columns) : -1;
      }
    }
  }

  #setRecorded(columns: FlowColumns): void {
    columns.recordedSeconds[columns.records] = this.#time.seconds;
    columns.recordedNanos[columns.records] = this.#time.nanos;
  }

  #scanNodeId(bytes: Uint8Array, from: number, to: number, columns: FlowColumns): number {
    const end = endOfString(bytes, from, to);
    if (end < from + 3) return -1;
    // With its closing quote, no id is the beginning of another.
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

  /** A reporter, traffic, and a window that does not end before it starts. */
  #isComplete(columns: FlowColumns): boolean {
    const record = columns.records;
    if ((this.#had & (1 << memberNodeId)) === 0 || this.#had >> memberFirstTraffic === 0) return false;
    if (columns.startNanos[record] === noTime || columns.endNanos[record] === noTime) return true;
    const seconds = (columns.endSeconds[record] as number) - (columns.startSeconds[record] as number);
    return (
      seconds > 0 || (seconds === 0 && (columns.endNanos[record] as number) >= (columns.startNanos[record] as number))
    );
  }
}

const decoder = new TextDecoder();

const envelopeMembers = bytesOfNames(["time", "event", "fields"]);
const fieldsMembers = bytesOfNames(["recorded"]);
const recordMembers = bytesOfNames([
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
]);

// Places in the lists above.
const envelopeEvent = 1;
const envelopeFields = 2;
const memberNodeId = 0;
const memberStart = 1;
const memberEnd = 2;
const memberLogged = 3;
const memberSourceNode = 4;
const memberDestinationNodes = 5;
const memberEvent = 6;
const memberLogs = 7;
const memberFirstTraffic = 8;
