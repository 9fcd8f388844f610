/**
 * The accepted records of one row while they are received: their stored lines, what goes beside each of them, and what they
 * are counted from. Sealed, they are a part of an append.
 */
import { type Increments, noIncrements } from "../catalogue/increments.ts";
import { packText, type Part, unpackText } from "../journal/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import { FlowColumns, type LeftOutReason, leftOutReasons, maxEntriesOfRecord } from "../records/flow/columns.ts";
import { keyWords } from "../records/identity.ts";
import { endsOfObjects } from "../records/json.ts";
import { encodeLeftOut } from "../records/flow/rows.ts";
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

/** What is known of a record beside its text. */
export interface RecordNotes {
  /** Four words. */
  readonly key: Uint32Array;
  /** Bits of `partFlags`. */
  readonly flags: number;
  /** From when on its key ages, epoch milliseconds. */
  readonly keysAt: number;
  /** Log records that it makes, if they are limited. */
  readonly logRecords: number | undefined;
  /** Keys of the fact that a record of another type can report too, if facts are compared. */
  readonly fact: Uint32Array | undefined;
}

/**
 * Connection entries in one row: usual text holds some 10,000 in 1 MiB, but 350,000 empty ones fit. With the largest record
 * behind them, the columns still need no more than 65,536 places.
 */
const maxRowEntries = 65_536 - maxEntriesOfRecord;

/** Buffers of parts that are done with, kept for the next ones: 16 requests may be under way. Larger ones are not kept. */
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
  readonly #lines = pooledLines.pop() ?? new Lines();
  readonly #keys: number[] = [];
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
    return this.#lines.byteLength + this.#keys.length * 8 + (this.columns?.byteLength ?? 0);
  }

  get isFull(): boolean {
    return this.#lines.isFull || (this.columns !== undefined && this.columns.entries >= maxRowEntries);
  }

  /** Adds the last record of the columns, whose stored line is these bytes. */
  addBytes(bytes: Uint8Array, from: number, to: number, notes: RecordNotes): void {
    if (bytes === this.#whole?.text && from === this.#wholeBytes) this.#wholeBytes = to;
    else {
      this.#leaveWhole();
      this.#lines.addBytes(bytes, from, to);
    }
    this.#note(notes);
  }

  /** Adds a record, of flows the last of the columns, whose stored line is this text. */
  addLine(line: string, notes: RecordNotes): void {
    this.#leaveWhole();
    this.#lines.addText(line);
    this.#note(notes);
  }

  /** The part, and the end of this one. `keepsText`: whether the part has its text beside the packed one. */
  seal(keepsText: () => boolean): MeasuredPart {
    const part: Omit<MeasuredPart, "without"> = {
      type: this.type,
      records: this.#flags.length,
      ...this.#packed(keepsText),
      ...leftOutOf(this.columns),
      keys: Uint32Array.from(this.#keys),
      keysAt: this.#keysAt,
      flags: Uint8Array.from(this.#flags),
      facts: this.#facts,
      ...(this.#logRecords.length > 0 && { logRecords: Uint32Array.from(this.#logRecords) }),
      columns: this.columns,
      edgeGeneration: this.#edgeGeneration,
      increments: this.increments,
    };
    this.#lines.release();
    return { ...part, without: (dropped) => partWithout(part, dropped) };
  }

  /** A frame that holds accepted records and nothing else is stored as it was received: 0.5 µs less per connection entry. */
  #packed(keepsText: () => boolean): Pick<Part, "body" | "length" | "text"> {
    const whole = this.#whole;
    if (whole !== undefined && this.#wholeBytes === whole.text.length)
      return { body: whole.frame, length: whole.text.length, ...(keepsText() && { text: whole.text }) };
    this.#leaveWhole();
    return { ...(keepsText() && { text: this.#lines.text() }), ...this.#lines.pack() };
  }

  /** Something other than the body's next record follows: what was accepted of the body so far becomes lines. */
  #leaveWhole(): void {
    if (this.#wholeBytes > 0) this.#lines.addBytes((this.#whole as WholeBody).text, 0, this.#wholeBytes);
    this.#wholeBytes = 0;
  }

  #note({ key, flags, logRecords, keysAt, fact }: RecordNotes): void {
    for (let word = 0; word < keyWords; word++) this.#keys.push(key[word] as number);
    this.#flags.push(flags);
    if (logRecords !== undefined) this.#logRecords.push(logRecords);
    if (fact !== undefined) this.#facts[this.#flags.length - 1] = fact;
    if (keysAt > this.#keysAt) this.#keysAt = keysAt;
  }
}

/** A known record is rare among new ones: packing again is cheaper than keeping every text. */
function partWithout(part: Omit<MeasuredPart, "without">, dropped: Uint8Array): Part {
  const isKept = (_: unknown, record: number): boolean => dropped[record] !== 1;
  const flags = part.flags.filter(isKept);
  return {
    type: part.type,
    records: flags.length,
    ...textWithout(part, dropped),
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

/** Bytes of text in one row. A delivery request is put together from whole rows in memory: rows of 4 MiB cost it 50 to 100 MB more. */
export const maxRowBytes = 1024 * 1024;

const newline = 0x0a;
const encoder = new TextEncoder();

/** Stored lines on their way into a row: bytes appended with a newline between two, in a buffer that is used again. */
export class Lines {
  #bytes = new Uint8Array(64 * 1024);
  #length = 0;

  /** Bytes held in memory. */
  get byteLength(): number {
    return this.#bytes.length;
  }

  get isFull(): boolean {
    return this.#length >= maxRowBytes;
  }

  /** Appends the bytes from `from` up to `to`, which hold no newline. */
  addBytes(bytes: Uint8Array, from: number, to: number): void {
    this.#separate(to - from);
    this.#bytes.set(bytes.subarray(from, to), this.#length);
    this.#length += to - from;
  }

  /** Appends a text without a newline. */
  addText(text: string): void {
    this.#separate(text.length * 3);
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
  }

  /** A copy of what was appended. */
  text(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Packs what was appended and empties the buffer. */
  pack(): Pick<Part, "body" | "length"> {
    const length = this.#length;
    this.#length = 0;
    return { body: packText(this.#bytes.subarray(0, length)), length };
  }

  /** Returns the emptied buffer to the pool. */
  release(): void {
    if (pooledLines.length < maxPooled && this.#bytes.length <= maxPooledBytes) pooledLines.push(this);
    else freeBuffer(this.#bytes);
  }

  /** Makes room for so many bytes, behind a newline if they are not the first. */
  #separate(bytes: number): void {
    const { length: size } = this.#bytes;
    const needed = this.#length + bytes + 1;
    if (needed > size) {
      const larger = new Uint8Array(Math.max(needed, Math.min(size * 2, size + maxRowBytes)));
      larger.set(this.#bytes.subarray(0, this.#length));
      freeBuffer(this.#bytes);
      this.#bytes = larger;
    }
    if (this.#length > 0) this.#bytes[this.#length++] = newline;
  }
}

/** The lines of a row's text. */
export function linesOf(text: Uint8Array): string[] {
  return text.length === 0 ? [] : Buffer.from(text.buffer, text.byteOffset, text.length).toString("utf8").split("\n");
}

/** Text and keys of a part without the lines whose byte in `dropped` is 1. */
export function textWithout(
  { body, length, keys }: Pick<Part, "body" | "length" | "keys">,
  dropped: Uint8Array,
): Pick<Part, "body" | "length" | "keys"> {
  const text = unpackText(body, length);
  const left = new Uint8Array(text.length + dropped.length);
  let used = 0;
  let from = 0;
  for (const [line, to] of endsOfObjects(text).entries()) {
    if (text[from] === newline) from++;
    if (dropped[line] !== 1) {
      if (used > 0) left[used++] = newline;
      left.set(text.subarray(from, to), used);
      used += to - from;
    }
    from = to;
  }
  const staying = keys.filter((_, word) => dropped[Math.floor(word / keyWords)] !== 1);
  return { body: packText(left.subarray(0, used)), length: used, keys: staying };
}
