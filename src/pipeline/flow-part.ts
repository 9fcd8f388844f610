/** Accepted flow records of one row while they come in: columns, keys and text, and then the part that is appended. */
import type { Part } from "../journal/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import { FlowColumns, type LeftOutReason, leftOutReasons, maxEntriesOfRecord } from "../records/flow/columns.ts";
import { keyWords } from "../records/identity.ts";
import { encodeLeftOut } from "../records/left-out.ts";
import { Lines, without, withoutRecords } from "./lines.ts";

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
  readonly #keys: number[] = [];
  readonly #flags: number[] = [];
  readonly #logRecords: number[] = [];
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
    return this.columns.byteLength + this.#lines.byteLength + this.#keys.length * 8;
  }

  get isFull(): boolean {
    return this.#lines.isFull || this.columns.entries >= maxRowEntries;
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
    const part: Omit<FlowPart, "without"> = {
      type: "flow",
      columns,
      edgeGeneration: this.#edgeGeneration,
      records: columns.records,
      length,
      body,
      ...(text !== undefined && { text }),
      keys: Uint32Array.from(this.#keys),
      keysAt: this.#keysAt,
      flags: Uint8Array.from(this.#flags),
      ...(this.#logRecords.length > 0 && { logRecords: Uint32Array.from(this.#logRecords) }),
      ...leftOutOf(columns, new Uint8Array(columns.records)),
    };
    return { ...part, without: (dropped) => flowPartWithout(part, dropped) };
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

  #note({ key, flags, logRecords, keysAt }: RecordNotes): void {
    for (let word = 0; word < keyWords; word++) this.#keys.push(key[word] as number);
    this.#flags.push(flags);
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
  /** Four words. */
  readonly key: Uint32Array;
  /** Bits of `partFlags`. */
  readonly flags: number;
  /** Log records that it makes, if they are limited. */
  readonly logRecords: number | undefined;
  /** From when on its key grows old, epoch milliseconds. */
  readonly keysAt: number;
}

/** A known record is seldom among new ones: packing again is cheaper than keeping every text. A part is reduced once. */
function flowPartWithout(part: Omit<FlowPart, "without">, dropped: Uint8Array): FlowPart {
  const { columns, logRecords } = part;
  const flags = Uint8Array.from(without([...part.flags], dropped));
  return {
    ...part,
    ...withoutRecords(part, dropped),
    records: flags.length,
    flags,
    ...(logRecords !== undefined && { logRecords: Uint32Array.from(without([...logRecords], dropped)) }),
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
