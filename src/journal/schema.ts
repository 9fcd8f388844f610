/** The SQLite schema of the journal, its pragmas, and what is made once and kept: identity, secret, birth. */
import { randomBytes, randomUUID } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../errors.ts";
import { DamagedDatabase } from "./damage.ts";
import { LedgerBlobs } from "./ledger-blobs.ts";
import { reopenLoss } from "./loss.ts";
import { readMeta, requireMeta, writeMeta } from "./meta.ts";
import { cursorWriter, readCursor } from "./log-cursor.ts";
import { type JournalIdentity, startOfJournal } from "./types.ts";

/** The schema that this program writes. A newer one is refused, an older one migrated in a transaction. */
export const schemaVersion = 1;

/** How `keys` rows are packed. */
export const keyVersion = 1;

/** What is made with the journal and kept for its whole life. */
export const lastingMeta = ["instance_id", "identity_secret", "privacy_salt", "tailnet", "created_at"] as const;

const pageBytes = 4096;

/** The write-ahead log is cut back to this after a checkpoint. */
const walLimitBytes = 64 * 1024 * 1024;

const ddl = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  accepted_at INTEGER NOT NULL,
  source TEXT NOT NULL,
  type TEXT,
  tailnet INTEGER NOT NULL,
  records INTEGER NOT NULL,
  body BLOB,
  flags BLOB,
  tally BLOB
) STRICT;
CREATE TABLE keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  seq INTEGER NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  packed BLOB NOT NULL
) STRICT;
CREATE TABLE cursor (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  class TEXT NOT NULL,
  type TEXT NOT NULL,
  seq INTEGER,
  at INTEGER NOT NULL,
  source TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  text BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_class ON quarantine (class, id);
CREATE TABLE ledger (metric TEXT PRIMARY KEY, packed BLOB NOT NULL) STRICT, WITHOUT ROWID;
`;

/** What decides how the database is written. */
export interface StorageOptions {
  /** `full`: every commit is synced to the disk. `normal`: the last commits can be lost with the machine, not with the process. */
  readonly durability: "full" | "normal";
  readonly maxBytes: number;
  readonly createdAt: number;
}

/**
 * Makes an opened database ready: pragmas, then schema or migration.
 * @throws {Unavailable} for a disk that cannot hold a write-ahead log, and for a schema from a newer program.
 * @throws {DamagedDatabase | DamagedBlob} where it is not what was written.
 */
export function prepareDatabase(database: DatabaseSync, options: StorageOptions): JournalIdentity {
  database.exec("PRAGMA busy_timeout = 2000");
  database.exec("PRAGMA auto_vacuum = INCREMENTAL");
  const mode = database.prepare("PRAGMA journal_mode = WAL").get() as {
    journal_mode: string;
  };
  if (mode.journal_mode !== "wal") {
    throw new Unavailable(
      `the state directory's disk cannot hold a write-ahead log (journal_mode is ${mode.journal_mode}): choose a local disk`,
    );
  }
  database.exec(`PRAGMA synchronous = ${options.durability === "full" ? "FULL" : "NORMAL"}`);
  if (process.platform === "darwin") database.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON");
  database.exec(`PRAGMA journal_size_limit = ${walLimitBytes}`);
  database.exec(`PRAGMA max_page_count = ${Math.ceil(options.maxBytes / pageBytes)}`);
  const { user_version: found } = database.prepare("PRAGMA user_version").get() as { user_version: number };
  if (found > schemaVersion) {
    if (readMeta(database, "schema") !== String(found)) throw new DamagedDatabase("the schema's version is damaged");
    throw new Unavailable(
      `the journal was written by a newer version (schema ${found}, this program knows ${schemaVersion}): install that version or a later one`,
    );
  }
  if (found === 0) create(database, options.createdAt);
  else if (found !== schemaVersion) throw new DamagedDatabase("the schema's version is damaged");
  return readIdentity(database);
}

/**
 * Where the ledger cannot be read: all series begin at `now`, and rows up to `measuredSeq` are taken for measured. The
 * counters of delivery begin anew with them, since they share that start.
 */
export function beginAnew(database: DatabaseSync, now: number, measuredSeq: number): void {
  database.exec("DELETE FROM ledger");
  new LedgerBlobs(database).write({ measuredSeq, blobs: new Map() });
  writeMeta(database, "created_at", String(now));
  const { seq, record, event } = readCursor(database);
  cursorWriter(database)({ ...startOfJournal, seq, record, event });
  reopenLoss(database);
}

/** The highest `seq` that was ever given. @throws {DamagedDatabase} where that is no number of rows. */
export function readSequence(database: DatabaseSync): number {
  const row = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").get() ?? { seq: 0 };
  const { seq } = row as { seq: unknown };
  if (typeof seq !== "number" || seq < 0 || seq >= 2 ** 48) throw new DamagedDatabase("the last seq is damaged");
  return seq;
}

/** Sets the highest `seq` that was given: the next row's is above it. */
export function raiseSequence(database: DatabaseSync, seq: number): void {
  database.exec("DELETE FROM sqlite_sequence WHERE name = 'journal'");
  database.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)").run(seq);
}

function create(database: DatabaseSync, createdAt: number): void {
  const { tables } = database.prepare("SELECT COUNT(*) AS tables FROM sqlite_schema").get() as { tables: number };
  if (tables > 0) throw new DamagedDatabase("the schema's version is damaged");
  database.exec("BEGIN IMMEDIATE");
  database.exec(ddl);
  writeMeta(database, "instance_id", randomUUID());
  writeMeta(database, "identity_secret", randomBytes(32).toString("hex"));
  writeMeta(database, "privacy_salt", randomBytes(32).toString("hex"));
  writeMeta(database, "tailnet", "1");
  writeMeta(database, "created_at", String(createdAt));
  writeMeta(database, "schema", String(schemaVersion));
  database.exec(`PRAGMA user_version = ${schemaVersion}`);
  database.exec("COMMIT");
}

function readIdentity(database: DatabaseSync): JournalIdentity {
  return {
    instanceId: requireMeta(database, "instance_id"),
    identitySecret: requireMeta(database, "identity_secret"),
    privacySalt: requireMeta(database, "privacy_salt"),
    tailnet: Number(requireMeta(database, "tailnet")),
    createdAt: Number(requireMeta(database, "created_at")),
  };
}
