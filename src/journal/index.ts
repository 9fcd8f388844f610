/**
 * The journal as the rest of the program sees it: append, read from a position, keys, cursors and marks, snapshot, space.
 * Nothing here is SQLite's, so a second implementation is one folder beside `sqlite/` that passes the same contract test.
 */
import type { LeftOutReason } from "../records/flow/columns.ts";
import type { DefectReason } from "../records/defect.ts";
import type { RecordType, SkipReason, Source } from "../records/types.ts";

/** What the API can be polled for. */
export type PolledType = Exclude<RecordType, "webhook">;

/** Classes of seen keys: record types, and digests of texts that were quarantined. */
export type KeyClass = RecordType | "quarantined";

export const keyClasses: readonly KeyClass[] = ["flow", "audit", "webhook", "quarantined"];

/** Accepted records of one type on their way in: one row. At most about 1 MiB of text. */
export interface Part {
  readonly type: RecordType;
  readonly records: number;
  /** Bytes of the text in `body`. */
  readonly length: number;
  /** The stored lines, with a newline or nothing between two, as one zstd frame. */
  readonly body: Uint8Array;
  /** The lines as they are before packing, if a reader of the row is likely to want them at once. */
  readonly text?: Uint8Array;
  /** What of the records is left out, in the form of `left-out.ts`; usually nothing. */
  readonly leftOut: Uint8Array | undefined;
  /** Entries left out, by reason. */
  readonly leftOutEntries: Readonly<Partial<Record<LeftOutReason, number>>>;
  /** Four words per record, as `records/identity.ts` makes them. */
  readonly keys: Uint32Array;
  /** From when on the keys grow old, epoch milliseconds: the latest of them. */
  readonly keysAt: number;
  /**
   * What a record tells that a record of another type can tell too, if compared at all: the fact's key (`Identifier.fact`), and
   * for a webhook event the same of the second before and of the second after behind it.
   */
  readonly facts?: readonly (Uint32Array | undefined)[];
  /** Log records that each record makes, if the batch has a limit for them. */
  readonly logRecords?: Uint32Array;
  /** Per record, bits of `partFlags`. */
  readonly flags: Uint8Array;
  /** The same part without the records whose byte is 1; called inside the turn when some turn out to be known. */
  without(dropped: Uint8Array): Part;
}

/** Bits of `Part.flags`. */
export const partFlags = { ahead: 1, unproven: 2, replacedTime: 4 } as const;

/** Texts that are kept to be looked at, never accepted: invalid records, or samples of unknown kinds. One row. */
export interface QuarantinePart {
  readonly class: "invalid" | "sample";
  readonly lines: number;
  readonly length: number;
  /** One JSON object per line: `QuarantineLine`. One zstd frame. */
  readonly body: Uint8Array;
  /** Four words per line, of class `quarantined`; none for samples. */
  readonly keys: Uint32Array;
  /** Per line. */
  readonly types: readonly (RecordType | "unknown")[];
  readonly reasons: readonly string[];
  without(dropped: Uint8Array): QuarantinePart;
}

/** A line of a quarantine row. */
export interface QuarantineLine {
  readonly type: RecordType | "unknown";
  /** A word of a closed set. */
  readonly reason: string;
  /** A sentence for a person. */
  readonly detail: string;
  /** The record's stored form, or the value's text; cut at 64 KiB. */
  readonly text: string;
  readonly isCut?: true;
}

/** Keys of records that were known when the batch was put together: duplicates whose texts were dropped at once. */
export interface KnownKeys {
  readonly type: RecordType;
  /** Four words per record. */
  readonly keys: Uint32Array;
  readonly keysAt: number;
}

/** What one batch changes, whole: all of it is in one transaction, or none. */
export interface Append {
  readonly source: Source;
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  /** Size of the batch's text, decompressed, and the type that all its records share. */
  readonly bytes: number;
  readonly bytesOf: RecordType | "unknown";
  readonly parts: readonly Part[];
  readonly known: readonly KnownKeys[];
  readonly quarantine: readonly QuarantinePart[];
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>;
  /** The most log records that its accepted records may make. */
  readonly maxLogRecords?: number;
  /** The quarantined line that this batch takes in again. It is cleared in the same transaction; if it is gone, nothing is appended. */
  readonly retries?: { readonly seq: number; readonly line: number; readonly reason: string };
  /** It was polled while the stream was there to bring the same. */
  readonly repairs?: boolean;
  /** Where the poll that brought it stands once it is committed. */
  readonly poll?: PollStep;
}

/** How far the log of one type has been polled. */
export interface PollCursor {
  readonly type: PolledType;
  /** Whole seconds on the log service's clock. */
  readonly readUntil: number;
  /** By our clock instead, since nobody had reached the log service yet. */
  readonly isOurClock?: true;
}

/** What a poll's last batch of a window commits beside its records. */
export interface PollStep extends PollCursor {
  /** Seconds that were skipped to come here. */
  readonly unverifiableSeconds: number;
}

/** What cannot be computed from accepted records: what a batch left beside them. On the batch's first row. */
export interface Tally {
  readonly bytes: number;
  readonly bytesOf: RecordType | "unknown";
  readonly duplicates?: Readonly<Partial<Record<RecordType, number>>>;
  readonly skipped?: Readonly<Partial<Record<SkipReason, number>>>;
  readonly quarantined?: readonly QuarantinedCount[];
  readonly samples?: number;
  /** Entries of accepted records that are left out. */
  readonly leftOut?: Readonly<Partial<Record<LeftOutReason, number>>>;
  readonly conflicts?: { readonly counters: number; readonly entries: number };
  /** Accepted records whose time lies ahead of ours. */
  readonly futureTimes?: number;
  /** Accepted records whose time was replaced by that of their receipt. */
  readonly replacedTimes?: number;
  /** Log records left out by a limit. */
  readonly droppedLogRecords?: number;
  /** Quarantined records that came in again, by the reason for which they had been quarantined. */
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

/** What became of one append. */
export interface Committed {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly source: Source;
  readonly receivedAt: number;
  /** In the order of the append's parts. */
  readonly parts: readonly CommittedPart[];
  readonly tally: Tally;
  readonly poll?: PollCursor;
}

export interface CommittedPart {
  /** As it was appended. */
  readonly part: Part;
  /** A byte per record, 1 for those that turned out to be known; nothing if none did. */
  readonly dropped: Uint8Array | undefined;
  readonly accepted: number;
  /** Its row; 0 if nothing of it was accepted. */
  readonly seq: number;
}

/** One committed row. */
export interface Row {
  readonly seq: number;
  /** Epoch milliseconds at which the batch was received. */
  readonly acceptedAt: number;
  readonly source: Source;
  /** `tally`: a batch that brought no record. */
  readonly type: RecordType | "invalid" | "sample" | "tally";
  /** Lines of `text`. */
  readonly records: number;
  /** The inflated lines; empty for a damaged row and for a tally. */
  readonly text: Uint8Array;
  readonly leftOut: Uint8Array | undefined;
  readonly tally: Tally | undefined;
  /** Why the row is not what was written. */
  readonly damage: string | undefined;
}

/** Reads committed rows over a read-only connection of its own. */
export interface JournalReader {
  /** Rows from `seq` on, in order: at most `rows` of them, and no further row once their text passes `bytes`. */
  read(fromSeq: number, limit: { readonly rows: number; readonly bytes: number }): readonly Row[];
  /** Marks of a destination from an id on, oldest first. */
  marks(filter: MarkFilter, limit: { readonly afterId: number; readonly marks: number }): readonly Mark[];
  close(): void;
}

/** The place of the next log record to deliver: inside a row by line, inside a record by log record. */
export interface LogPosition {
  readonly seq: number;
  readonly record: number;
  readonly logRecord: number;
}

/** How far delivery has come, and what became of everything before it. Sums since the journal was made. */
export interface LogCursor extends LogPosition {
  readonly records: { readonly delivered: number; readonly deadLettered: number };
  readonly logRecords: { readonly delivered: number; readonly rejected: number; readonly deadLettered: number };
}

/** Where a journal that nobody has read begins. */
export const startOfJournal: LogCursor = {
  seq: 1,
  record: 0,
  logRecord: 0,
  records: { delivered: 0, deadLettered: 0 },
  logRecords: { delivered: 0, rejected: 0, deadLettered: 0 },
};

/** Why records are marked. `partial`: rejected in part by the backend, kept for their range. `unmeasured`: not in the counters. */
export type MarkReason = "rejected" | "too_large" | "failing" | "internal" | "partial" | "unmeasured";

/** A range of records on their row that a destination did not take. The row stays as long as its mark. */
export interface NewMark {
  readonly destination: "logs" | "ledger";
  readonly seq: number;
  /** First line, and the line after the last. */
  readonly from: number;
  readonly to: number;
  readonly why: MarkReason;
  /** Log records that were refused. */
  readonly logRecords: number;
  /** The backend's own words, or ours. */
  readonly message: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface Mark extends NewMark {
  readonly id: number;
}

/** Marks that share all that is given. Dead letters are the marks of `logs` that are not `partial`. */
export interface MarkFilter {
  readonly ids?: readonly number[];
  readonly destination?: "logs" | "ledger";
  readonly why?: readonly MarkReason[];
  readonly type?: RecordType;
  /** Made before, epoch milliseconds. */
  readonly before?: number;
}

/** What the exporter reports, to be committed together. */
export interface Progress {
  readonly cursor: LogCursor;
  readonly marks: readonly NewMark[];
}

/** The ledger's totals as named blobs. */
export interface Snapshot {
  /** The last row that is measured in it. */
  readonly measuredSeq: number;
  /** Blobs that have changed; `undefined` removes one. Those that are not named stay. */
  readonly blobs: ReadonlyMap<string, Uint8Array | undefined>;
}

/** Where the store stands, for health and back-pressure. */
export interface JournalSpace {
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** Why an append would be refused; nothing while it would not. */
  readonly refusal: string | undefined;
}

/** What stays the same for the journal's whole life. */
export interface JournalIdentity {
  readonly instanceId: string;
  /** Hexadecimal; keys the identities of records. */
  readonly identitySecret: string;
  /** Hexadecimal; keys the hashes of what privacy hides. */
  readonly privacySalt: string;
  /** The number that stands for the tailnet in identities. */
  readonly tailnet: number;
  /** Epoch milliseconds: the start of series that begin with the journal. */
  readonly createdAt: number;
}

/** Up to when keys may have left, epoch milliseconds; later ones are all held. 0: none has left. */
export interface Horizon {
  readonly until: number;
  /** Those that the stream brought. */
  readonly streamed: number;
}

/** What damage took, since the journal was made. */
export interface Loss {
  /** Rows that were not both delivered and measured. */
  readonly rows: number;
  /** Records counted as accepted that are gone before they were delivered. */
  readonly records: number;
  /** Records here or delivered whose count as accepted is gone. */
  readonly uncounted: number;
}

/** A line of a quarantine row, or a mark, as it is listed. */
export interface QuarantineItem {
  /** `<seq>.<line>` for a line, `m<id>` for a mark. */
  readonly id: string;
  readonly class: "invalid" | "sample" | "note" | "dead_letter";
  readonly type: RecordType | "unknown";
  readonly seq: number;
  /** Its first line on that row. */
  readonly from: number;
  /** Records it stands for: so many lines from there on. */
  readonly records: number;
  readonly at: number;
  readonly source: Source;
  readonly reason: string;
  readonly detail: string;
}

export interface QuarantineFilter {
  readonly class?: QuarantineItem["class"];
  readonly reason?: string;
  readonly type?: RecordType | "unknown";
  readonly before?: number;
}

/** What was quarantined or marked, to be looked at and removed. */
export interface Quarantine {
  counts(filter: QuarantineFilter): readonly {
    readonly class: QuarantineItem["class"];
    readonly reason: string;
    readonly items: number;
  }[];
  /** Newest first, older than the item `beforeId`. */
  page(
    filter: QuarantineFilter,
    page: { readonly beforeId?: string; readonly limit: number },
  ): readonly QuarantineItem[];
  /** With its texts: the line, or the records that the mark covers (the first 100); nothing if there is no such item. */
  read(
    id: string,
  ): { readonly item: QuarantineItem; readonly texts: readonly string[]; readonly isCut: boolean } | undefined;
  /** Deletes in one transaction. Returns how many were there. */
  remove(ids: readonly string[]): number;
  /** Records that left for want of space, since the start, by class and reason. */
  readonly evicted: readonly {
    readonly class: QuarantineItem["class"];
    readonly reason: string;
    readonly items: number;
  }[];
}

/** What is delivered again on demand: delivered rows of a time range, or marks. */
export interface Redelivery {
  readonly name: "replay" | "retry";
  /** Epoch milliseconds at which it was asked for; tells one from the next of its name. */
  readonly id: number;
  readonly cursor: LogCursor;
  /** Rows (replay) or marks (retry) from here on are no part of it. */
  readonly untilSeq: number;
  /** Records that it is about. */
  readonly total: number;
  readonly range?: { readonly since: number; readonly until: number };
  readonly marks?: MarkFilter;
  readonly endedAt?: number;
  readonly isCancelled?: boolean;
}

/** How far a redelivery has come. */
export interface RedeliveryProgress {
  readonly name: Redelivery["name"];
  readonly id: number;
  readonly cursor: LogCursor;
  /** Marks whose records the backend has taken: they leave. */
  readonly taken: readonly number[];
  readonly isOver: boolean;
}

export interface Journal {
  readonly identity: JournalIdentity;
  /** Opens a reader in any thread: plain data for `openReader`. */
  readonly location: string;
  /** The last committed row; 0 if there is none. */
  readonly lastSeq: number;

  /**
   * Resolves once all of the batch is on disk. `committed` is called inside the turn that committed it, in the order of `seq`,
   * before any promise of that turn resolves.
   * @throws {Unavailable} if nothing of it is.
   */
  append(append: Append, committed: (committed: Committed) => void): Promise<Committed>;

  /** Whether a key of four words at `at` is committed; a hint, since `append` decides. */
  knows(keyClass: KeyClass, keys: Uint32Array, at: number): boolean;
  keyCount(keyClass: KeyClass): number;
  horizon(keyClass: KeyClass): Horizon;

  /** The last committed position of log delivery. */
  readonly cursor: LogCursor;
  /** Accepted records whose log records are not answered yet. */
  readonly pendingRecords: number;
  /** When the oldest record that waits for delivery was received, epoch milliseconds. */
  readonly pendingSince: number | undefined;
  /** Takes what the exporter reports; committed within a second, with the next turn. */
  progress(progress: Progress): void;
  /** Marks rows beside delivery; committed like progress. */
  mark(marks: readonly NewMark[]): void;
  readonly quarantine: Quarantine;
  redelivery(name: Redelivery["name"]): Redelivery | undefined;
  /** Plans delivered rows received in that range, in steps. */
  planReplay(range: { readonly since: number; readonly until: number }, id: number): Promise<Redelivery>;
  planRetry(marks: MarkFilter, id: number): Redelivery;
  beginRedelivery(redelivery: Redelivery): void;
  cancelRedelivery(name: Redelivery["name"]): boolean;
  redelivered(progress: RedeliveryProgress): void;

  pollCursor(type: PolledType): PollCursor | undefined;
  /** Commits a position alone. @throws {Unavailable} */
  movePollCursor(cursor: PollCursor): void;
  dropPollCursor(type: PolledType): void;

  /** Commits the ledger's totals, synced whatever the durability. @throws {Unavailable} */
  writeSnapshot(snapshot: Snapshot): void;
  /** The last snapshot; if any of it is not what was written, there is none and `identity.createdAt` is now. */
  readSnapshot(): { readonly measuredSeq: number; readonly blobs: ReadonlyMap<string, Uint8Array> };
  /** All series begin anew at `at`, in one transaction with the counters of the cursor. */
  beginSeriesAnew(at: number): void;

  /** A small blob that is kept under a name, such as the device directory. */
  readState(name: string): Uint8Array | undefined;
  /** @throws {Unavailable} */
  writeState(name: string, value: Uint8Array): void;

  readonly space: JournalSpace;
  /** Space is short, and rows are delivered that leave once a snapshot has measured them. */
  readonly wantsSnapshot: boolean;
  readonly loss: Loss;
  /** Compares what the counters say was accepted with what is here, once after damage. */
  settleLoss(accepted: number): void;
  /** A reader in another thread has met damage. */
  damaged(reason: string): void;
  /** Deletes what may leave, by time spent. Called about once a second. */
  maintain(): void;
  openReader(): JournalReader;
  close(): void;
}
