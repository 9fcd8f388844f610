/**
 * The tables of the journal, whose rows have checksums, and the preparation of a database.
 *
 * Invariants of `batch`, on which everything else is built:
 * 1. A record is accepted if and only if it is in a committed row, or was delivered and its row has been deleted since.
 * 2. `seq` rises by one per row in the order of commits and is never reused, whatever is deleted.
 * 3. A row is written once and never changes.
 * 4. A row is deleted when its log records are answered (`seq` < cursor), it is measured (`seq` ≤ measured), it is older than
 *    `state.retention` or space is short, and no mark and no replay pins it.
 * 5. A mark is on an existing row and never outlives it. Quarantined texts are a row under one mark, which is split when one of
 *    them is removed. A row that only marks hold is deleted with the last of them.
 * 6. Keys and rows of one batch are in one transaction, and so is the poll cursor that a batch moves.
 * 7. `crc` covers all other columns but `id`. Only the row whose crc does not match counts as lost.
 * 8. One connection of one process writes. Readers only read.
 * Short columns precede long ones, because SQLite reads a row from its beginning.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { Unavailable } from "../../errors.ts";
import { Damaged } from "../batch.ts";

/** The schema version that this program writes. */
export const schemaVersion = 3;

/** "ts2o". */
export const applicationId = 0x7473_326f;

/** A higher `seq` is damage: 2^48 rows are never written. */
export const maxSeq = 2 ** 48;

/** SQLite truncates the write-ahead log to this size after a checkpoint. */
export const walLimitBytes = 64 * 1024 * 1024;

const pageBytes = 4096;

export const acceptedRows = "type IN ('flow', 'audit', 'webhook')";

/** Tables, and their columns as SQL. Every table also has a checksum. */
const tables = {
  batch: {
    seq: "INTEGER PRIMARY KEY AUTOINCREMENT", // the row's number; assigned by the program, one above the last
    accepted_at: "INTEGER NOT NULL", // epoch milliseconds at which the request or poll was received
    source: "TEXT NOT NULL", // stream, webhook or poll
    tailnet: "INTEGER NOT NULL", // number of the tailnet in identities
    type: "TEXT NOT NULL", // flow, audit, webhook: accepted records; invalid, sample: quarantined; tally: neither
    records: "INTEGER NOT NULL", // lines of the text
    length: "INTEGER NOT NULL", // bytes of the text
    crc: "INTEGER NOT NULL",
    tally: "TEXT", // on a batch's first row: its Tally as JSON
    left_out: "BLOB", // excluded entries, and log records kept under a limit (records/flow/rows.ts)
    body: "BLOB", // the text as one zstd frame: a line per record in its stored form, or per quarantined text
  },
  keys: {
    id: "INTEGER PRIMARY KEY",
    class: "TEXT NOT NULL", // flow, audit, webhook or quarantined
    at: "INTEGER NOT NULL", // epoch milliseconds from which the keys age: the latest of them
    crc: "INTEGER NOT NULL",
    packed: "BLOB NOT NULL", // four little-endian words per key; a key that comes again by another way is stored again
  },
  mark: {
    id: "INTEGER PRIMARY KEY AUTOINCREMENT",
    class: "TEXT NOT NULL", // invalid, sample: texts of a quarantine row; dead_letter, note: accepted records
    seq: "INTEGER NOT NULL", // the row, which is kept as long as its mark
    from_line: "INTEGER NOT NULL", // first line of the range
    to_line: "INTEGER NOT NULL", // the line after the last
    type: "TEXT NOT NULL", // flow, audit, webhook or unknown
    source: "TEXT NOT NULL", // source of the row
    why: "TEXT NOT NULL", // the reason for quarantined texts, otherwise a MarkReason
    log_records: "INTEGER NOT NULL", // rejected log records
    at: "INTEGER NOT NULL", // epoch milliseconds
    crc: "INTEGER NOT NULL",
    message: "TEXT NOT NULL", // the message of the backend or of this program, truncated
    destination: "TEXT", // name of the further destination of a dead letter or note; added in version 2
  },
  minute: {
    at: "INTEGER PRIMARY KEY", // start of a minute in which rows were received, epoch milliseconds; added in version 3
    bytes: "INTEGER NOT NULL", // size of its detail
    crc: "INTEGER NOT NULL",
    totals: "BLOB NOT NULL", // the ledger's sums
  },
  minute_detail: {
    at: "INTEGER PRIMARY KEY", // start of the minute; a separate table, so that reading many totals skips the details
    crc: "INTEGER NOT NULL",
    detail: "BLOB NOT NULL",
  },
  state: {
    name: "TEXT PRIMARY KEY", // identity, cursor, poll.flow, horizon.audit, ledger/<blob> and the like
    crc: "INTEGER NOT NULL",
    value: "BLOB NOT NULL", // JSON, or a blob of the ledger
  },
} as const;

const indexes = {
  keys_age: "CREATE INDEX keys_age ON keys (class, at)",
  mark_seq: "CREATE INDEX mark_seq ON mark (seq, from_line)",
  mark_class: "CREATE INDEX mark_class ON mark (class, seq, from_line)",
};

export type TableName = keyof typeof tables;
type Columns<Name extends TableName> = (typeof tables)[Name];
type ValueOf<Sql> =
  | (Sql extends `INTEGER${string}` ? number : Sql extends `TEXT${string}` ? string : Uint8Array)
  | (Sql extends "TEXT" | "BLOB" ? null : never);

/** A row with its checksum. */
export type StoredRow<Name extends TableName> = {
  readonly [Column in keyof Columns<Name>]: ValueOf<Columns<Name>[Column]>;
};

/** A row before it gets a checksum and an id. */
export type NewRow<Name extends TableName> = Omit<StoredRow<Name>, "crc" | "id">;

type ColumnOf<Name extends TableName> = keyof NewRow<Name> & string;

const schema = new Map<string, string>([
  ...Object.entries(tables).map(([name, columns]): [string, string] => {
    const list = Object.entries(columns).map(([column, sql]) => `${column} ${sql}`);
    return [name, `CREATE TABLE ${name} (${list.join(", ")}) STRICT${name === "state" ? ", WITHOUT ROWID" : ""}`];
  }),
  ...Object.entries(indexes),
]);

export type Statements<Name extends string> = Readonly<Record<Name, StatementSync>>;

export function prepare<Name extends string>(database: DatabaseSync, sql: Readonly<Record<Name, string>>) {
  const prepared = Object.entries<string>(sql).map(([name, text]) => [name, database.prepare(text)]);
  return Object.fromEntries(prepared) as Statements<Name>;
}

/** Writes the rows of a table with their checksums, and verifies those that are read. */
export class Table<Name extends TableName> {
  /** Column list for a SELECT. */
  readonly columns: string;
  readonly #checked: readonly ColumnOf<Name>[];
  readonly #insert: StatementSync;
  readonly #replace: StatementSync;

  constructor(database: DatabaseSync, name: Name) {
    const names = Object.keys(tables[name]);
    this.columns = names.join(", ");
    this.#checked = names.filter((column) => column !== "id" && column !== "crc") as ColumnOf<Name>[];
    const given = `${this.#checked.join(", ")}, crc`;
    const places = this.#checked.map(() => "?").join(", ");
    this.#insert = database.prepare(`INSERT INTO ${name} (${given}) VALUES (${places}, ?)`);
    const [id, value] = names.includes("id") ? ["id, ", "?, "] : ["", ""];
    this.#replace = database.prepare(`INSERT OR REPLACE INTO ${name} (${id}${given}) VALUES (${value}${places}, ?)`);
  }

  /** Inserts a row whose key is new, in the caller's transaction. Returns its integer key. */
  insert(row: NewRow<Name>): number {
    return Number(this.#insert.run(...this.#valuesOf(row)).lastInsertRowid);
  }

  /** Inserts a row, or replaces the one with its key or that id: about 5 µs slower than `insert`. */
  replace(row: NewRow<Name>, ...id: number[]): void {
    this.#replace.run(...id, ...this.#valuesOf(row));
  }

  isSound(row: StoredRow<Name>): boolean {
    return this.checksum(row as NewRow<Name>) === (row as { readonly crc: number }).crc;
  }

  #valuesOf(row: NewRow<Name>): SQLInputValue[] {
    const values = this.#checked.map((name) => row[name] as SQLInputValue);
    values.push(this.checksum(row));
    return values;
  }

  /** CRC-32 of the short columns as one text, with the lengths of the blobs, followed by the blobs. Version 1 had no destinations. */
  checksum(row: NewRow<Name>): number {
    let text = "";
    for (const name of this.#checked) {
      const value: unknown = row[name];
      if (name === "destination" && value === null) continue;
      text += `${value instanceof Uint8Array ? value.length : value} `;
    }
    let sum = crc32(text);
    for (const name of this.#checked) {
      const value: unknown = row[name];
      if (value instanceof Uint8Array && value.length > 0) sum = crc32(value, sum);
    }
    return sum;
  }
}

export interface StorageOptions {
  /** `full`: every commit is synced to disk. `normal`: a machine crash can lose the last commits, a process crash cannot. */
  readonly durability: "full" | "normal";
  readonly maxBytes: number;
  /** Epoch milliseconds at the start. */
  readonly now: number;
}

/**
 * Prepares an opened database: pragmas, then its tables.
 * @throws {Unavailable} for a disk without write-ahead logs, a schema of a newer program, and one that was never released.
 * @throws {Damaged} if header or schema is damaged.
 */
export function prepareDatabase(database: DatabaseSync, options: StorageOptions): void {
  database.exec("PRAGMA busy_timeout = 2000; PRAGMA auto_vacuum = INCREMENTAL");
  upgradeSchema(database);
  const version = pragma(database, "user_version");
  const application = pragma(database, "application_id");
  const objects = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'";
  const found = new Map(
    (database.prepare(objects).all() as unknown as { name: string; sql: string }[]).map(({ name, sql }) => [name, sql]),
  );
  if (application === 0 && found.has("meta") && found.has("journal")) {
    const directory = (database.location() ?? "").replace(/[\\/][^\\/]*$/, "");
    throw new Unavailable(
      `the state directory ${directory} was written by an unreleased first form; move it away or set another state.path`,
    );
  }
  const { journal_mode: mode } = database.prepare("PRAGMA journal_mode = WAL").get() as { journal_mode: string };
  if (mode !== "wal")
    throw new Unavailable(
      `the disk of the state directory cannot hold a write-ahead log (journal_mode is ${mode}): set state.path to a local disk`,
    );
  setDurability(database, options.durability);
  if (process.platform === "darwin") database.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON");
  database.exec(`PRAGMA journal_size_limit = ${walLimitBytes}`);
  database.exec(`PRAGMA max_page_count = ${Math.ceil(options.maxBytes / pageBytes)}`);
  if (version === 0 && application === 0 && found.size === 0) {
    const numbers = `PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`;
    transaction(database, () => database.exec(`${[...schema.values()].join(";")}; ${numbers}`));
    return;
  }
  if (application !== applicationId) throw new Damaged("the database's header is damaged");
  const isOurs = found.size === schema.size && schema.entries().every(([name, sql]) => found.get(name) === sql);
  /** A newer program has other tables. If they are the same, the number is damaged: the header has no checksum. */
  if (version > schemaVersion && !isOurs)
    throw new Unavailable(
      `the journal was written by a newer version (schema ${version}, this program knows ${schemaVersion}): install that version or a later one`,
    );
  if (version !== schemaVersion || !isOurs) throw new Damaged("the database's schema is damaged");
}

/** Upgrades from version 1, whose marks had no destination, and from version 2, which had no minutes. */
function upgradeSchema(database: DatabaseSync): void {
  const read = database.prepare("SELECT sql FROM sqlite_schema WHERE name = ?");
  const found = (name: string): unknown => read.get(name)?.["sql"];
  const mark = schema.get("mark") ?? "";
  const isFirst = found("mark") === mark.replace(", destination TEXT", "");
  if ((!isFirst && found("mark") !== mark) || found("minute") !== undefined) return;
  const added = [...schema]
    .filter(([name]) => name.startsWith("minute") && found(name) === undefined)
    .map(([, sql]) => sql);
  if (isFirst) added.push("ALTER TABLE mark ADD COLUMN destination TEXT");
  transaction(database, () => database.exec(`${added.join(";")}; PRAGMA user_version = ${schemaVersion}`));
}

/** Sets how commits are synced from now on. Call it only outside transactions. */
export function setDurability(database: DatabaseSync, durability: "full" | "normal"): void {
  database.exec(`PRAGMA synchronous = ${durability === "full" ? "FULL" : "NORMAL"}`);
}

/** The highest `seq` ever assigned. @throws {Damaged} if it is not a possible number. */
export function readSequence(database: DatabaseSync): number {
  /** Numbers that JavaScript cannot represent are compared in SQL, because reading one throws. */
  const given = "SELECT seq FROM sqlite_sequence WHERE name = 'batch' UNION ALL SELECT MAX(seq) FROM batch";
  const bounded = `iif(COALESCE(MAX(seq), 0) BETWEEN 0 AND ${maxSeq}, COALESCE(MAX(seq), 0), -1)`;
  const lowest = "SELECT COALESCE(MIN(seq), 1) < 1 FROM batch";
  const sql = `SELECT ${bounded} AS seq, (${lowest}) AS isLow FROM (${given})`;
  const { seq, isLow } = database.prepare(sql).get() as { seq: unknown; isLow: number };
  if (typeof seq !== "number" || seq < 0 || isLow === 1) throw new Damaged("the numbers of the rows are damaged");
  return seq;
}

/** Sets the highest assigned `seq`: the next row gets the one above it. */
export function raiseSequence(database: DatabaseSync, seq: number): void {
  database.exec("DELETE FROM sqlite_sequence WHERE name = 'batch'");
  database.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('batch', ?)").run(seq);
}

/** Runs `write` in a transaction. @throws whatever `write` or SQLite throws; nothing is written then. */
export function transaction<Result>(database: DatabaseSync, write: () => Result): Result {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = write();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    try {
      /** SQLITE_FULL has rolled back already. */
      if (database.isTransaction) database.exec("ROLLBACK");
    } catch {
      /** The disk is failing. The next transaction will not begin and reports it. */
    }
    throw error;
  }
}

function pragma(database: DatabaseSync, name: "user_version" | "application_id"): number {
  return (database.prepare(`PRAGMA ${name}`).get() as Record<string, number>)[name] ?? 0;
}
