/**
 * The journal as the rest of the program sees it: append, read from a position, keys, cursors and marks, snapshot, space. Nothing
 * here is specific to an engine: each implementation is a folder that passes the same contract test.
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

/** Classes of seen keys: record types, and digests of quarantined texts. */
export type KeyClass = RecordType | "quarantined";

/** `state.path` for a private temporary directory that is deleted on exit. */
export const memoryPath = ":memory:";

export const keyClasses: readonly KeyClass[] = ["flow", "audit", "webhook", "quarantined"];

/** Immediate from a file, a promise from a server. */
export type Awaitable<Value> = Value | Promise<Value>;

/** Allows concurrent calls. Calls in progress when it is closed resolve with nothing, or reject. */
export interface JournalReader {
  /** Rows from `seq` on, in order: at most `rows` of them, and no more once their text exceeds `bytes`. */
  read(fromSeq: number, limit: { readonly rows: number; readonly bytes: number }): Awaitable<readonly Row[]>;
  /** The heads of up to `rows` rows from `seq` on, in order; about 2 µs each. They are not checked for damage. */
  heads(fromSeq: number, rows: number): Awaitable<readonly RowHead[]>;
  /** Marks with an id above `afterId` that match, oldest first. */
  marks(
    filter: QuarantineFilter,
    limit: { readonly afterId: number; readonly marks: number },
  ): Awaitable<readonly Mark[]>;
  close(): void;
}

export interface Snapshot {
  /** The last row that is measured in this snapshot. */
  readonly measuredSeq: number;
  /** Changed blobs; `undefined` removes one. Blobs that are not named are kept. */
  readonly blobs: ReadonlyMap<string, Uint8Array | undefined>;
  /** Changes to the minutes up to the same row. Absent: rows after the previous snapshot are in no minute. */
  readonly minutes?: MinuteChanges;
}

/** What was received in one minute, in the ledger's encoding. */
export interface StoredMinute {
  /** Start of the minute, epoch milliseconds. */
  readonly at: number;
  readonly totals: Uint8Array;
  readonly detail: Uint8Array;
}

export interface MinuteChanges {
  readonly changed: readonly StoredMinute[];
  readonly gap: MinuteGap | undefined;
}

/** Rows that are measured but not in the minutes yet: `from` to `until`, if received in that time range. */
export interface MinuteGap {
  readonly from: number;
  readonly until: number;
  /** Epoch milliseconds, from `since` up to `before` (exclusive). */
  readonly since: number;
  readonly before: number;
}

/** The history by minute, as of the last snapshot. Minutes are deleted by `state.retention`, or when they take too much space. */
export interface Minutes {
  /** Up to `limit` minutes from `since` up to `before` (exclusive), oldest first. Damaged ones have no totals. */
  totals(
    since: number,
    before: number,
    limit: number,
  ): Awaitable<readonly { readonly at: number; readonly totals: Uint8Array | undefined }[]>;
  /** The minute that begins at `at`. @throws {Damaged} if it is not what was written. */
  read(at: number): Awaitable<StoredMinute | undefined>;
  /** Rows to add to the minutes, because minutes were lost or never made. */
  readonly gap: MinuteGap | undefined;
}

export interface JournalSpace {
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** Why an append would be refused; undefined if it would not. */
  readonly refusal: string | undefined;
}

/** Values that never change during the journal's life. */
export interface JournalIdentity {
  readonly instanceId: string;
  /** Hexadecimal; the key for the identities of records. */
  readonly identitySecret: string;
  /** Hexadecimal; the key for the hashes of data that privacy settings hide. */
  readonly privacySalt: string;
  /** The number of the tailnet in identities. */
  readonly tailnet: number;
  /** Epoch milliseconds; the start time of series that begin with the journal. */
  readonly createdAt: number;
}

/** Keys up to this time may have been removed, epoch milliseconds; all later ones are held. 0: none has been removed. */
export interface Horizon {
  readonly until: number;
  /** The same for keys that the stream brought. */
  readonly streamed: number;
}

/** Losses caused by damage since the journal was created. */
export interface Loss {
  /** Rows that were not both delivered and measured. */
  readonly rows: number;
  /** Records counted as accepted that were lost before they were delivered. */
  readonly records: number;
  /** Records stored or delivered whose accepted count was lost. */
  readonly uncounted: number;
}

export interface Quarantine {
  counts(filter: QuarantineFilter): Awaitable<readonly QuarantineCount[]>;
  /** Newest first, older than the item `beforeId`. */
  page(
    filter: QuarantineFilter,
    page: { readonly beforeId?: string; readonly limit: number },
  ): Awaitable<readonly QuarantineItem[]>;
  /** An item with its texts: its own, or the first 100 records that the mark covers; undefined if there is no such item. */
  read(
    id: string,
  ): Awaitable<
    { readonly item: QuarantineItem; readonly texts: readonly string[]; readonly isCut: boolean } | undefined
  >;
  /** Deletes items in one transaction. Returns how many existed. */
  remove(ids: readonly string[]): Awaitable<number>;
  /** Records removed for lack of space since the start, by class and reason. */
  readonly evicted: readonly QuarantineCount[];
}

/** What a start would find in a state directory. */
export type JournalInspection =
  | { readonly kind: "memory" }
  /** The directory or the journal does not exist and would be created. */
  | { readonly kind: "new" }
  | { readonly kind: "ready"; readonly bytes: number }
  | { readonly kind: "in_use" }
  /** A start would set the journal aside and recover what can be read of it. */
  | { readonly kind: "damaged"; readonly reason: string }
  | { readonly kind: "newer"; readonly schema: number }
  | { readonly kind: "unusable"; readonly reason: string; readonly remedy: string };

/** One of the instances that share a journal. */
export interface Member {
  readonly id: string;
  readonly host: string;
  readonly version: string;
  /** The address at which its admin listener can be reached; empty if it has none. */
  readonly adminAddress: string;
  /** Epoch milliseconds on the journal's clock, as is `seenAt`. */
  readonly startedAt: number;
  readonly seenAt: number;
  readonly isLeader: boolean;
}

/** State of the instances that share a journal. */
export interface ClusterView {
  readonly members: readonly Member[];
  /** Increases with each leader. */
  readonly fence: number;
  /** Time until another instance may lead unless the leader renews its lease; negative once the lease has expired. */
  readonly leaseMs: number;
  readonly lastSeq: number;
  readonly measuredSeq: number;
  /** The next row to deliver to the primary destination. */
  readonly cursorSeq: number;
  /** Round-trip time of the query for this view. */
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

/** The part of the journal that every instance has, whether it leads or not: it appends what is received. */
export interface AppendingJournal {
  readonly identity: JournalIdentity;
  /** Where `openReader` finds the journal, in any thread: plain data. */
  readonly location: string;
  /** The last committed row; 0 if there is none. */
  readonly lastSeq: number;
  /** Absent if this process is the only one that uses the journal, and always leads. */
  readonly cluster: Cluster | undefined;

  /**
   * Resolves once the whole batch is on disk. `committed` is called within the turn that committed it, in the order of `seq`,
   * before any promise of that turn resolves.
   * @throws {Unavailable} if nothing was committed.
   */
  append(append: Append, committed: (committed: Committed) => void): Promise<Committed>;

  /** True if the key of four words at `at` is committed. This is a hint: `append` decides. */
  knows(keyClass: KeyClass, keys: Uint32Array, at: number): boolean;
  keyCount(keyClass: KeyClass): number;
  horizon(keyClass: KeyClass): Horizon;

  readonly space: JournalSpace;

  /** Resolves once this instance leads. Rejects when the signal aborts. */
  lead(signal: AbortSignal): Promise<Journal>;
  close(): Awaitable<void>;
}

/** The journal as used by the one instance that counts, delivers and polls. */
export interface Journal extends AppendingJournal {
  /** Aborted once another instance leads, or may lead: nothing written afterwards counts. */
  readonly lost: AbortSignal;
  /** Announces commits, counted from their rows. Absent: all commits are by this process, counted as `append` reports them. */
  readonly tail: Tail | undefined;
  /** Lets another instance lead at once; nothing can be written afterwards. */
  release(): Awaitable<void>;

  /** Of the primary destination, as are the next two properties. */
  readonly cursor: LogCursor;
  /** Accepted records whose log records the backend has not answered yet. */
  readonly pendingRecords: number;
  /** When the oldest record waiting for delivery was received, epoch milliseconds. */
  readonly pendingSince: number | undefined;
  /** The further destinations. A row is kept until it is delivered to each of them. */
  readonly destinations: readonly DestinationAccount[];
  /**
   * Sets the further destinations. A new one begins after the last row; one that is no longer named is forgotten and holds no
   * rows. Until this is called, the destinations of the last run hold theirs. `moved` is called with the new position when
   * undelivered rows of a destination that is not required were evicted. Returns the forgotten destinations as they were.
   * @throws {Unavailable}
   */
  useDestinations(
    wanted: readonly DestinationRule[],
    moved: (name: string, cursor: LogCursor) => void,
  ): Awaitable<readonly DestinationAccount[]>;
  /** Records what was delivered, marked and redelivered; committed within a second, with the next turn. */
  progress(report: Report, destination?: string): void;
  readonly quarantine: Quarantine;
  redelivery(name: Redelivery["name"], destination?: string): Redelivery | undefined;
  /** Plans a replay, in steps, of rows delivered to the destination and received in that range. */
  planReplay(
    range: { readonly since: number; readonly until: number },
    id: number,
    destination?: string,
  ): Promise<Redelivery>;
  /** Plans a retry of the current dead letters that match, of the filter's destination or of the primary one. */
  planRetry(filter: QuarantineFilter, id: number): Awaitable<Redelivery>;
  beginRedelivery(redelivery: Redelivery): Awaitable<void>;
  cancelRedelivery(name: Redelivery["name"], destination?: string): Awaitable<boolean>;

  pollCursor(type: PolledType): PollCursor | undefined;
  /** Commits a position on its own, or removes it. @throws {Unavailable} */
  setPollCursor(type: PolledType, cursor: PollCursor | undefined): Awaitable<void>;

  /** Commits the ledger's totals, synced whatever the durability setting. @throws {Unavailable} */
  writeSnapshot(snapshot: Snapshot): Awaitable<void>;
  /** The last snapshot; if any part of it is damaged, there is none and `identity.createdAt` is now. */
  readSnapshot(): { readonly measuredSeq: number; readonly blobs: ReadonlyMap<string, Uint8Array> };
  /** Begins all series anew at `at`, in one transaction with the counters of the cursor. */
  beginSeriesAnew(at: number): Awaitable<void>;

  /** A small blob that is stored under a name, such as the device directory. */
  readState(name: string): Uint8Array | undefined;
  /** @throws {Unavailable} */
  writeState(name: string, value: Uint8Array): Awaitable<void>;

  readonly minutes: Minutes;

  /** True if space is short and there are delivered rows that can be deleted once a snapshot has measured them. */
  readonly wantsSnapshot: boolean;
  readonly loss: Loss;
  /** Compares the accepted counters with what is stored, once after damage. */
  settleLoss(accepted: number): Awaitable<void>;
  /** Reports damage found by a reader in another thread. */
  damaged(reason: string): void;
  /** Deletes what may be deleted, within a time budget. Called about once a second. */
  maintain(): Awaitable<void>;
  openReader(): JournalReader;
}
