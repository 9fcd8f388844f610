/** The journal: everything that was accepted, in one SQLite database that only this process writes. */
import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { Telemetry } from "../catalogue/telemetry.ts";
import { Unavailable } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { SeenKey } from "../records/identity.ts";
import { type StateDirectory, takeStateDirectory } from "./directory.ts";
import { pack, unpackText } from "./pack.ts";
import { Quarantine } from "./quarantine.ts";
import { openJournalReader } from "./reader.ts";
import { Retention } from "./retention.ts";
import { prepareDatabase } from "./schema.ts";
import { type KeyClass, keyClasses, type KeyLimits, SeenKeys, unpackKeys } from "./seen-keys.ts";
import { AppendTurn, type Progress } from "./turn.ts";
import {
  type Append,
  type Committed,
  type JournalIdentity,
  type JournalReader,
  type JournalSpace,
  type LedgerSnapshot,
  type LogCursor,
  startOfJournal,
} from "./types.ts";
import { BatchWriter } from "./write.ts";

export interface JournalOptions {
  /** A directory, or `:memory:` for a private temporary one. */
  readonly path: string;
  readonly maxBytes: number;
  /** Delivered rows are kept this long. */
  readonly retentionMs: number;
  readonly durability: "full" | "normal";
  readonly keyLimits: Readonly<Record<KeyClass, KeyLimits>>;
}

export interface JournalDeps {
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
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
  readonly space: JournalSpace;
  /** Resolves once all of the batch is on disk. @throws {Unavailable} when nothing of it is. */
  append(append: Append): Promise<Committed>;
  /** Whether a key is committed; a hint, since `append` decides. */
  knows(keyClass: KeyClass, key: SeenKey): boolean;
  /** Seen keys held of a class. */
  keyCount(keyClass: KeyClass): number;
  /** Who is told of commits, in the order of `seq`, before the sender is. One listener. */
  onCommitted(listener: (committed: Committed) => void): void;
  /** Takes what the exporter reports; committed within a second. */
  progress(progress: Progress): void;
  /** Commits the ledger's totals, synced whatever the durability. Metrics not named keep their blob. */
  writeSnapshot(snapshot: LedgerSnapshot): void;
  /** The last snapshot. A blob that is not what was written is left out, with a warning. */
  readSnapshot(): LedgerSnapshot;
  openReader(): JournalReader;
  /** Lets go of what may leave. Called about once a second; short. */
  maintain(): void;
  /** Commits what waits, and closes. */
  close(): void;
}

/**
 * Opens or makes the journal.
 * @throws {Unavailable} when the directory or the database cannot be used; the message says what to do.
 */
export function openJournal(options: JournalOptions, deps: JournalDeps): Journal {
  const directory = takeStateDirectory(options.path);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(directory.databasePath);
    /** Before there is a write-ahead log, which takes over the mode. */
    chmodSync(directory.databasePath, 0o600);
    return journalOver(database, directory, options, deps);
  } catch (error) {
    database?.close();
    directory.release();
    if (error instanceof Unavailable) throw error;
    throw new Unavailable(`cannot open the journal ${directory.databasePath}: ${String(error)}`);
  }
}

function journalOver(
  database: DatabaseSync,
  directory: StateDirectory,
  options: JournalOptions,
  { logger, clock, telemetry }: JournalDeps,
): Journal {
  const { databasePath } = directory;
  const durability = directory.isTemporary ? "normal" : options.durability;
  const identity = prepareDatabase(database, {
    durability,
    maxBytes: options.maxBytes,
    createdAt: clock(),
  });
  const seen = loadKeys(database, options.keyLimits, logger);
  const quarantine = new Quarantine(database);
  const writer = new BatchWriter(database, {
    seen,
    quarantine,
    tailnet: identity.tailnet,
  });
  const writeCursor = database.prepare(
    "INSERT INTO cursor (name, value) VALUES ('logs', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  );
  const writeMeta = database.prepare("UPDATE meta SET value = ? WHERE name = ?");
  const writeBlob = database.prepare(
    "INSERT INTO ledger (metric, packed) VALUES (?, ?) ON CONFLICT (metric) DO UPDATE SET packed = excluded.packed",
  );
  let cursor = readCursor(database);
  let lastSeq = (
    database.prepare("SELECT COALESCE(MAX(seq), 0) AS seq FROM sqlite_sequence WHERE name = 'journal'").get() as {
      seq: number;
    }
  ).seq;
  let measuredSeq = readMeasuredSeq(database);
  let acceptedRecords = recordsFrom(database, cursor) + cursor.records.delivered + cursor.records.deadLettered;
  let listener: (committed: Committed) => void = () => {};
  const retention = new Retention(database, { ...options, seen });

  const turn = new AppendTurn({
    database,
    writer,
    admit: (append, admittedBytes) => retention.admit(append, admittedBytes),
    writeProgress({ cursor: reported, setAside }) {
      writeCursor.run(JSON.stringify(reported));
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
    get space() {
      return retention.space();
    },
    append: (append) => turn.append(append),
    knows: (keyClass, key) => isKnown(seen, keyClass, key),
    keyCount: (keyClass) => seen.size(keyClass),
    onCommitted(told) {
      listener = told;
    },
    progress: (progress) => turn.progress(progress),
    writeSnapshot({ measuredSeq: measured, blobs }) {
      turn.run();
      database.exec("PRAGMA synchronous = FULL");
      try {
        database.exec("BEGIN IMMEDIATE");
        for (const [metric, text] of blobs) writeBlob.run(metric, pack(text));
        writeMeta.run(String(measured), "measured_seq");
        database.exec("COMMIT");
        measuredSeq = measured;
      } catch (error) {
        if (database.isTransaction) database.exec("ROLLBACK");
        throw new Unavailable(
          `the ledger's snapshot cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        );
      } finally {
        if (durability === "normal") database.exec("PRAGMA synchronous = NORMAL");
      }
    },
    readSnapshot: () => readSnapshot(database, logger),
    openReader: () => openJournalReader(databasePath),
    maintain() {
      retention.run({
        now: clock(),
        releasableBelow: Math.min(cursor.seq, measuredSeq + 1),
      });
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

function loadKeys(database: DatabaseSync, limits: JournalOptions["keyLimits"], logger: Logger): SeenKeys {
  const seen = new SeenKeys(limits);
  const next = database.prepare("SELECT id, type, at, packed FROM keys WHERE id > ? ORDER BY id LIMIT 256");
  let last = 0;
  while (true) {
    const rows = next.all(last) as {
      id: number;
      type: string;
      at: number;
      packed: Uint8Array;
    }[];
    if (rows.length === 0) return seen;
    for (const { id, type, at, packed } of rows) {
      last = id;
      const keyClass = keyClasses.find((known) => known === type);
      if (keyClass === undefined) continue;
      try {
        const { keys, bits } = unpackKeys(packed, at);
        seen.addRow(keyClass, { id, at, keys: keys.length }, keys, bits);
      } catch (error) {
        logger.warn("a row of seen keys is damaged and was passed over", {
          row: id,
          reason: String(error),
        });
      }
    }
  }
}

function readCursor(database: DatabaseSync): LogCursor {
  const row = database.prepare("SELECT value FROM cursor WHERE name = 'logs'").get() as { value: string } | undefined;
  return row === undefined ? startOfJournal : (JSON.parse(row.value) as LogCursor);
}

function readMeasuredSeq(database: DatabaseSync): number {
  const row = database.prepare("SELECT value FROM meta WHERE name = 'measured_seq'").get() as { value: string };
  return Number(row.value);
}

/** Records that are not answered: those of the rows from the cursor on, less the part of its own row that is. */
function recordsFrom(database: DatabaseSync, cursor: LogCursor): number {
  const row = database
    .prepare("SELECT COALESCE(SUM(records), 0) AS records FROM journal WHERE seq >= ?")
    .get(cursor.seq) as { records: number };
  return row.records - cursor.record;
}

function readSnapshot(database: DatabaseSync, logger: Logger): LedgerSnapshot {
  const rows = database.prepare("SELECT metric, packed FROM ledger").all() as {
    metric: string;
    packed: Uint8Array;
  }[];
  const blobs = new Map<string, string>();
  for (const { metric, packed } of rows) {
    try {
      blobs.set(metric, unpackText(packed));
    } catch (error) {
      logger.warn("a metric's totals are damaged; its series start anew", {
        metric,
        reason: String(error),
      });
    }
  }
  return { measuredSeq: readMeasuredSeq(database), blobs };
}
