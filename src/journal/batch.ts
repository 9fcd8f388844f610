/** What is written to a journal and read back from it: parts, batches, tallies and rows, and how texts are compressed. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { fileErrorReason } from "../lib/system-error.ts";
import type { LeftOutReason } from "../records/flow/columns.ts";
import type { DefectReason, RecordType, SkipReason, Source } from "../records/types.ts";

/** Record types that the API can be polled for. */
export type PolledType = Exclude<RecordType, "webhook">;

/** Accepted records of one type to be appended as one row, with at most about 1 MiB of text. */
export interface Part {
  readonly type: RecordType;
  readonly records: number;
  readonly length: number;
  /** The stored lines, separated by newlines or not at all, as one zstd frame. */
  readonly body: Uint8Array;
  /** The lines before compression, if a reader of the row is likely to want them at once. */
  readonly text?: Uint8Array;
  /** Entries and log records of the batch that are excluded, encoded by `encodeLeftOut`; usually undefined. */
  readonly leftOut: Uint8Array | undefined;
  /** Entries left out, by reason. */
  readonly leftOutEntries: Readonly<Partial<Record<LeftOutReason, number>>>;
  /** Four words per record, as `records/identity.ts` makes them. */
  readonly keys: Uint32Array;
  /** The time from which the keys age, epoch milliseconds: the latest of them. */
  readonly keysAt: number;
  /**
   * Only for flow records: the day since the epoch, modulo 65,536, on which each record's window began; 0 without a begin.
   * Derived from the record alone, so a repeat has the same day.
   */
  readonly days?: Uint16Array;
  /**
   * Keys of facts (`Identifier.fact`) that a record of another type may report too, if they are compared at all. For a webhook
   * event, followed by the keys of the second before and the second after.
   */
  readonly facts?: readonly (Uint32Array | undefined)[];
  /** Number of log records per record, if the batch has a limit for them. */
  readonly logRecords?: Uint32Array;
  readonly flags: Uint8Array;
  /** The same part without the records whose byte is 1; called within the turn if some are already known. */
  without(dropped: Uint8Array): Part;
}

/** Bits of `Part.flags`. */
export const partFlags = { ahead: 1, unproven: 2, replacedTime: 4 } as const;

/** Texts kept for inspection but never accepted: invalid records, or samples of unknown kinds. One row. */
export interface QuarantinePart {
  readonly class: "invalid" | "sample";
  readonly type: RecordType | "unknown";
  /** A word from a closed set. */
  readonly reason: string;
  readonly lines: number;
  readonly length: number;
  /** One JSON object per line: `QuarantineLine`. One zstd frame. */
  readonly body: Uint8Array;
  /** Four words per line for class `quarantined`; none for samples. */
  readonly keys: Uint32Array;
  without(dropped: Uint8Array): QuarantinePart;
}

export interface QuarantineLine extends Pick<QuarantinePart, "type" | "reason"> {
  readonly detail: string;
  /** The record's stored form, or the value's text; cut at 64 KiB. */
  readonly text: string;
  readonly isCut?: true;
}

/** Keys of records that were already known when the batch was built: duplicates whose texts were dropped immediately. */
export interface KnownKeys {
  readonly type: RecordType;
  readonly keys: Uint32Array;
  readonly keysAt: number;
}

/** What one batch, or a slice of a large one, changes. It is committed in one transaction or not at all. */
export interface Append {
  readonly source: Source;
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  /** Size of the batch's text after decompression, and the type shared by all its records. */
  readonly bytes: number;
  readonly bytesOf: RecordType | "unknown";
  readonly parts: readonly Part[];
  readonly known: readonly KnownKeys[];
  readonly quarantine: readonly QuarantinePart[];
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>;
  /** Maximum number of log records that its accepted records may produce. */
  readonly maxLogRecords?: number;
  /** The quarantined line that this batch retries. It is cleared in the same transaction; if it is gone, nothing is appended. */
  readonly retries?: { readonly seq: number; readonly line: number; readonly reason: string };
  /** The batch was polled while the stream was available to bring the same records. */
  readonly repairs?: boolean;
  /** Where the poll that brought the batch stands once it is committed. */
  readonly poll?: PollStep;
}

/** How far the log of one record type has been polled. */
export interface PollCursor {
  readonly type: PolledType;
  /** Whole seconds on the log service's clock. */
  readonly readUntil: number;
  /** Set if `readUntil` is by the local clock, because the log service had not been reached yet. */
  readonly isOurClock?: true;
}

/** The poll's cursor without any other properties. */
export function pollCursorOf({ type, readUntil, isOurClock }: PollCursor): PollCursor {
  return { type, readUntil, ...(isOurClock && { isOurClock }) };
}

/** What the last batch of a polled window commits in addition to its records. */
export interface PollStep extends PollCursor {
  /** Seconds that were skipped to get here. */
  readonly unverifiableSeconds: number;
}

/** What cannot be computed from accepted records, stored with the first row of its batch. */
export interface Tally {
  readonly bytes: number;
  readonly bytesOf: RecordType | "unknown";
  readonly duplicates?: Readonly<Partial<Record<RecordType, number>>>;
  readonly skipped?: Readonly<Partial<Record<SkipReason, number>>>;
  readonly quarantined?: readonly QuarantinedCount[];
  readonly samples?: number;
  /** Excluded entries of accepted records. */
  readonly leftOut?: Readonly<Partial<Record<LeftOutReason, number>>>;
  readonly conflicts?: { readonly counters: number; readonly entries: number };
  readonly futureTimes?: number;
  readonly replacedTimes?: number;
  readonly droppedLogRecords?: number;
  /** Quarantined records that were accepted on retry, by the reason for which they had been quarantined. */
  readonly retried?: Readonly<Record<string, number>>;
  readonly repaired?: Readonly<Partial<Record<PolledType, number>>>;
  readonly late?: Readonly<Partial<Record<PolledType, number>>>;
  readonly unproven?: Readonly<Partial<Record<PolledType, number>>>;
  readonly unverifiable?: Readonly<Partial<Record<PolledType, number>>>;
}

export interface QuarantinedCount {
  readonly type: RecordType;
  readonly reason: DefectReason;
  readonly records: number;
}

export interface Committed {
  readonly lastSeq: number;
  readonly source: Source;
  readonly receivedAt: number;
  readonly parts: readonly CommittedPart[];
  readonly tally: Tally;
}

export interface CommittedPart {
  readonly part: Part;
  /** A byte per record, 1 for those already known; undefined if none was. */
  readonly dropped: Uint8Array | undefined;
  readonly accepted: number;
  /** Its row; 0 if nothing was accepted. */
  readonly seq: number;
}

/** A row without its contents. */
export interface RowHead {
  readonly seq: number;
  /** Epoch milliseconds at which the batch was received. */
  readonly acceptedAt: number;
  /** `tally`: a batch without any record. */
  readonly type: RecordType | "invalid" | "sample" | "tally";
  readonly records: number;
}

export interface Row extends RowHead {
  readonly source: Source;
  /** The decompressed lines; empty for a damaged row and for a tally. */
  readonly text: Uint8Array;
  readonly leftOut: Uint8Array | undefined;
  readonly tally: Tally | undefined;
  /** Why the row is not what was written; undefined if it is intact. */
  readonly damage: string | undefined;
}

/** The columns of a row that readers need. */
export interface StoredBatch {
  readonly seq: number;
  readonly accepted_at: number;
  readonly records: number;
  readonly length: number;
  readonly source: string;
  readonly type: string;
  readonly tally: string | null;
  readonly left_out: Uint8Array | null;
  readonly body: Uint8Array | null;
}

/** Stored data that is not what was written. */
export class Damaged extends Error {
  override readonly name = "Damaged";
}

/** Level 1: about a tenth of the size for flow records, at 0.57 times the cost of parsing them. */
const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Upper bound for a decompressed row: a part is cut after the record that passes 1 MiB, and a record has at most 16 MiB. */
const maxLength = 32 * 1024 * 1024;

/** The smallest chunk that `node:zlib` accepts. A single chunk for the whole text avoids joining chunks. */
const minChunkBytes = 64;

/** Compresses text (UTF-8) to one frame. */
export function packText(text: Uint8Array): Uint8Array {
  return zstdCompressSync(text, level);
}

/** Decodes a row. `damage` is set to what is wrong with its text or tally, or to the given one. */
export function rowOf(stored: StoredBatch, damage?: string): Row {
  const { seq, accepted_at: acceptedAt, source, type, records, tally, left_out: leftOut } = stored;
  const row = { seq, acceptedAt, source: source as Source, type: type as Row["type"], records };
  try {
    if (damage !== undefined) throw new Damaged(damage);
    const parsed = tally === null ? undefined : (JSON.parse(tally) as Tally);
    return { ...row, text: textOf(stored), leftOut: leftOut ?? undefined, tally: parsed, damage };
  } catch (error) {
    const found = error instanceof Damaged ? error.message : "its tally is not what was written";
    return { ...row, text: new Uint8Array(), leftOut: undefined, tally: undefined, damage: found };
  }
}

/** The text of a row. @throws {Damaged} */
export function textOf({ length, body }: Pick<StoredBatch, "length" | "body">): Uint8Array {
  if (length > maxLength) throw new Damaged(`its text has ${length} bytes`);
  return body === null ? new Uint8Array() : unpackText(body, length);
}

/**
 * Decompresses a frame that must have exactly `length` bytes of text: zstd accepts a truncated frame without an error.
 * @throws {Damaged}
 */
export function unpackText(frame: Uint8Array, length: number): Uint8Array {
  if (length === 0) return new Uint8Array();
  let text: Uint8Array;
  try {
    text = zstdDecompressSync(frame, { maxOutputLength: length, chunkSize: Math.max(length, minChunkBytes) });
  } catch (error) {
    throw new Damaged(`its text does not inflate: ${reasonOf(error)}`);
  }
  if (text.length !== length) throw new Damaged(`its text has ${text.length} bytes instead of ${length}`);
  return text;
}

/** The message of an error, or a short description instead of a system error's own text. */
export function reasonOf(error: unknown): string {
  return fileErrorReason(error) ?? (error instanceof Error ? error.message : String(error));
}
