/**
 * Flow records as columns: typed arrays with one row per connection entry or per record, so that nothing is allocated per
 * entry. The scanner and the reader fill them; identity, metrics and log records are computed from them.
 */
import { type HrTime, representable } from "../../lib/clock.ts";
import type { NodeClaim } from "./claims.ts";

/** How an address is stored, as a tag of two bits in `ends`: the source's, and above it the destination's. */
export const addressAbsent = 0;
/** `source` or `destination` is the address as an unsigned 32-bit number. */
export const addressIpv4 = 1;
/** … is an index into `ipv6`, in addresses of four words, most significant first. */
export const addressIpv6 = 2;
/** … is an index into `addressTexts`: an IPv6 address with a zone. */
export const addressText = 3;

/** Traffic types by their number in `traffic`, which is also the order of entries within a record. */
export const trafficTypes = ["virtual", "subnet", "exit", "physical"] as const;

export type TrafficType = (typeof trafficTypes)[number];

/** Why an entry is left out. `leftOut` holds the index of the reason plus one, or 0 for an entry that counts. */
export const leftOutReasons = [
  "invalid_endpoint",
  "invalid_protocol",
  "negative_counters",
  "oversized_counters",
  "invalid_entry",
] as const;

export type LeftOutReason = (typeof leftOutReasons)[number];

/** In `startNanos`, `endNanos` and `recordedNanos`: the record does not have that time. */
export const noTime = -1;

/** Maximum entries in one record: as many as fit in Tailscale's own limit of 256 KiB. */
export const maxEntriesOfRecord = 16_384;

/** Estimated memory of the text of an entry that is left out. */
const bytesOfLeftOutText = 200;

const noNodes: readonly NodeClaim[] = [];
const firstEntries = 1024;
const firstRecords = 128;
const firstAddresses = 256;

export class FlowColumns {
  /** Entries in use; the arrays are longer. */
  entries = 0;
  /** Records in use. */
  records = 0;
  /** Addresses in use in `ipv6`. */
  ipv6Addresses = 0;

  // One row per entry.
  traffic = new Uint8Array(firstEntries);
  /** IANA protocol number; 0 if the entry has none. */
  protocol = new Uint8Array(firstEntries);
  /** Tags of the two addresses: `source | destination << 2`. */
  ends = new Uint8Array(firstEntries);
  leftOut = new Uint8Array(firstEntries);
  source = new Uint32Array(firstEntries);
  destination = new Uint32Array(firstEntries);
  /** 0: no port. For the address of a DERP relay, the region. */
  sourcePort = new Uint16Array(firstEntries);
  destinationPort = new Uint16Array(firstEntries);
  txPackets = new Float64Array(firstEntries);
  txBytes = new Float64Array(firstEntries);
  rxPackets = new Float64Array(firstEntries);
  rxBytes = new Float64Array(firstEntries);
  /** The metric edge of the entry, written by `measureFlow` and read when the batch is committed. */
  edge = new Uint32Array(firstEntries);

  // One row per record.
  /** The record's first entry; row `records` is the end of the last. */
  firstEntry = new Uint32Array(firstRecords + 1);
  nodeId: string[] = [];
  /** Epoch seconds and nanoseconds; nanoseconds are `noTime` if absent. */
  startSeconds = new Float64Array(firstRecords);
  startNanos = new Int32Array(firstRecords);
  endSeconds = new Float64Array(firstRecords);
  endNanos = new Int32Array(firstRecords);
  /** `logged`, else the envelope's `fields.recorded`. */
  recordedSeconds = new Float64Array(firstRecords);
  recordedNanos = new Int32Array(firstRecords);
  sourceNode: (NodeClaim | undefined)[] = [];
  destinationNodes: (readonly NodeClaim[])[] = [];
  /**
   * The label of the exit node that the record's exit traffic is attributed to, written by `measureFlow`. Empty if privacy
   * drops it; undefined if the record has no such traffic or attribution is off.
   */
  exitNode: (string | undefined)[] = [];

  /** Four words per address. */
  ipv6 = new Uint32Array(firstAddresses * 4);
  /** Canonical texts of IPv6 addresses with a zone. */
  addressTexts: string[] = [];
  /** Canonical JSON of entries that are left out, by entry; their identity is computed from it. */
  readonly leftOutTexts = new Map<number, string>();
  /** Unknown protocol names in lower case, by entry; `protocol` is then 0. */
  readonly protocolNames = new Map<number, string>();
  /** Why a stored record cannot be decoded, by record. It then has no entries. */
  readonly defects = new Map<number, string>();
  /** The record begun last, and the number of addresses before it. */
  #begun = -1;
  #ipv6Before = 0;
  #textsBefore = 0;

  /** Estimated memory in bytes, for budgets. */
  get byteLength(): number {
    const texts = (this.leftOutTexts.size + this.protocolNames.size) * bytesOfLeftOutText;
    return this.traffic.length * 52 + this.startNanos.length * 40 + this.ipv6.byteLength + texts;
  }

  #grow(names: readonly Column[], rows: number): void {
    // Object.assign, since a loop over the names would have to assign to the intersection of all types.
    for (const name of names) Object.assign(this, { [name]: grown(this[name], rows) });
  }

  /** Starts a record: grows the columns if needed and resets its row, except `nodeId`, which the caller must write. */
  beginRecord(): void {
    const record = this.records;
    if (record === this.startNanos.length) {
      this.#grow(recordColumns, record * 2);
      this.firstEntry = grown(this.firstEntry, record * 2 + 1);
    }
    this.#begun = record;
    this.#ipv6Before = this.ipv6Addresses;
    this.#textsBefore = this.addressTexts.length;
    this.startSeconds[record] = 0;
    this.startNanos[record] = noTime;
    this.endSeconds[record] = 0;
    this.endNanos[record] = noTime;
    this.recordedSeconds[record] = 0;
    this.recordedNanos[record] = noTime;
    this.sourceNode[record] = undefined;
    this.destinationNodes[record] = noNodes;
  }

  /** Starts an entry: grows the columns if needed and resets row `entries`. */
  beginEntry(traffic: number): void {
    if (this.entries === this.traffic.length) this.#grow(entryColumns, this.entries * 2);
    this.clearEntry(this.entries, traffic);
  }

  /** Resets the row of an entry. */
  clearEntry(entry: number, traffic: number): void {
    if (this.protocolNames.size > 0) this.protocolNames.delete(entry);
    this.traffic[entry] = traffic;
    this.protocol[entry] = 0;
    this.ends[entry] = 0;
    this.leftOut[entry] = 0;
    this.source[entry] = 0;
    this.destination[entry] = 0;
    this.sourcePort[entry] = 0;
    this.destinationPort[entry] = 0;
    this.txPackets[entry] = 0;
    this.txBytes[entry] = 0;
    this.rxPackets[entry] = 0;
    this.rxBytes[entry] = 0;
    this.edge[entry] = 0;
  }

  /** Appends an IPv6 address. Returns its index. */
  addIpv6(word0: number, word1: number, word2: number, word3: number): number {
    const index = this.ipv6Addresses++;
    if (index * 4 === this.ipv6.length) this.ipv6 = grown(this.ipv6, this.ipv6.length * 2);
    const { ipv6 } = this;
    const at = index * 4;
    ipv6[at] = word0;
    ipv6[at + 1] = word1;
    ipv6[at + 2] = word2;
    ipv6[at + 3] = word3;
    return index;
  }

  /** Completes the record that was begun last. */
  endRecord(): void {
    this.records++;
    this.firstEntry[this.records] = this.entries;
  }

  /** Removes a record, complete or not, if it is the one that was begun last. */
  takeBack(record: number): void {
    if (record === this.#begun) this.truncate(record, this.#ipv6Before, this.#textsBefore);
  }

  /** Removes all records from number `records` on. `ipv6Addresses` and `addressTexts`: how many there were before them. */
  truncate(records: number, ipv6Addresses: number, addressTexts: number): void {
    const entries = this.firstEntry[records] as number;
    for (const texts of [this.leftOutTexts, this.protocolNames])
      for (let entry = entries; entry < this.entries && texts.size > 0; entry++) texts.delete(entry);
    this.records = records;
    this.entries = entries;
    this.ipv6Addresses = ipv6Addresses;
    this.addressTexts.length = addressTexts;
    this.nodeId.length = records;
    this.sourceNode.length = records;
    this.destinationNodes.length = records;
    this.exitNode.length = records;
  }

  /** Empties the columns for the next batch. The arrays keep their size. */
  clear(): void {
    this.truncate(0, 0, 0);
    this.#begun = -1;
    this.leftOutTexts.clear();
    this.protocolNames.clear();
    this.defects.clear();
  }
}

type Column = (typeof entryColumns)[number] | (typeof recordColumns)[number];

/** Columns with one row per entry. */
const entryColumns = [
  ...(["traffic", "protocol", "ends", "leftOut", "source", "destination", "sourcePort", "destinationPort"] as const),
  ...(["txPackets", "txBytes", "rxPackets", "rxBytes", "edge"] as const),
] as const;

/** Numeric columns with one row per record. */
const recordColumns = [
  ...(["startSeconds", "startNanos", "endSeconds", "endNanos"] as const),
  ...(["recordedSeconds", "recordedNanos"] as const),
] as const;

function grown<Numbers extends Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array>(
  from: Numbers,
  rows: number,
): Numbers {
  const to = new (from.constructor as new (rows: number) => Numbers)(rows);
  to.set(from);
  // Freed at once: growing would leave as much garbage as the columns hold.
  (from.buffer as ArrayBuffer).transfer(0);
  return to;
}

/** A time of a record, if it is present and within the range of OTLP. `seconds`, `nanos`: the columns of that time. */
export function timeAt(seconds: Float64Array, nanos: Int32Array, record: number): HrTime | undefined {
  if (nanos[record] === noTime) return undefined;
  return representable([seconds[record] as number, nanos[record] as number]);
}

/** The time of a record's log records: the start of its window, else its end. */
export function windowTimeOf(columns: FlowColumns, record: number): HrTime | undefined {
  const { startSeconds, startNanos, endSeconds, endNanos } = columns;
  return timeAt(startSeconds, startNanos, record) ?? timeAt(endSeconds, endNanos, record);
}

/** When Tailscale's log service recorded a record, in epoch milliseconds, if known. */
export function recordedMsOf({ recordedSeconds, recordedNanos }: FlowColumns, record: number): number | undefined {
  const nanos = recordedNanos[record] as number;
  return nanos === noTime ? undefined : (recordedSeconds[record] as number) * 1000 + nanos / 1e6;
}
