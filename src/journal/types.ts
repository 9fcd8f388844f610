/** The journal's edge: append, tail, cursors, quarantine, snapshot. Free of SQLite's details, so another store can take its place. */
import type { RecordType, Source } from "../records/types.ts";

/** One committed row: accepted records of one type and batch, or a tally alone. */
export interface JournalRow {
  readonly seq: number;
  /** Epoch milliseconds at which the batch was received. */
  readonly acceptedAt: number;
  readonly source: Source;
  readonly type: RecordType;
  /** Accepted records in `lines`. */
  readonly records: number;
  /** The records in their stored form, one a line, no newline at the end; empty for a tally alone. */
  readonly text: string;
  /** A decision made at the append for each record, or nothing. */
  readonly flags: Uint8Array | undefined;
  /** What the batch left beside its records, on its first row. */
  readonly tally: Tally | undefined;
}

/** What cannot be computed from accepted records. Keys are `type` or `type/reason`; values are sums over the batch. */
export interface Tally {
  /** Size of the batch's text, decompressed. */
  readonly bytes: number;
  readonly duplicate?: Readonly<Partial<Record<RecordType, number>>>;
  readonly skipped?: Readonly<Record<string, number>>;
  readonly quarantined?: readonly QuarantinedCount[];
  readonly conflicts?: Readonly<Partial<Record<"counters" | "entries", number>>>;
  readonly futureTimes?: number;
}

/** Newly quarantined records of one type and reason. */
export interface QuarantinedCount {
  readonly type: RecordType;
  readonly reason: string;
  readonly records: number;
}

/** Why a record was set aside, and whether it was ever accepted. */
export type QuarantineClass = "invalid" | "sample" | "note" | "dead_letter";

export interface QuarantineItem {
  readonly class: QuarantineClass;
  readonly type: RecordType | "unknown";
  /** The row it was accepted in, for what was accepted. */
  readonly seq?: number;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly source: Source;
  /** A word of a closed set. */
  readonly reason: string;
  /** A sentence for a person. */
  readonly detail: string;
  /** The text that was set aside. */
  readonly text: string;
}

/** The place of the next log event to deliver, counted inside a row by record and inside a record by log event. */
export interface LogPosition {
  readonly seq: number;
  readonly record: number;
  readonly event: number;
}

/** How far delivery has come, and what became of everything before it. Sums since the journal was made. */
export interface LogCursor extends LogPosition {
  readonly records: { readonly delivered: number; readonly deadLettered: number };
  readonly events: { readonly delivered: number; readonly rejected: number; readonly deadLettered: number };
}

/** Where a journal nobody has read yet begins. */
export const startOfJournal: LogCursor = {
  seq: 1,
  record: 0,
  event: 0,
  records: { delivered: 0, deadLettered: 0 },
  events: { delivered: 0, rejected: 0, deadLettered: 0 },
};

/** Reads committed rows. The export worker has one of its own, over a read-only connection. */
export interface JournalReader {
  /** Rows from `seq` on, in order: at most `rows` of them, and no further row once their text passes `bytes`. */
  read(fromSeq: number, limit: { readonly rows: number; readonly bytes: number }): readonly JournalRow[];
  close(): void;
}
