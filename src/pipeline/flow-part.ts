/** Accepted flow records of one row while they come in: columns, keys and text, and then the part that is appended. */
import type { Part } from "../journal/index.ts";
import { packText, unpackText } from "../journal/packing.ts";
import type { EdgeBook } from "../processors/edges.ts";
import { FlowColumns, type LeftOutReason, leftOutReasons, maxEntriesOfRecord } from "../records/flow/columns.ts";
import { keyWords } from "../records/identity.ts";
import { encodeLeftOut } from "../records/left-out.ts";
import { Lines, withoutLines } from "./lines.ts";

/** A sealed part of flow records, with the columns from which they are counted. */
export interface FlowPart extends Part {
  readonly type: "flow";
  readonly columns: FlowColumns;
  /** The generation of the edge book in which all of `columns.edge` was written; otherwise -1. */
  readonly edgeGeneration: number;
}

/** Buffers of parts that are done with, kept for the next ones: 16 requests may be under way. */
const maxPooled = 16;

/** Columns and lines that grew beyond this are not kept: a single record may have 16 MiB. */
const maxPooledBytes = 2 * 1024 * 1024;

/**
 * Connection entries in one row: usual text holds some 10,000 in 1 MiB, but 350,000 empty ones fit. With the largest record
 * behind them, the columns still need no more than 65,536 places.
 */
const maxRowEntries = 65_536 - maxEntriesOfRecord;

const pooledColumns: FlowColumns[] = [];
const pooledLines: Lines[] = [];

/** Returns columns to the pool, once nobody reads them any more. */
export function releaseColumns(columns: FlowColumns): void {
  if (pooledColumns.length >= maxPooled || columns.byteLength > maxPooledBytes) return;
  columns.clear();
  pooledColumns.push(columns);
}

export class OpenFlowPart {
  readonly columns: FlowColumns = pooledColumns.pop() ?? new FlowColumns();
  readonly #lines: Lines = pooledLines.pop() ?? new Lines();
  #keys = new Uint32Array(128 * keyWords);
  #flags = new Uint8Array(128);
  #logRecords: number[] = [];
  #keysAt = 0;
  #edgeGeneration: number;
  readonly #whole: WholeBody | undefined;
  /** Bytes of its text that are accepted records, one directly behind the other. */
  #wholeBytes = 0;

  /** `whole`: the body that the records come from, if its frame may become the row as it is. */
  constructor(edges: EdgeBook, whole: WholeBody | undefined) {
    this.#edgeGeneration = edges.generation;
    this.#whole = whole;
  }

  /** Bytes held in memory. */
  get byteLength(): number {
    return this.columns.byteLength + this.#lines.byteLength + this.#keys.byteLength;
  }

  get isFull(): boolean {
    return this.#lines.isFull || this.columns.entries >= maxRowEntries;
  }

  /** Where the key of the record that comes next is written. */
  nextKey(): { readonly keys: Uint32Array; readonly at: number } {
    const at = (this.columns.records - 1) * keyWords;
    if (at + keyWords > this.#keys.length) {
      const larger = new Uint32Array(this.#keys.length * 2);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    return { keys: this.#keys, at };
  }

  /** Accepts the last record of the columns, whose stored line is these bytes. */
  addBytes(bytes: Uint8Array, from: number, to: number, record: RecordNotes): void {
    if (bytes === this.#whole?.text && from === this.#wholeBytes) this.#wholeBytes = to;
    else {
      this.#leaveWhole();
      this.#lines.addBytes(bytes, from, to);
    }
    this.#note(record);
  }

  /** Accepts the last record of the columns, whose stored line is this text. */
  addLine(line: string, record: RecordNotes): void {
    this.#leaveWhole();
    this.#lines.addText(line);
    this.#note(record);
  }

  /** The book was emptied in between: edges that were written before are no longer its own. */
  checkEdges(edges: EdgeBook): void {
    if (edges.generation !== this.#edgeGeneration) this.#edgeGeneration = -1;
  }

  /** The part, and the end of this one. `keepsText`: whether the part has its text beside the packed one. */
  seal(keepsText: () => boolean): FlowPart {
    const { columns } = this;
    const { text, body, length } = this.#packed(keepsText);
    if (pooledLines.length < maxPooled && this.#lines.byteLength <= maxPooledBytes) pooledLines.push(this.#lines);
    return flowPart(columns, this.#edgeGeneration, {
      type: "flow",
      records: columns.records,
      length,
      body,
      ...(text !== undefined && { text }),
      keys: this.#keys.subarray(0, columns.records * keyWords),
      keysAt: this.#keysAt,
      flags: this.#flags.subarray(0, columns.records),
      ...(this.#logRecords.length > 0 && { logRecords: Uint32Array.from(this.#logRecords) }),
    });
  }

  /** A frame that holds accepted records and nothing else is stored as it came: 0.5 µs less per connection entry. */
  #packed(keepsText: () => boolean): { text: Uint8Array | undefined; body: Uint8Array; length: number } {
    const whole = this.#whole;
    if (whole !== undefined && this.#wholeBytes === whole.text.length)
      return { text: keepsText() ? whole.text : undefined, body: whole.frame, length: whole.text.length };
    this.#leaveWhole();
    return { text: keepsText() ? this.#lines.text() : undefined, ...this.#lines.pack() };
  }

  /** Something else than the body's next record came: what was accepted of the body so far becomes lines. */
  #leaveWhole(): void {
    if (this.#wholeBytes > 0) this.#lines.addBytes((this.#whole as WholeBody).text, 0, this.#wholeBytes);
    this.#wholeBytes = 0;
  }

  #note({ flags, logRecords, keysAt }: RecordNotes): void {
    const record = this.columns.records - 1;
    if (record >= this.#flags.length) {
      const larger = new Uint8Array(this.#flags.length * 2);
      larger.set(this.#flags);
      this.#flags = larger;
    }
    this.#flags[record] = flags;
    if (logRecords !== undefined) this.#logRecords.push(logRecords);
    if (keysAt > this.#keysAt) this.#keysAt = keysAt;
  }
}

/** A body that was inflated at once: one zstd frame, and what it holds, at most a row's text. */
export interface WholeBody {
  readonly frame: Uint8Array;
  readonly text: Uint8Array;
}

/** What is known of a record beside its columns. */
export interface RecordNotes {
  /** Bits of `partFlags`. */
  readonly flags: number;
  /** Log records that it makes, if they are limited. */
  readonly logRecords: number | undefined;
  /** From when on its key grows old, epoch milliseconds. */
  readonly keysAt: number;
}

type Stored = Omit<FlowPart, "columns" | "edgeGeneration" | "leftOut" | "leftOutEntries" | "without">;

function flowPart(columns: FlowColumns, edgeGeneration: number, stored: Stored): FlowPart {
  const none = new Uint8Array(columns.records);
  return {
    ...stored,
    columns,
    edgeGeneration,
    ...leftOutOf(columns, none),
    without: (dropped) => flowPartWithout(columns, edgeGeneration, stored, dropped),
  };
}

/** A known record is seldom among new ones: packing again is cheaper than keeping every text. */
function flowPartWithout(columns: FlowColumns, edgeGeneration: number, stored: Stored, dropped: Uint8Array): FlowPart {
  const { keys, flags, logRecords } = stored;
  const text = withoutLines(unpackText(stored.body, stored.length), dropped);
  const isKept = (_: number, record: number): boolean => dropped[record] !== 1;
  return {
    ...stored,
    columns,
    edgeGeneration,
    records: dropped.reduce((sum, isDropped) => sum - isDropped, stored.records),
    length: text.length,
    body: packText(text),
    keys: keys.filter((_, word) => dropped[Math.floor(word / keyWords)] !== 1),
    flags: flags.filter(isKept),
    ...(logRecords !== undefined && { logRecords: logRecords.filter(isKept) }),
    ...leftOutOf(columns, dropped),
    without() {
      throw new Error("a part is reduced once");
    },
  };
}

/** Entries that are left out of the records that stay, numbered as a decoder of the row will number them. */
function leftOutOf(columns: FlowColumns, dropped: Uint8Array): Pick<FlowPart, "leftOut" | "leftOutEntries"> {
  if (columns.leftOutTexts.size === 0) return { leftOut: undefined, leftOutEntries: {} };
  const entries: number[] = [];
  const counts: Partial<Record<LeftOutReason, number>> = {};
  let number = 0;
  for (let record = 0; record < columns.records; record++) {
    if (dropped[record] === 1) continue;
    const end = columns.firstEntry[record + 1] as number;
    for (let entry = columns.firstEntry[record] as number; entry < end; entry++, number++) {
      const code = columns.leftOut[entry] as number;
      if (code === 0) continue;
      const reason = leftOutReasons[code - 1] as LeftOutReason;
      entries.push(number);
      counts[reason] = (counts[reason] ?? 0) + 1;
    }
  }
  return { leftOut: encodeLeftOut({ entries }), leftOutEntries: counts };
}
