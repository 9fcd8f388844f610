/**
 * Collects the accepted records of one row while they are received: their stored lines, notes about each of them, and what
 * they are counted from. Sealed, they are a part of an append.
 */
import { type Increments, noIncrements } from "../catalogue/increments.ts";
import { packText, type Part, unpackText } from "../journal/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import { FlowColumns, type LeftOutReason, leftOutReasons, maxEntriesOfRecord } from "../records/flow/columns.ts";
import { encodeLeftOut } from "../records/flow/rows.ts";
import { keyWords } from "../records/identity.ts";
import { endsOfObjects } from "../records/json.ts";
import type { RecordType } from "../records/types.ts";
import { freeBuffer } from "../runtime/process.ts";

/** A part with what it is counted from: the columns of flow records, or the summed increments of other records. */
export interface MeasuredPart extends Part {
  readonly columns: FlowColumns | undefined;
  /** The generation of the edge book when `columns.edge` was begun; if it has changed since, the edges are void. */
  readonly edgeGeneration: number;
  readonly increments: Increments;
}

/** A body that was decompressed at once: one zstd frame and its text, at most that of a row. */
export interface WholeBody {
  readonly frame: Uint8Array;
  readonly text: Uint8Array;
}

/** What is noted about a record. */
export interface RecordNotes {
  /** Bits of `partFlags`. */
  readonly flags: number;
  /** When its key begins to age, epoch milliseconds. */
  readonly keysAt: number;
  /** Log records that it makes, if they are limited. */
  readonly logRecords?: number | undefined;
  /** Keys of the fact that a record of another type can report too, if facts are compared. */
  readonly fact?: Uint32Array | undefined;
}

/** A row ends with the record that brings it to this much text. Delivery builds requests from whole rows in memory: rows of 4 MiB cost it 50 to 100 MB more. */
export const maxRowBytes = 1024 * 1024;

/** Records in one row: 1 MiB of usual text has 2,000. The journal needs 1 µs for each. */
export const maxRowRecords = 16_384;

/**
 * Connection entries in one row: usual text holds some 10,000 in 1 MiB, but 350,000 empty ones fit. Even with the largest
 * record after them, the columns need no more than 65,536 places.
 */
const maxRowEntries = 65_536 - maxEntriesOfRecord;

/** Free buffers for the next rows: 16 requests may be in progress. Larger ones are not pooled. */
const maxPooled = 16;
const maxPooledBytes = 2 * 1024 * 1024;
const pooledColumns: FlowColumns[] = [];
const pooledLines: Lines[] = [];

/** Returns a part's columns to the pool or frees them, once nothing reads them any more. */
export function releaseColumns(columns: FlowColumns | undefined): void {
  if (columns === undefined) return;
  columns.clear();
  if (pooledColumns.length < maxPooled && columns.byteLength <= maxPooledBytes) pooledColumns.push(columns);
  else for (const column of Object.values(columns)) if (ArrayBuffer.isView(column)) freeBuffer(column);
}

/** The notes about all records of a part. */
interface Notes {
  readonly flags: number[];
  readonly facts: (Uint32Array | undefined)[];
  /** Empty if they are not limited. */
  readonly logRecords: number[];
}

export class OpenPart {
  readonly type: RecordType;
  readonly columns: FlowColumns | undefined;
  readonly increments = noIncrements();
  readonly #lines: Lines;
  readonly #notes: Notes = { flags: [], facts: [], logRecords: [] };
  readonly #edgeGeneration: number;
  #keysAt = 0;

  /** `whole`: the body that the records are read from, if its frame may become the row unchanged. */
  constructor(type: RecordType, edges: Pick<EdgeBook, "generation">, whole: WholeBody | undefined) {
    this.type = type;
    this.columns = type === "flow" ? (pooledColumns.pop() ?? new FlowColumns()) : undefined;
    this.#lines = Lines.open(whole);
    this.#edgeGeneration = edges.generation;
  }

  /** Bytes held in memory. */
  get byteLength(): number {
    return this.#lines.byteLength + (this.columns?.byteLength ?? 0);
  }

  get isFull(): boolean {
    return this.#lines.isFull || (this.columns !== undefined && this.columns.entries >= maxRowEntries);
  }

  /** Adds a record (for flows, the last of the columns), whose stored line is the bytes from `from` up to `to`. */
  add(bytes: Uint8Array, from: number, to: number, key: Uint32Array, notes: RecordNotes): void {
    this.#lines.add(bytes, from, to, key);
    const { flags, keysAt, logRecords, fact } = notes;
    const { flags: all, logRecords: allLogRecords, facts } = this.#notes;
    all.push(flags);
    if (logRecords !== undefined) allLogRecords.push(logRecords);
    if (fact !== undefined) facts[all.length - 1] = fact;
    if (keysAt > this.#keysAt) this.#keysAt = keysAt;
  }

  /** The finished part. `keepsText`: true if it keeps its text in addition to the packed one. */
  seal(keepsText: () => boolean): MeasuredPart {
    const { type, columns, increments } = this;
    const text = keepsText() && { text: this.#lines.text() };
    const shared = { type, columns, increments, edgeGeneration: this.#edgeGeneration, keysAt: this.#keysAt };
    return { ...partOf(shared, this.#lines.seal(), this.#notes), ...text };
  }
}

/** `dropped`: records of the columns that are not in it. Known records are rare, so packing again is cheaper than keeping texts. */
function partOf(
  shared: Pick<MeasuredPart, "type" | "columns" | "increments" | "edgeGeneration" | "keysAt">,
  row: Pick<Part, "body" | "length" | "keys">,
  { flags, facts, logRecords }: Notes,
  dropped?: Uint8Array,
): MeasuredPart {
  return {
    ...shared,
    ...row,
    ...leftOutOf(shared.columns, dropped),
    ...daysOf(shared.columns, flags.length, dropped),
    records: flags.length,
    flags: Uint8Array.from(flags),
    facts,
    ...(logRecords.length > 0 && { logRecords: Uint32Array.from(logRecords) }),
    without(gone) {
      const isKept = (_: unknown, record: number): boolean => gone[record] !== 1;
      const kept: Notes = {
        flags: flags.filter(isKept),
        facts: flags.map((_, record) => facts[record]).filter(isKept),
        logRecords: logRecords.filter(isKept),
      };
      return partOf(shared, linesWithout(row, gone), kept, gone);
    },
  };
}

/** The left-out entries of the records that remain, numbered as a decoder of the row will number them. */
function leftOutOf(columns: FlowColumns | undefined, dropped?: Uint8Array): Pick<Part, "leftOut" | "leftOutEntries"> {
  if (columns === undefined) return { leftOut: undefined, leftOutEntries: {} };
  const entries: number[] = [];
  const counts: Partial<Record<LeftOutReason, number>> = {};
  let number = 0;
  for (let record = 0; record < columns.records; record++) {
    if (dropped?.[record] === 1) continue;
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

const secondsPerDay = 86_400;

/** The days of the records that remain. */
function daysOf(columns: FlowColumns | undefined, records: number, dropped?: Uint8Array): Pick<Part, "days"> {
  if (columns === undefined) return {};
  const days = new Uint16Array(records);
  for (let record = 0, at = 0; record < columns.records; record++)
    if (dropped?.[record] !== 1) days[at++] = Math.floor((columns.startSeconds[record] as number) / secondsPerDay);
  return { days };
}

const newline = 0x0a;

/** Collects the stored lines of a row, separated by newlines, and their keys, in buffers that are reused. */
export class Lines {
  #bytes = new Uint8Array(64 * 1024);
  #length = 0;
  #keys: number[] = [];
  #whole: WholeBody | undefined;
  /** Bytes of its text that are lines so far, one directly after another. */
  #wholeBytes = 0;

  /** `whole`: if the lines turn out to be exactly its text, its frame becomes the row, which saves 0.5 µs per connection entry. */
  static open(whole?: WholeBody): Lines {
    const lines = pooledLines.pop() ?? new Lines();
    lines.#whole = whole;
    return lines;
  }

  /** Bytes held in memory. */
  get byteLength(): number {
    return this.#bytes.length + this.#keys.length * 8;
  }

  get isFull(): boolean {
    return this.#length >= maxRowBytes || this.#keys.length >= maxRowRecords * keyWords;
  }

  /** Appends the bytes from `from` up to `to`, which contain no newline, and the line's key, if it has one. */
  add(bytes: Uint8Array, from: number, to: number, key?: Uint32Array): void {
    if (key !== undefined) for (let word = 0; word < keyWords; word++) this.#keys.push(key[word] as number);
    if (this.#whole !== undefined) {
      if (bytes === this.#whole.text && from === this.#wholeBytes) {
        this.#wholeBytes = to;
        return;
      }
      this.#leaveWhole();
    }
    this.#append(bytes, from, to);
  }

  /** The lines; if they are exactly a received body, its own buffer. */
  text(): Uint8Array {
    return this.#isWhole() ? (this.#whole as WholeBody).text : this.#bytes.slice(0, this.#length);
  }

  /** The row; the buffers go back to the pool. */
  seal(): Pick<Part, "body" | "length" | "keys"> {
    const keys = Uint32Array.from(this.#keys);
    const whole = this.#isWhole() ? this.#whole : undefined;
    const length = whole?.text.length ?? this.#length;
    const body = whole?.frame ?? packText(this.#bytes.subarray(0, length));
    this.#whole = undefined;
    this.#wholeBytes = 0;
    this.#length = 0;
    this.#keys = [];
    if (pooledLines.length < maxPooled && this.#bytes.length <= maxPooledBytes) pooledLines.push(this);
    else freeBuffer(this.#bytes);
    return { body, length, keys };
  }

  /** True if the lines are exactly the body. If not, those that are part of it are copied. */
  #isWhole(): boolean {
    if (this.#whole !== undefined && this.#whole.text.length !== this.#wholeBytes) this.#leaveWhole();
    return this.#whole !== undefined;
  }

  #leaveWhole(): void {
    const text = this.#whole?.text;
    this.#whole = undefined;
    if (text !== undefined && this.#wholeBytes > 0) this.#append(text, 0, this.#wholeBytes);
  }

  #append(bytes: Uint8Array, from: number, to: number): void {
    const needed = this.#length + to - from + 1;
    const { length: size } = this.#bytes;
    if (needed > size) {
      const larger = new Uint8Array(Math.max(needed, Math.min(size * 2, size + maxRowBytes)));
      larger.set(this.#bytes.subarray(0, this.#length));
      freeBuffer(this.#bytes);
      this.#bytes = larger;
    }
    if (this.#length > 0) this.#bytes[this.#length++] = newline;
    this.#bytes.set(bytes.subarray(from, to), this.#length);
    this.#length += to - from;
  }
}

/** A row without the lines whose byte in `dropped` is 1. */
export function linesWithout(
  { body, length, keys }: Pick<Part, "body" | "length" | "keys">,
  dropped: Uint8Array,
): Pick<Part, "body" | "length" | "keys"> {
  const text = unpackText(body, length);
  const left = Lines.open();
  let from = 0;
  for (const [line, to] of endsOfObjects(text).entries()) {
    if (text[from] === newline) from++;
    if (dropped[line] !== 1) left.add(text, from, to, keys.subarray(line * keyWords, (line + 1) * keyWords));
    from = to;
  }
  return left.seal();
}
