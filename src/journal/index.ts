/** The journal: everything that was accepted, in one SQLite database that only this process writes. */
import type { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { Unavailable } from "../errors.ts";
import type { SeenKey } from "../records/identity.ts";
import { AgeClock } from "./age-clock.ts";
import { Ballast } from "./ballast.ts";
import { copyOfDevices, readDevices } from "./devices.ts";
import { DamagedDatabase } from "./damage.ts";
import { placeCheck, type StateDirectory, takeStateDirectory } from "./directory.ts";
import { LedgerBlobs } from "./ledger-blobs.ts";
import { loadKeys } from "./load-keys.ts";
import type { Journal, JournalDeps, JournalOptions } from "./journal.ts";
import { cursorWriter, readCursor, recordsFrom } from "./log-cursor.ts";
import { type Loss, readLoss, settleLoss } from "./loss.ts";
import { openDatabase } from "./open-database.ts";
import { PollCursors } from "./poll-cursors.ts";
import { Quarantine } from "./quarantine.ts";
import { QuarantineItems } from "./quarantine-items.ts";
import { openJournalReader } from "./reader.ts";
import { Redeliveries } from "./redeliveries.ts";
import { Retention } from "./retention.ts";
import { beginAnew, prepareDatabase, raiseSequence, readSequence, type StorageOptions } from "./schema.ts";
import type { KeyClass, SeenKeys } from "./seen-keys.ts";
import { AppendTurn } from "./turn.ts";
import type { Committed } from "./types.ts";
import { BatchWriter } from "./write.ts";
import { createWriteFailures } from "./write-failures.ts";

export type { Journal, JournalDeps, JournalOptions } from "./journal.ts";

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
  { logger, clock, steady = () => performance.now(), telemetry, onDamage = () => {} }: JournalDeps,
): Journal {
  const { databasePath } = directory;
  const { durability, createdAt } = options.storage;
  let identity = prepareDatabase(database, options.storage);
  const seen = loadKeys(database, options.keyLimits, logger);
  const quarantine = new Quarantine(database);
  const quarantineItems = new QuarantineItems(database, quarantine);
  const redeliveries = new Redeliveries(database, quarantine);
  const pollCursors = new PollCursors(database);
  const writer = new BatchWriter(database, { seen, quarantine, pollCursors, tailnet: identity.tailnet });
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
  let loss: Loss = readLoss(database);
  let listener: (committed: Committed) => void = () => {};
  const ballast = new Ballast(join(directory.path, "ballast"), directory.isTemporary ? 0 : options.ballastBytes);
  ballast.take();
  const age = new AgeClock(database, { clock, steady });
  const retention = new Retention(database, { ...options, seen, age, ballast, walPath: `${databasePath}-wal` });
  const isInPlace = placeCheck(databasePath);
  const gone = `${databasePath} is gone or has been replaced`;
  const failures = createWriteFailures({ database, ballast, logger, databasePath, onDamage });
  const { failed } = failures;
  const unfit = () => (failures.isDamaged ? `${databasePath} is damaged` : isInPlace() ? undefined : gone);

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
      if (committed.poll !== undefined) pollCursors.publish(committed.poll);
      listener(committed);
    },
    progressed({ cursor: reported }) {
      cursor = reported;
    },
    rolledBack: () => quarantine.recount(),
    unfit,
    failed,
    timed(seconds) {
      failures.worked();
      telemetry.record("tailscale2otel.journal.commit.duration", seconds, {});
    },
  });

  /** One statement that is its own transaction. */
  function alone(write: () => void): void {
    const why = unfit();
    if (why !== undefined) throw new Unavailable(why);
    try {
      write();
    } catch (error) {
      failed(error);
      throw new Unavailable(`the journal cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

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
    quarantine: quarantineItems,
    redeliveries,
    get evicted() {
      return quarantine.evicted;
    },
    get space() {
      const space = retention.space();
      return unfit() === undefined && !failures.isFailing ? space : { ...space, isFull: true };
    },
    get wantsSnapshot() {
      return cursor.seq > measuredSeq + 1 && unfit() === undefined && retention.isShort();
    },
    get loss() {
      return loss;
    },
    settleLoss(accepted) {
      loss = settleLoss(database, { accepted, held: acceptedRecords });
    },
    damaged: (reason) => failed(new DamagedDatabase(reason)),
    append: (append) => turn.append(append),
    knows: (keyClass, key) => isKnown(seen, keyClass, key),
    keyCount: (keyClass) => seen.size(keyClass),
    forgotten: (keyClass) => seen.forgotten(keyClass),
    pollCursor: (type) => pollCursors.get(type),
    movePollCursor: (moved) =>
      alone(() => {
        pollCursors.write(moved);
        pollCursors.publish(moved);
      }),
    dropPollCursor: (type) => alone(() => pollCursors.drop(type)),
    onCommitted(told) {
      listener = told;
    },
    progress: (progress) => turn.progress(progress),
    writeSnapshot(snapshot) {
      turn.run();
      const why = unfit();
      if (why !== undefined) throw new Unavailable(why);
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
    readDevices: () => readDevices(database),
    writeDevices: (devices) => alone(copyOfDevices(database, devices)),
    openReader: () => openJournalReader(databasePath, failed),
    maintain() {
      if (failures.isDamaged) return;
      try {
        failures.tryAgain();
        retention.run({
          releasableBelow: Math.min(cursor.seq, measuredSeq + 1, redeliveries.pinnedSeq),
          polledUntil: (type) => pollCursors.get(type)?.readUntil,
        });
        redeliveries.save(clock());
      } catch (error) {
        failed(error);
        throw error;
      }
    },
    close() {
      if (!database.isOpen) return;
      turn.close();
      if (!failures.isDamaged) redeliveries.saveLast(clock());
      database.close();
      directory.release();
    },
  };
}

function isKnown(seen: SeenKeys, keyClass: KeyClass, key: SeenKey): boolean {
  const verdict = seen.probe(keyClass, key);
  return verdict === "known" || verdict === "known_counters";
}
