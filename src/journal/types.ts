/** The journal's edge: append, tail, cursors, quarantine, snapshot. Free of SQLite's details, so another store can take its place. */
import type { Increments } from "../catalogue/increments.ts";
import type { DefectReason } from "../records/defect.ts";
import type { SeenKey } from "../records/identity.ts";
import type { RecordType, SkipReason, Source } from "../records/types.ts";

/** One committed row: accepted records of one type and batch, or a tally alone. */
export interface JournalRow {
  readonly seq: number;
  /** Epoch milliseconds at which the batch was received. */
  readonly acceptedAt: number;
  readonly source: Source;
  /** Absent on a row that is a tally alone. */
  readonly type?: RecordType;
  /** Accepted records in `text`. */
  readonly records: number;
  /** The records in their stored form, one a line, no newline at the end; empty for a tally alone. */
  readonly text: string;
  /** How many log events of each record are kept (`kept-events.ts`), where a limit left some out. */
  readonly flags: Uint8Array | undefined;
  /** What the batch left beside its records, on its first row. */
  readonly tally: Tally | undefined;
  /** Why the row cannot be read, when it is not what was written; `text` is then empty. */
  readonly damage: string | undefined;
}

/** What cannot be computed from accepted records: what a batch left beside them. Sums over the batch. */
export interface Tally {
  /** Size of the batch's text, decompressed, and the type that all its records share. */
  readonly bytes: number;
  readonly bytesOf: RecordType | "unknown";
  readonly duplicates: Readonly<Partial<Record<RecordType, number>>>;
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>;
  readonly quarantined: readonly QuarantinedCount[];
  /** Texts of unknown kinds that were kept. */
  readonly samples: number;
  readonly conflicts: { readonly counters: number; readonly entries: number };
  /** Accepted records whose time lies ahead of ours. */
  readonly futureTimes: number;
  /** Log events left out by a limit. */
  readonly droppedLogEvents?: number;
  /** Quarantined records that came in once more, by the reason for which they had been set aside. */
  readonly retried?: Readonly<Record<string, number>>;
  /** Accepted records that a poll brought while the stream was there to bring them. */
  readonly repaired?: Readonly<Partial<Record<PolledType, number>>>;
  /** Those of them that the stream has brought afterwards. */
  readonly late?: Readonly<Partial<Record<PolledType, number>>>;
  /** Accepted records that are older than the keys that are held: they may have been counted before. */
  readonly unproven?: Readonly<Partial<Record<PolledType, number>>>;
  /** Seconds of the log that a poll has passed over, since what the stream brought there is no longer known. */
  readonly unverifiable?: Readonly<Partial<Record<PolledType, number>>>;
}

/** What the API can be polled for. */
export type PolledType = Exclude<RecordType, "webhook">;

/** How far the log of one type has been polled. */
export interface PollCursor {
  readonly type: PolledType;
  /** Whole seconds on the log service's clock. */
  readonly readUntil: number;
  /** By our clock instead, since nobody had reached the log service yet. */
  readonly isOurClock?: true;
}

/** Newly quarantined records of one type and reason. */
export interface QuarantinedCount {
  readonly type: RecordType;
  readonly reason: DefectReason;
  readonly records: number;
}

/** Accepted records of one type, ready to be written: at most some MiB of text. */
export interface AppendPart {
  readonly type: RecordType;
  readonly records: number;
  /** The lines, packed. */
  readonly body: Uint8Array;
  /** One for each record, in order. */
  readonly keys: readonly SeenKey[];
  /**
   * What each record tells that one of another type can tell too, where that is asked for. Kept among the keys of webhook
   * events: an event whose fact an accepted audit record has told is known.
   */
  readonly facts?: readonly (SeenKey | undefined)[];
  /** What the records add to the ledger. */
  readonly increments: Increments;
  /** Log events that each record makes, where the batch has a limit for them. */
  readonly logEvents?: readonly number[];
  /** Records whose time lies ahead of ours. */
  readonly futureTimes: number;
  /** Records that are older than the keys that are held. */
  readonly unproven?: number;
  /** The same part without the records at these places; called when some turn out to be known already. */
  without(places: ReadonlySet<number>): AppendPart;
}

/** A record that cannot be accepted. */
export interface InvalidRecord {
  readonly type: RecordType;
  readonly reason: DefectReason;
  readonly detail: string;
  /** Its stored form, so that it can be taken in once more. */
  readonly text: string;
  readonly key: SeenKey;
}

/** What one batch changes, whole: all of it is in one transaction, or none. */
export interface Append {
  readonly source: Source;
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  readonly bytes: number;
  readonly bytesOf: RecordType | "unknown";
  readonly parts: readonly AppendPart[];
  /** Records that the journal knew when the batch was put together. */
  readonly known: readonly {
    readonly type: RecordType;
    readonly key: SeenKey;
  }[];
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>;
  readonly invalid: readonly InvalidRecord[];
  /** Texts of unknown kinds, kept to be looked at. */
  readonly samples: readonly string[];
  /** The most log events that its accepted records may make. */
  readonly maxLogEvents?: number;
  /** The quarantined item whose record it is. It leaves in the same transaction; where it is gone, nothing is taken. */
  readonly retries?: { readonly id: number; readonly reason: string };
  /** It was polled while the stream was there to bring the same. */
  readonly repairs?: boolean;
  /** Where the poll that brought it stands when it is committed. */
  readonly poll?: PollStep;
}

/** What a poll's last batch of a window commits beside its records. */
export interface PollStep extends PollCursor {
  /** Seconds that were passed over to come here. */
  readonly unverifiableSeconds: number;
}

/** What one committed batch has changed, told in the order of `seq` inside the turn that committed it. */
export interface Committed {
  readonly lastSeq: number;
  readonly source: Source;
  readonly receivedAt: number;
  readonly accepted: readonly {
    readonly type: RecordType;
    readonly records: number;
    readonly increments: Increments;
  }[];
  readonly tally: Tally;
  readonly poll?: PollCursor;
}

/** Why a record was set aside, and whether it was ever accepted. */
export type QuarantineClass = "invalid" | "sample" | "note" | "dead_letter";

/** Items of one class and reason that left the quarantine for want of space. */
export interface EvictedCount {
  readonly class: Exclude<QuarantineClass, "dead_letter">;
  /** A word of a closed set. */
  readonly reason: string;
  readonly items: number;
}

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
  readonly records: {
    readonly delivered: number;
    readonly deadLettered: number;
  };
  readonly events: {
    readonly delivered: number;
    readonly rejected: number;
    readonly deadLettered: number;
  };
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

/** The ledger's totals as they lie on disk: a blob of text a metric. */
export interface LedgerSnapshot {
  /** The last row that is measured in it. */
  readonly measuredSeq: number;
  readonly blobs: ReadonlyMap<string, string>;
}

/** Where the store stands, for health, back-pressure and the page. */
export interface JournalSpace {
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** An append would be refused: for want of space, or because the database is gone, damaged or cannot be written. */
  readonly isFull: boolean;
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
  /** Epoch milliseconds. */
  readonly createdAt: number;
}
