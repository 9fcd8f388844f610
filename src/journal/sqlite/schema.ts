/**
 * The tables of the journal, the pragmas of its connection, and what makes a database ready.
 *
 * Invariants of `batch`, which everything else is built on:
 * 1. A record is accepted if and only if it is in a committed row, or was delivered and its row has left since.
 * 2. `seq` rises by one per row in the order of commits and is never used again, whatever leaves.
 * 3. A row is written once. Only a quarantine row changes: its lines are cleared one by one.
 * 4. A row leaves when its log records are answered (`seq` < cursor), it is measured (`seq` ≤ measured), it is older than
 *    `state.retention` or space is short, and nothing pins it: no mark, no replay, no quarantine line.
 * 5. A mark is on a row that is there. Of all marks of one row none outlives it.
 * 6. Keys and rows of one batch are in one transaction, and so is the poll cursor that a batch moves.
 * 7. `crc` covers all columns of its row. A row whose crc does not hold counts as lost, alone.
 * 8. One connection of one process writes. Readers only read.
 *
 * Short columns stand before long ones: SQLite reads a row from its beginning.
 */
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import { Damaged } from "../packing.ts";

/** The schema that this program writes. */
export const schemaVersion = 1;

/** "ts2o": tells this form from others. */
export const applicationId = 0x7473_326f;

/** How the keys of a `keys` row are packed: four little-endian words a key. */
export const keyVersion = 1;

/** A higher `seq` is damage: 2^48 rows are never written. */
export const maxSeq = 2 ** 48;

/** The write-ahead log is cut back to this after a checkpoint. */
export const walLimitBytes = 64 * 1024 * 1024;

const pageBytes = 4096;

/** Rows of accepted records. */
export const acceptedRows = "type IN ('flow', 'audit', 'webhook')";

/** Rows that hold what was never accepted. */
export const quarantined = "type IN ('invalid', 'sample')";

/** Those rows, found by their index. */
export const quarantineRows = `batch INDEXED BY batch_quarantine WHERE ${quarantined}`;

const tables: Readonly<Record<string, string>> = {
  batch: `CREATE TABLE batch (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the row's number; given by the program, one above the last
  accepted_at INTEGER NOT NULL,          -- epoch milliseconds at which the request or poll was received
  source TEXT NOT NULL,                  -- stream, webhook or poll
  tailnet INTEGER NOT NULL,              -- number of the tailnet in identities
  type TEXT NOT NULL,                    -- flow, audit, webhook: accepted records; invalid, sample: quarantined; tally: neither
  records INTEGER NOT NULL,              -- lines of the text
  length INTEGER NOT NULL,               -- bytes of the text
  crc INTEGER NOT NULL,                  -- CRC-32 of all the other columns
  tally TEXT,                            -- JSON: on a batch's first row its Tally, on a quarantine row its lines by type and reason
  left_out BLOB,                         -- entries that are left out, and log records kept under a limit (records/flow/rows.ts)
  body BLOB                              -- the text as one zstd frame: a line per record in its stored form, or per quarantined text
) STRICT`,
  keys: `CREATE TABLE keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  seq INTEGER NOT NULL,                  -- last row of the transaction that brought the last of the keys
  class TEXT NOT NULL,                   -- flow, audit, webhook or quarantined
  at INTEGER NOT NULL,                   -- epoch milliseconds from which on the keys grow old: the latest of them
  version INTEGER NOT NULL,              -- how they are packed
  crc INTEGER NOT NULL,                  -- CRC-32 of all the other columns but the id
  packed BLOB NOT NULL                   -- 16 bytes per key; what comes again a new way is here again
) STRICT`,
  mark: `CREATE TABLE mark (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  destination TEXT NOT NULL,             -- logs or ledger
  seq INTEGER NOT NULL,                  -- the row, which stays as long as its mark
  from_line INTEGER NOT NULL,            -- first line of the range
  to_line INTEGER NOT NULL,              -- the line after the last
  why TEXT NOT NULL,                     -- a MarkReason
  log_records INTEGER NOT NULL,          -- log records that were refused
  message_id INTEGER NOT NULL,           -- what the backend said
  at INTEGER NOT NULL,                   -- epoch milliseconds
  crc INTEGER NOT NULL                   -- CRC-32 of all the other columns but the id, and of the message's text
) STRICT`,
  message: `CREATE TABLE message (
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE              -- a backend's words, once however many marks have them; a bounded number
) STRICT`,
  state: `CREATE TABLE state (
  name TEXT PRIMARY KEY,                 -- identity, cursor, poll.flow, horizon.audit, ledger/<blob> and the like
  crc INTEGER NOT NULL,                  -- CRC-32 of name and value
  value BLOB NOT NULL                    -- JSON, or a blob of the ledger's
) STRICT, WITHOUT ROWID`,
  /** Only queries that say `quarantined` in these words, and name it, use this index. */
  batch_quarantine: `CREATE INDEX batch_quarantine ON batch (seq) WHERE ${quarantined}`,
  keys_age: "CREATE INDEX keys_age ON keys (class, at)",
  mark_seq: "CREATE INDEX mark_seq ON mark (seq)",
};

/** What decides how the database is written. */
export interface StorageOptions {
  /** `full`: every commit is synced to the disk. `normal`: the last commits can be lost with the machine, not with the process. */
  readonly durability: "full" | "normal";
  readonly maxBytes: number;
  /** Epoch milliseconds at the start. */
  readonly now: number;
}

/**
 * Makes an opened database ready: pragmas, then its tables.
 * @throws {Unavailable} for a disk that cannot hold a write-ahead log, a schema from a newer program, and the first form.
 * @throws {Damaged} if it is not what was written.
 */
export function prepareDatabase(database: DatabaseSync, options: StorageOptions): void {
  database.exec("PRAGMA busy_timeout = 2000");
  database.exec("PRAGMA auto_vacuum = INCREMENTAL");
  const version = numberOf(database, "user_version");
  const application = numberOf(database, "application_id");
  if (application === 0) refuseFirstForm(database);
  const { journal_mode: mode } = database.prepare("PRAGMA journal_mode = WAL").get() as { journal_mode: string };
  if (mode !== "wal") {
    throw new Unavailable(
      `the state directory's disk cannot hold a write-ahead log (journal_mode is ${mode}): choose a local disk`,
    );
  }
  setDurability(database, options.durability);
  if (process.platform === "darwin") database.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON");
  database.exec(`PRAGMA journal_size_limit = ${walLimitBytes}`);
  database.exec(`PRAGMA max_page_count = ${Math.ceil(options.maxBytes / pageBytes)}`);
  const found = schemaOf(database);
  if (version === 0 && application === 0 && found.size === 0) {
    create(database);
    return;
  }
  if (application !== applicationId) throw new Damaged("the database's header is damaged");
  const expected = Object.entries(tables);
  const isOurs = found.size === expected.length && expected.every(([name, sql]) => found.get(name) === sql);
  /** A newer program has other tables: with ours, the number is damaged, since the header has no checksum. */
  if (version > schemaVersion && !isOurs) {
    throw new Unavailable(
      `the journal was written by a newer version (schema ${version}, this program knows ${schemaVersion}): install that version or a later one`,
    );
  }
  if (version !== schemaVersion || !isOurs) throw new Damaged("the database's schema is damaged");
}

/** How commits are synced from here on. It can be changed only outside of a transaction. */
export function setDurability(database: DatabaseSync, durability: "full" | "normal"): void {
  database.exec(`PRAGMA synchronous = ${durability === "full" ? "FULL" : "NORMAL"}`);
}

/** The highest `seq` that was ever given. @throws {Damaged} if that is no number of rows. */
export function readSequence(database: DatabaseSync): number {
  /** Numbers that JavaScript cannot hold are compared in SQL: reading one throws. */
  const given = `SELECT MAX(seq) AS seq FROM (SELECT seq FROM sqlite_sequence WHERE name = 'batch' UNION ALL SELECT MAX(seq) FROM batch)`;
  const bounded = `iif(COALESCE(seq, 0) BETWEEN 0 AND ${maxSeq}, COALESCE(seq, 0), -1)`;
  const { seq } = database.prepare(`SELECT ${bounded} AS seq FROM (${given})`).get() as { seq: unknown };
  if (typeof seq !== "number" || seq < 0) throw new Damaged("the last seq is damaged");
  const { lowest } = database.prepare("SELECT MIN(seq) < 1 AS lowest FROM batch").get() as { lowest: number | null };
  if (lowest === 1) throw new Damaged("the first seq is damaged");
  return seq;
}

/** Sets the highest `seq` that was given: the next row's is above it. */
export function raiseSequence(database: DatabaseSync, seq: number): void {
  database.exec("DELETE FROM sqlite_sequence WHERE name = 'batch'");
  database.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('batch', ?)").run(seq);
}

/** Runs `write` in a transaction of its own. @throws whatever it throws, or SQLite; nothing is written then. */
export function transaction<Result>(database: DatabaseSync, write: () => Result): Result {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = write();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    try {
      /** SQLITE_FULL has rolled back by itself. */
      if (database.isTransaction) database.exec("ROLLBACK");
    } catch {
      /** With a failing disk this fails too: the next transaction cannot begin then, and says so. */
    }
    throw error;
  }
}

function create(database: DatabaseSync): void {
  transaction(database, () => {
    for (const sql of Object.values(tables)) database.exec(sql);
    database.exec(`PRAGMA application_id = ${applicationId}`);
    database.exec(`PRAGMA user_version = ${schemaVersion}`);
  });
}

function schemaOf(database: DatabaseSync): ReadonlyMap<string, string> {
  const rows = database.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").all();
  const named = (rows as { name: string; sql: string }[]).filter(({ name }) => !name.startsWith("sqlite_"));
  return new Map(named.map(({ name, sql }) => [name, sql]));
}

function refuseFirstForm(database: DatabaseSync): void {
  const found = database
    .prepare("SELECT COUNT(*) AS tables FROM sqlite_schema WHERE name IN ('meta', 'journal')")
    .get();
  if ((found as { tables: number }).tables < 2) return;
  const directory = (database.location() ?? "").replace(/[\\/][^\\/]*$/, "");
  throw new Unavailable(
    `the state directory ${directory} was written by an unreleased first form; move it away or set another state.path`,
  );
}

function numberOf(database: DatabaseSync, pragma: "user_version" | "application_id"): number {
  return (database.prepare(`PRAGMA ${pragma}`).get() as Record<string, number>)[pragma] ?? 0;
}
