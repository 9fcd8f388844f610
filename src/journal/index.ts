/** The journal: everything that was accepted, in one SQLite database that only this process writes. */
import type { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import type { Telemetry } from "../catalogue/telemetry.ts";
import { Unavailable } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { SeenKey } from "../records/identity.ts";
import { AgeClock } from "./age-clock.ts";
import { Ballast } from "./ballast.ts";
import { placeCheck, type StateDirectory, takeStateDirectory } from "./directory.ts";
import { LedgerBlobs } from "./ledger-blobs.ts";
import { loadKeys } from "./load-keys.ts";
import { cursorWriter, readCursor, recordsFrom } from "./log-cursor.ts";
import { openDatabase } from "./open-database.ts";
import { Quarantine } from "./quarantine.ts";
import { openJournalReader } from "./reader.ts";
import { Retention } from "./retention.ts";
import { beginAnew, prepareDatabase, raiseSequence, readSequence, type StorageOptions } from "./schema.ts";
import type { KeyClass, KeyLimits, SeenKeys } from "./seen-keys.ts";
import { AppendTurn, type Progress } from "./turn.ts";
import {
  type Append,
  type Committed,
  type EvictedCount,
  type JournalIdentity,
  type JournalReader,
  type JournalSpace,
  type LedgerSnapshot,
  type LogCursor,
} from "./types.ts";
import { BatchWriter } from "./write.ts";
import { noteWriteFailures } from "./write-failures.ts";

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
  /** Items that left the quarantine for want of space, since the start. */
  readonly evicted: readonly EvictedCount[];
  readonly space: JournalSpace;
  /** Resolves once all of the batch is on disk. @throws {Unavailable} when nothing of it is. */
  append(append: Append): Promise<Committed>;
  /** Whether a key is committed; a hint, since `append` decides. */
  knows(keyClass: KeyClass, key: SeenKey): boolean;
  /** Seen keys held of a class. */
  keyCount(keyClass: KeyClass): number;
  /** Epoch milliseconds up to which keys of a class may have left; what came later is all known. 0: none has left. */
  forgottenUntil(keyClass: KeyClass): number;
  /** Who is told of commits, in the order of `seq`, before the sender is. One listener. */
  onCommitted(listener: (committed: Committed) => void): void;
  /** Takes what the exporter reports; committed within a second. */
  progress(progress: Progress): void;
  /** Commits the ledger's totals, synced whatever the durability. Metrics not named keep their blob. */
  writeSnapshot(snapshot: LedgerSnapshot): void;
  /** The last snapshot. Where it was not what was written, there is none: all series begin anew, at `identity.createdAt`. */
  readSnapshot(): LedgerSnapshot;
  openReader(): JournalReader;
  /** Lets go of what may leave. Called about once a second; short. */
  maintain(): void;
  /** Commits what waits, and closes. */
  close(): void;
}

/**
 * Opens or makes the journal. A damaged one is set aside, and what could be read of it taken over.
 * @throws {Unavailable} when the directory or the database cannot be used; the message says what to do.
 */
export function openJournal(options: JournalOptions, deps: JournalDeps): Journal {
  const directory = takeStateDirectory(options.path);
  const storage: StorageOptions = {
    durability: directory.isTemporary ? "normal" : options.durability,
    maxBytes: options.maxBytes,
    createdAt: deps.clock(),
  };
  try {
    return openDatabase(directory.databasePath, storage, deps.logger, (database) =>
      journalOver(database, directory, { ...options, storage }, deps),
    );
  } catch (error) {
    directory.release();
    if (error instanceof Unavailable) throw error;
    throw new Unavailable(`cannot open the journal ${directory.databasePath}: ${String(error)}`);
  }
}

function journalOver(
  database: DatabaseSync,
  directory: StateDirectory,
  options: JournalOptions & { readonly storage: StorageOptions },
  { logger, clock, steady = () => performance.now(), telemetry }: JournalDeps,
): Journal {
  const { databasePath } = directory;
  const { durability, createdAt } = options.storage;
  let identity = prepareDatabase(database, options.storage);
  const seen = loadKeys(database, options.keyLimits, logger);
  const quarantine = new Quarantine(database);
  const writer = new BatchWriter(database, { seen, quarantine, tailnet: identity.tailnet });
  const oldestFrom = database.prepare(
    "SELECT accepted_at FROM journal WHERE seq >= ? AND records > 0 ORDER BY seq LIMIT 1",
  );
  const writeCursor = cursorWriter(database);
  const ledger = new LedgerBlobs(database);
  let lastSeq = readSequence(database);
  if (!ledger.isSound(logger)) {
    beginAnew(database, createdAt, lastSeq);
    identity = { ...identity, createdAt };
  }
  let cursor = readCursor(database);
  let { measuredSeq } = ledger.read();
  const knownSeq = Math.max(cursor.seq - 1, measuredSeq);
  if (knownSeq > lastSeq) {
    raiseSequence(database, knownSeq);
    lastSeq = knownSeq;
  }
  let acceptedRecords = recordsFrom(database, cursor) + cursor.records.delivered + cursor.records.deadLettered;
  let listener: (committed: Committed) => void = () => {};
  const ballast = new Ballast(join(directory.path, "ballast"), directory.isTemporary ? 0 : options.ballastBytes);
  ballast.take();
  const age = new AgeClock(database, { clock, steady });
  const retention = new Retention(database, { ...options, seen, age, ballast, walPath: `${databasePath}-wal` });
  const isInPlace = placeCheck(databasePath);
  const gone = `${databasePath} is gone or has been replaced`;
  const failed = noteWriteFailures({ ballast, logger, databasePath });

  const turn = new AppendTurn({
    database,
    writer,
    admit: (append, admittedBytes) => retention.admit(append, admittedBytes),
    writeProgress({ cursor: reported, setAside }) {
      writeCursor(reported);
      for (const item of setAside) quarantine.add(item);
    },
    committed(committed) {
      lastSeq = committed.lastSeq;
      for (const { records } of committed.accepted) acceptedRecords += records;
      listener(committed);
    },
    progressed({ cursor: reported }) {
      cursor = reported;
    },
    rolledBack: () => quarantine.recount(),
    unfit: () => (isInPlace() ? undefined : gone),
    failed,
    timed: (seconds) => telemetry.record("tailscale2otel.journal.commit.duration", seconds, {}),
  });

  return {
    identity,
    databasePath,
    get lastSeq() {
      return lastSeq;
    },
    get cursor() {
      return cursor;
    },
    get pendingRecords() {
      return acceptedRecords - cursor.records.delivered - cursor.records.deadLettered;
    },
    get pendingSince() {
      if (acceptedRecords === cursor.records.delivered + cursor.records.deadLettered) return undefined;
      return (oldestFrom.get(cursor.seq) as { accepted_at: number } | undefined)?.accepted_at;
    },
    get evicted() {
      return quarantine.evicted;
    },
    get space() {
      const space = retention.space();
      return isInPlace() ? space : { ...space, isFull: true };
    },
    append: (append) => turn.append(append),
    knows: (keyClass, key) => isKnown(seen, keyClass, key),
    keyCount: (keyClass) => seen.size(keyClass),
    forgottenUntil: (keyClass) => seen.forgottenUntil(keyClass),
    onCommitted(told) {
      listener = told;
    },
    progress: (progress) => turn.progress(progress),
    writeSnapshot(snapshot) {
      turn.run();
      if (!isInPlace()) throw new Unavailable(gone);
      database.exec("PRAGMA synchronous = FULL");
      try {
        database.exec("BEGIN IMMEDIATE");
        ledger.write(snapshot);
        database.exec("COMMIT");
        ({ measuredSeq } = snapshot);
      } catch (error) {
        if (database.isTransaction) database.exec("ROLLBACK");
        failed(error);
        throw new Unavailable(
          `the ledger's snapshot cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        );
      } finally {
        if (durability === "normal") database.exec("PRAGMA synchronous = NORMAL");
      }
    },
    readSnapshot: () => ledger.read(),
    openReader: () => openJournalReader(databasePath),
    maintain() {
      try {
        retention.run({ releasableBelow: Math.min(cursor.seq, measuredSeq + 1) });
      } catch (error) {
        failed(error);
        throw error;
      }
    },
    close() {
      if (!database.isOpen) return;
      turn.close();
      database.close();
      directory.release();
    },
  };
}

function isKnown(seen: SeenKeys, keyClass: KeyClass, key: SeenKey): boolean {
  const verdict = seen.probe(keyClass, key);
  return verdict === "known" || verdict === "known_counters";
}
