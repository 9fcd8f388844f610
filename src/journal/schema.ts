/** The SQLite schema of the journal, its pragmas, and what is made once and kept: identity, secret, birth. */
import { randomBytes, randomUUID } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../errors.ts";
import type { JournalIdentity } from "./types.ts";

/** The schema that this program writes. A newer one is refused, an older one migrated in a transaction. */
export const schemaVersion = 1;

/** How `keys` rows are packed. */
export const keyVersion = 1;

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
    throw new Unavailable(
      `the journal was written by a newer version (schema ${found}, this program knows ${schemaVersion}): install that version or a later one`,
    );
  }
  if (found === 0) create(database, options.createdAt);
  return readIdentity(database);
}

function create(database: DatabaseSync, createdAt: number): void {
  database.exec("BEGIN IMMEDIATE");
  database.exec(ddl);
  const put = database.prepare("INSERT INTO meta (name, value) VALUES (?, ?)");
  put.run("instance_id", randomUUID());
  put.run("identity_secret", randomBytes(32).toString("hex"));
  put.run("privacy_salt", randomBytes(32).toString("hex"));
  put.run("tailnet", "1");
  put.run("created_at", String(createdAt));
  put.run("measured_seq", "0");
  database.exec(`PRAGMA user_version = ${schemaVersion}`);
  database.exec("COMMIT");
}

function readIdentity(database: DatabaseSync): JournalIdentity {
  const rows = database.prepare("SELECT name, value FROM meta").all() as {
    name: string;
    value: string;
  }[];
  const meta = new Map(rows.map(({ name, value }) => [name, value]));
  return {
    instanceId: meta.get("instance_id") ?? "",
    identitySecret: meta.get("identity_secret") ?? "",
    tailnet: Number(meta.get("tailnet")),
    createdAt: Number(meta.get("created_at")),
  };
}
