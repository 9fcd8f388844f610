/**
 * The accepted records of one row while they are received: their stored lines, what is known of each beside its line, and what
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

/** A part with what it is counted from: flow records from columns, others from what all of its records add up to. */
export interface MeasuredPart extends Part {
  readonly columns: FlowColumns | undefined;
  /** The generation of the edge book in which `columns.edge` was begun: still its generation, or the edges are void. */
  readonly edgeGeneration: number;
  readonly increments: Increments;
}

/** A body that was inflated at once: one zstd frame, and what it holds, at most a row's text. */
export interface WholeBody {
  readonly frame: Uint8Array;
  readonly text: Uint8Array;
}

/** What is known of a record beside its line. */
export interface RecordNotes {
  /** Bits of `partFlags`. */
  readonly flags: number;
  /** From when on its key ages, epoch milliseconds. */
  readonly keysAt: number;
  /** Log records that it makes, if they are limited. */
  readonly logRecords?: number | undefined;
  /** Keys of the fact that a record of another type can report too, if facts are compared. */
  readonly fact?: Uint32Array | undefined;
}

/** A row ends with the record that brings it to so much text. A delivery request is put together from whole rows in memory: rows of 4 MiB cost it 50 to 100 MB more. */
export const maxRowBytes = 1024 * 1024;

/** Records in one row: usual text has 2,000 in 1 MiB. The journal takes 1 µs for each. */
export const maxRowRecords = 16_384;

/**
 * Connection entries in one row: usual text holds some 10,000 in 1 MiB, but 350,000 empty ones fit. With the largest record
 * behind them, the columns still need no more than 65,536 places.
 */
const maxRowEntries = 65_536 - maxEntriesOfRecord;

/** Buffers of rows that are done with, kept for the next ones: 16 requests may be under way. Larger ones are not kept. */
const maxPooled = 16;
const maxPooledBytes = 2 * 1024 * 1024;
const pooledColumns: FlowColumns[] = [];
const pooledLines: Lines[] = [];

/** Returns a part's columns to the pool or frees them, once nobody reads them any more. */
export function releaseColumns(columns: FlowColumns | undefined): void {
  if (columns === undefined) return;
  columns.clear();
  if (pooledColumns.length < maxPooled && columns.byteLength <= maxPooledBytes) pooledColumns.push(columns);
  else for (const column of Object.values(columns)) if (ArrayBuffer.isView(column)) freeBuffer(column);
}

export class OpenPart {
  readonly type: RecordType;
  readonly columns: FlowColumns | undefined;
  readonly increments = noIncrements();
  readonly #lines = Lines.open();
  readonly #flags: number[] = [];
  readonly #logRecords: number[] = [];
  readonly #facts: (Uint32Array | undefined)[] = [];
  #keysAt = 0;
  readonly #edgeGeneration: number;
  readonly #whole: WholeBody | undefined;
  /** Bytes of its text that are accepted records, one directly behind the other. */
  #wholeBytes = 0;

  /** `whole`: the body that the records are read from, if its frame may become the row as it is. */
  constructor(type: RecordType, edges: Pick<EdgeBook, "generation">, whole: WholeBody | undefined) {
    this.type = type;
    this.columns = type === "flow" ? (pooledColumns.pop() ?? new FlowColumns()) : undefined;
    this.#edgeGeneration = edges.generation;
    this.#whole = whole;
  }

  /** Bytes held in memory. */
  get byteLength(): number {
    return this.#lines.byteLength + (this.columns?.byteLength ?? 0);
  }

  get isFull(): boolean {
    return this.#lines.isFull || (this.columns !== undefined && this.columns.entries >= maxRowEntries);
  }

  /** Adds a record, of flows the last of the columns, whose stored line is the bytes from `from` up to `to`. */
  add(bytes: Uint8Array, from: number, to: number, key: Uint32Array, notes: RecordNotes): void {
    if (bytes === this.#whole?.text && from === this.#wholeBytes) this.#wholeBytes = to;
    else {
      this.#leaveWhole();
      this.#lines.add(bytes, from, to);
    }
    this.#lines.addKey(key);
    const { flags, keysAt, logRecords, fact } = notes;
    this.#flags.push(flags);
    if (logRecords !== undefined) this.#logRecords.push(logRecords);
    if (fact !== undefined) this.#facts[this.#flags.length - 1] = fact;
    if (keysAt > this.#keysAt) this.#keysAt = keysAt;
  }

  /** The part, and the end of this one. `keepsText`: whether the part has its text beside the packed one. */
  seal(keepsText: () => boolean): MeasuredPart {
    const { type, columns, increments } = this;
    const part: Omit<MeasuredPart, "without"> = {
      type,
      records: this.#flags.length,
      ...this.#packed(keepsText),
      ...leftOutOf(columns),
      keysAt: this.#keysAt,
      flags: Uint8Array.from(this.#flags),
      facts: this.#facts,
      ...(this.#logRecords.length > 0 && { logRecords: Uint32Array.from(this.#logRecords) }),
      columns,
      edgeGeneration: this.#edgeGeneration,
      increments,
    };
    return { ...part, without: (dropped) => partWithout(part, dropped) };
  }

  /** A frame that holds accepted records and nothing else is stored as it was received: 0.5 µs less per connection entry. */
  #packed(keepsText: () => boolean): Pick<Part, "body" | "length" | "keys" | "text"> {
    const whole = this.#whole?.text.length === this.#wholeBytes ? this.#whole : undefined;
    if (whole === undefined) this.#leaveWhole();
    const text = keepsText() && { text: whole?.text ?? this.#lines.text() };
    return { ...this.#lines.seal(whole && { body: whole.frame, length: whole.text.length }), ...text };
  }

  /** Something other than the body's next record follows: what was accepted of the body so far becomes lines. */
  #leaveWhole(): void {
    if (this.#wholeBytes > 0) this.#lines.add((this.#whole as WholeBody).text, 0, this.#wholeBytes);
    this.#wholeBytes = 0;
  }
}

/** A known record is rare among new ones: packing again is cheaper than keeping every text. */
function partWithout(part: Omit<MeasuredPart, "without">, dropped: Uint8Array): Part {
  const isKept = (_: unknown, record: number): boolean => dropped[record] !== 1;
  const flags = part.flags.filter(isKept);
  return {
    type: part.type,
    records: flags.length,
    ...linesWithout(part, dropped),
    ...leftOutOf(part.columns, dropped),
    keysAt: part.keysAt,
    flags,
    ...(part.facts && { facts: Array.from(part.flags, (__, record) => part.facts?.[record]).filter(isKept) }),
    ...(part.logRecords && { logRecords: part.logRecords.filter(isKept) }),
    without() {
      throw new Error("a part is reduced once");
    },
  };
}

/** Entries that are left out of the records that stay, numbered as a decoder of the row will number them. */
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

const newline = 0x0a;

/** Stored lines on their way into a row, a newline between two, and their keys, in buffers that are used again. */
export class Lines {
  #bytes = new Uint8Array(64 * 1024);
  #length = 0;
  #keys: number[] = [];

  static open(): Lines {
    return pooledLines.pop() ?? new Lines();
  }

  /** Bytes held in memory. */
  get byteLength(): number {
    return this.#bytes.length + this.#keys.length * 8;
  }

  get isFull(): boolean {
    return this.#length >= maxRowBytes || this.#keys.length >= maxRowRecords * keyWords;
  }

  /** Appends the bytes from `from` up to `to`, which hold no newline. */
  add(bytes: Uint8Array, from: number, to: number): void {
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

  /** The key of the next line that has one. */
  addKey(key: Uint32Array): void {
    for (let word = 0; word < key.length; word++) this.#keys.push(key[word] as number);
  }

  /** A copy of the lines. */
  text(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** The row, packed unless it was `received` so; the buffers go back to the pool. */
  seal(received?: Pick<Part, "body" | "length">): Pick<Part, "body" | "length" | "keys"> {
    const length = this.#length;
    const packed = received ?? { body: packText(this.#bytes.subarray(0, length)), length };
    const keys = Uint32Array.from(this.#keys);
    this.#length = 0;
    this.#keys = [];
    if (pooledLines.length < maxPooled && this.#bytes.length <= maxPooledBytes) pooledLines.push(this);
    else freeBuffer(this.#bytes);
    return { ...packed, keys };
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
    if (dropped[line] !== 1) {
      left.add(text, from, to);
      left.addKey(keys.subarray(line * keyWords, (line + 1) * keyWords));
    }
    from = to;
  }
  return left.seal();
}
