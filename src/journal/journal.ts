/** The journal as the rest of the program sees it, free of what lies behind it. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Device } from "../processors/directory.ts";
import type { SeenKey } from "../records/identity.ts";
import type { Loss } from "./loss.ts";
import type { QuarantineItems } from "./quarantine-items.ts";
import type { Redeliveries } from "./redeliveries.ts";
import type { Forgotten, KeyClass, KeyLimits } from "./seen-keys.ts";
import type { Progress } from "./turn.ts";
import type {
  Append,
  Committed,
  EvictedCount,
  JournalIdentity,
  JournalReader,
  JournalSpace,
  LedgerSnapshot,
  LogCursor,
  PollCursor,
  PolledType,
} from "./types.ts";

export interface JournalOptions {
  /** A directory, or `:memory:` for a private temporary one. */
  readonly path: string;
  readonly maxBytes: number;
  /** Room on the disk that is reserved for the way out of a full one. */
  readonly ballastBytes: number;
  /** Delivered rows are kept this long. */
  readonly retentionMs: number;
  readonly durability: "full" | "normal";
  readonly keyLimits: Readonly<Record<KeyClass, KeyLimits>>;
}

export interface JournalDeps {
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds that go on whatever becomes of the clock. The machine's, unless a test holds it. */
  readonly steady?: Clock;
  /** Called once when the database turns out to be damaged while it is used. Nothing is taken from then on; the next start salvages. */
  readonly onDamage?: () => void;
}

export interface Journal {
  readonly identity: JournalIdentity;
  readonly databasePath: string;
  /** The last committed row; 0 where there is none. */
  readonly lastSeq: number;
  /** The last committed position of log delivery. */
  readonly cursor: LogCursor;
  /** Accepted records whose logs are not answered yet. */
  readonly pendingRecords: number;
  /** When the oldest record that waits for delivery was received, epoch milliseconds; nothing where none waits. */
  readonly pendingSince: number | undefined;
  /** What was set aside. */
  readonly quarantine: QuarantineItems;
  /** What is sent once more. Its rows stay until it is over. */
  readonly redeliveries: Redeliveries;
  /** Items that left the quarantine for want of space, since the start. */
  readonly evicted: readonly EvictedCount[];
  readonly space: JournalSpace;
  /** Space is short, and rows are delivered that leave once a snapshot has measured them. */
  readonly wantsSnapshot: boolean;
  /** What damage took. */
  readonly loss: Loss;
  /** Compares what the counters say was accepted with what is here, and takes the difference that damage has made for lost. */
  settleLoss(accepted: number): void;
  /** To be told of damage that somebody else has met in the database. */
  damaged(reason: string): void;
  /** Resolves once all of the batch is on disk. @throws {Unavailable} when nothing of it is. */
  append(append: Append): Promise<Committed>;
  /** Whether a key is committed; a hint, since `append` decides. */
  knows(keyClass: KeyClass, key: SeenKey): boolean;
  /** Seen keys held of a class. */
  keyCount(keyClass: KeyClass): number;
  /** Up to when keys of a class may have left; what came later is all known. */
  forgotten(keyClass: KeyClass): Forgotten;
  /** How far a type has been polled; nothing where it has not. */
  pollCursor(type: PolledType): PollCursor | undefined;
  /** Commits a position alone: of a window without records. @throws {Unavailable} */
  movePollCursor(cursor: PollCursor): void;
  /** Forgets how far a type was polled: it is polled no more. @throws {Unavailable} */
  dropPollCursor(type: PolledType): void;
  /** Who is told of commits, in the order of `seq`, before the sender is. One listener. */
  onCommitted(listener: (committed: Committed) => void): void;
  /** Takes what the exporter reports; committed within a second. */
  progress(progress: Progress): void;
  /** Commits the ledger's totals, synced whatever the durability. Metrics not named keep their blob. */
  writeSnapshot(snapshot: LedgerSnapshot): void;
  /** The last snapshot. Where it was not what was written, there is none: all series begin anew, at `identity.createdAt`. */
  readSnapshot(): LedgerSnapshot;
  /** The devices of the last directory, if there is a readable copy. */
  readDevices(): readonly Device[] | undefined;
  /** Keeps the directory's devices for the next start. @throws {Unavailable} */
  writeDevices(devices: readonly Device[]): void;
  openReader(): JournalReader;
  /** Lets go of what may leave. Called about once a second; short. */
  maintain(): void;
  /** Commits what waits, and closes. */
  close(): void;
}
