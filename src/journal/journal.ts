/**
 * The journal as the rest of the program sees it: append, read from a position, keys, cursors and marks, snapshot, space.
 * Nothing here is one engine's: each implementation is a folder that passes the same contract test.
 */
import type { RecordType } from "../records/types.ts";
import type {
  DestinationAccount,
  DestinationRule,
  LogCursor,
  Mark,
  QuarantineCount,
  QuarantineFilter,
  QuarantineItem,
  Redelivery,
  Report,
} from "./delivery.ts";
import type { Append, Committed, PollCursor, PolledType, Row, RowHead } from "./batch.ts";

export * from "./delivery.ts";

/** Classes of seen keys: record types, and digests of texts that were quarantined. */
export type KeyClass = RecordType | "quarantined";

/** `state.path` for a private temporary directory that is deleted at the end. */
export const memoryPath = ":memory:";

export const keyClasses: readonly KeyClass[] = ["flow", "audit", "webhook", "quarantined"];

/** At once from a file, later from a server. */
export type Awaitable<Value> = Value | Promise<Value>;

/** May be asked several things at once. What is under way when it is closed is answered with nothing, or rejected. */
export interface JournalReader {
  /** Rows from `seq` on, in order: at most `rows` of them, and no further row once their text passes `bytes`. */
  read(fromSeq: number, limit: { readonly rows: number; readonly bytes: number }): Awaitable<readonly Row[]>;
  /** The heads of up to `rows` rows from `seq` on, in order; about 2 µs each. They are not checked for damage. */
  heads(fromSeq: number, rows: number): Awaitable<readonly RowHead[]>;
  /** Marks behind an id that match, oldest first. */
  marks(
    filter: QuarantineFilter,
    limit: { readonly afterId: number; readonly marks: number },
  ): Awaitable<readonly Mark[]>;
  close(): void;
}

export interface Snapshot {
  /** The last row that is measured in it. */
  readonly measuredSeq: number;
  /** Blobs that have changed; `undefined` removes one. Those that are not named stay. */
  readonly blobs: ReadonlyMap<string, Uint8Array | undefined>;
  /** What has changed of the minutes up to the same row. Absent: later ones are in no minute. */
  readonly minutes?: MinuteChanges;
}

/** What was received in a minute, in the ledger's own form. */
export interface StoredMinute {
  /** Its begin, epoch milliseconds. */
  readonly at: number;
  readonly totals: Uint8Array;
  readonly detail: Uint8Array;
}

export interface MinuteChanges {
  readonly changed: readonly StoredMinute[];
  readonly gap: MinuteGap | undefined;
}

/** Rows that are in no minute yet although they are measured: `from` to `until`, if received in that range. */
export interface MinuteGap {
  readonly from: number;
  readonly until: number;
  /** Epoch milliseconds, from `since` up to, but not including, `before`. */
  readonly since: number;
  readonly before: number;
}

/** The history by minute, as of the last snapshot. Minutes leave by `state.retention`, or when they take too much space. */
export interface Minutes {
  /** Up to `limit` minutes from `since` up to, but not including, `before`, oldest first. Damaged ones have no totals. */
  totals(
    since: number,
    before: number,
    limit: number,
  ): Awaitable<readonly { readonly at: number; readonly totals: Uint8Array | undefined }[]>;
  /** The minute that begins then. @throws {Damaged} if it is not what was written. */
  read(at: number): Awaitable<StoredMinute | undefined>;
  /** What is to be made up for, since minutes were lost or never made. */
  readonly gap: MinuteGap | undefined;
}

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

export interface Quarantine {
  counts(filter: QuarantineFilter): Awaitable<readonly QuarantineCount[]>;
  /** Newest first, older than the item `beforeId`. */
  page(
    filter: QuarantineFilter,
    page: { readonly beforeId?: string; readonly limit: number },
  ): Awaitable<readonly QuarantineItem[]>;
  /** With its texts: its own, or the records that the mark covers (the first 100); nothing if there is no such item. */
  read(
    id: string,
  ): Awaitable<
    { readonly item: QuarantineItem; readonly texts: readonly string[]; readonly isCut: boolean } | undefined
  >;
  /** Deletes in one transaction. Returns how many were there. */
  remove(ids: readonly string[]): Awaitable<number>;
  /** Records removed for lack of space, since the start, by class and reason. */
  readonly evicted: readonly QuarantineCount[];
}

/** What a start would find in a state directory. */
export type JournalInspection =
  | { readonly kind: "memory" }
  /** The directory or the journal would be created. */
  | { readonly kind: "new" }
  | { readonly kind: "ready"; readonly bytes: number }
  | { readonly kind: "in_use" }
  /** A start would set it aside, and save what can be read of it. */
  | { readonly kind: "damaged"; readonly reason: string }
  | { readonly kind: "newer"; readonly schema: number }
  | { readonly kind: "unusable"; readonly reason: string; readonly remedy: string };

/** One of the instances that share a journal. */
export interface Member {
  readonly id: string;
  readonly host: string;
  readonly version: string;
  /** Where its admin listener can be reached; empty if it has none. */
  readonly adminAddress: string;
  /** Epoch milliseconds on the journal's clock, as are the next. */
  readonly startedAt: number;
  readonly seenAt: number;
  readonly isLeader: boolean;
}

/** How the instances that share a journal stand. */
export interface ClusterView {
  readonly members: readonly Member[];
  /** Rises with each leader. */
  readonly fence: number;
  /** Until another instance may lead, unless the leader renews it; negative once it is over. */
  readonly leaseMs: number;
  readonly lastSeq: number;
  readonly measuredSeq: number;
  /** The next row to deliver to the primary destination. */
  readonly cursorSeq: number;
  /** Of this view's own query. */
  readonly roundTripMs: number;
}

export interface Cluster {
  /** This instance's id among the members. */
  readonly member: string;
  readonly isLeading: boolean;
  /** @throws {Unavailable} */
  view(): Promise<ClusterView>;
}

/** Announces the commits of all instances. */
export interface Tail {
  /** Called with the last committed row, in order, and how many records were accepted since the call before. */
  onGrowth: (lastSeq: number, records: number) => void;
}

/** The journal as every instance has it, whether it leads or not: it takes in what arrives. */
export interface AppendingJournal {
  readonly identity: JournalIdentity;
  /** Opens a reader in any thread: plain data for `openReader`. */
  readonly location: string;
  /** The last committed row; 0 if there is none. */
  readonly lastSeq: number;
  /** Absent: this process is alone with its journal, and leads. */
  readonly cluster: Cluster | undefined;

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

  readonly space: JournalSpace;

  /** Resolves once this instance leads. Rejects when the signal aborts. */
  lead(signal: AbortSignal): Promise<Journal>;
  close(): Awaitable<void>;
}

/** The journal in the hands of the one instance that counts, delivers and polls. */
export interface Journal extends AppendingJournal {
  /** Aborted once another instance leads, or may: nothing that is written from then on counts. */
  readonly lost: AbortSignal;
  /** Present: commits are announced here, and counted from their rows. Absent: all are this process's own, counted as `append` tells them. */
  readonly tail: Tail | undefined;
  /** Lets another instance lead at once; nothing is written afterwards. */
  release(): Awaitable<void>;

  /** Of the primary destination, as are the next two. */
  readonly cursor: LogCursor;
  /** Accepted records whose log records are not answered yet. */
  readonly pendingRecords: number;
  /** When the oldest record that waits for delivery was received, epoch milliseconds. */
  readonly pendingSince: number | undefined;
  /** The further destinations. A row stays until each of them has it. */
  readonly destinations: readonly DestinationAccount[];
  /**
   * Sets the further destinations. A new one begins behind the last row; one that is not named any more is forgotten, and
   * holds no row. Until it is called, those of the last run hold theirs. `moved` is called when undelivered rows of one that
   * is not required were given up, with its new position. Returns those that were forgotten, as they were.
   * @throws {Unavailable}
   */
  useDestinations(
    wanted: readonly DestinationRule[],
    moved: (name: string, cursor: LogCursor) => void,
  ): Awaitable<readonly DestinationAccount[]>;
  /** Takes what was delivered, marked and redelivered; committed within a second, with the next turn. */
  progress(report: Report, destination?: string): void;
  readonly quarantine: Quarantine;
  redelivery(name: Redelivery["name"], destination?: string): Redelivery | undefined;
  /** Plans rows delivered to the destination and received in that range, in steps. */
  planReplay(
    range: { readonly since: number; readonly until: number },
    id: number,
    destination?: string,
  ): Promise<Redelivery>;
  /** Plans the present dead letters of the filter's destination, or of the primary one, that match. */
  planRetry(filter: QuarantineFilter, id: number): Awaitable<Redelivery>;
  beginRedelivery(redelivery: Redelivery): Awaitable<void>;
  cancelRedelivery(name: Redelivery["name"], destination?: string): Awaitable<boolean>;

  pollCursor(type: PolledType): PollCursor | undefined;
  /** Commits a position alone, or none. @throws {Unavailable} */
  setPollCursor(type: PolledType, cursor: PollCursor | undefined): Awaitable<void>;

  /** Commits the ledger's totals, synced whatever the durability. @throws {Unavailable} */
  writeSnapshot(snapshot: Snapshot): Awaitable<void>;
  /** The last snapshot; if any of it is not what was written, there is none and `identity.createdAt` is now. */
  readSnapshot(): { readonly measuredSeq: number; readonly blobs: ReadonlyMap<string, Uint8Array> };
  /** All series begin anew at `at`, in one transaction with the counters of the cursor. */
  beginSeriesAnew(at: number): Awaitable<void>;

  /** A small blob that is kept under a name, such as the device directory. */
  readState(name: string): Uint8Array | undefined;
  /** @throws {Unavailable} */
  writeState(name: string, value: Uint8Array): Awaitable<void>;

  readonly minutes: Minutes;

  /** Space is short, and rows are delivered that leave once a snapshot has measured them. */
  readonly wantsSnapshot: boolean;
  readonly loss: Loss;
  /** Compares what the counters say was accepted with what is here, once after damage. */
  settleLoss(accepted: number): Awaitable<void>;
  /** A reader in another thread has met damage. */
  damaged(reason: string): void;
  /** Deletes what may leave, by time spent. Called about once a second. */
  maintain(): Awaitable<void>;
  openReader(): JournalReader;
}
