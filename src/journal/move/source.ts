/** The SQLite journal of a stopped instance as the source of a copy: locked, read in steps of about 4 MiB, and not changed. */
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import { silentLogger } from "../../lib/logger.ts";
import { reasonOf } from "../batch.ts";
import { type KeyClass, keyClasses } from "../journal.ts";
import { keyBits, KeyTable, keyWords } from "../keys.ts";
import { takeStateDirectory } from "../sqlite/directory.ts";
import { isDamage } from "../sqlite/errors.ts";
import { inspectJournal } from "../sqlite/inspection.ts";
import { LastRow } from "../sqlite/last-row.ts";
import { State } from "../sqlite/state.ts";
import { acceptedRows, readSequence, schemaVersion, type StoredRow, Table } from "../sqlite/tables.ts";
import type { Sums } from "./target.ts";

/** Approximate bytes read per step. */
const stepBytes = 4 * 1024 * 1024;

/** Maximum rows per step, however small they are. */
const stepRows = 2_000;

/** Keys of one class and age. */
export interface KeyStep {
  readonly keyClass: KeyClass;
  /** Four words per key, each key once. */
  readonly words: Uint32Array;
  /** The time from which the latest of them ages. */
  readonly at: number;
}

/** The column that numbers the rows of a table. */
const numbers = { batch: "seq", mark: "id", minute: "at" } as const;

/** Tables that are copied row by row. */
export type CopiedTable = keyof typeof numbers;

export type Source = ReturnType<typeof openSource>;

/** @throws {Unavailable} with what to do if there is no sound journal, or an instance uses it. */
export function openSource(path: string, now: number) {
  const found = inspectJournal(path, "moved or not");
  if (found.kind === "in_use")
    throw new Unavailable(`an instance is using ${path}: stop it first, and leave it stopped until the move is done`);
  if (found.kind === "memory") throw new Unavailable("state.path is :memory:, so there is no journal to move");
  if (found.kind === "new") throw new Unavailable(`there is no journal in ${path}: set state.path to the directory`);
  if (found.kind === "unusable") throw new Unavailable(`${found.reason}. ${found.remedy}`);
  if (found.kind === "newer")
    throw new Unavailable(
      `the journal in ${path} was written by a newer version (schema ${found.schema}, this program knows ${schemaVersion}): use that version`,
    );
  if (found.kind === "damaged") throw startFirst(path, `is damaged (${found.reason})`);
  const directory = takeStateDirectory(path);
  try {
    const database = new DatabaseSync(directory.databasePath, { readOnly: true });
    try {
      return readSource(path, database, now, () => {
        database.close();
        directory.release();
      });
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    directory.release();
    if (isDamage(error)) throw startFirst(path, `is damaged (${reasonOf(error)})`);
    throw error;
  }
}

/** Points to starting the instance, because that upgrades a journal, recovers a damaged one, and reports what was lost. */
function startFirst(path: string, why: string): Unavailable {
  return new Unavailable(
    `the journal in ${path} ${why}: start the instance once without state.url, stop it when it is ready, then move`,
  );
}

function readSource(path: string, database: DatabaseSync, now: number, close: () => void) {
  const version = database.prepare("PRAGMA user_version").get() as { user_version: number };
  if (version.user_version !== schemaVersion) throw startFirst(path, "was written by an older version");
  const state = new State(database);
  const { identity } = state;
  const given = Math.max(readSequence(database), state.cursor.seq - 1, state.measuredSeq);
  if (new LastRow(path, silentLogger).read() > given) throw startFirst(path, "has lost its newest rows");
  state.readSnapshot();
  state.countAccepted();

  const tables = {
    batch: new Table(database, "batch"),
    mark: new Table(database, "mark"),
    minute: new Table(database, "minute"),
  };
  const select = (name: CopiedTable) =>
    database.prepare(
      `SELECT ${tables[name].columns} FROM ${name} WHERE ${numbers[name]} > ? ORDER BY ${numbers[name]} LIMIT ${stepRows}`,
    );
  const selects = { batch: select("batch"), mark: select("mark"), minute: select("minute") };
  const details = new Table(database, "minute_detail");
  const readDetail = database.prepare(`SELECT ${details.columns} FROM minute_detail WHERE at = ?`);
  const one = (sql: string): Record<string, number> => database.prepare(sql).get() as Record<string, number>;
  const { tables: keys, damaged } = loadKeys(database);
  const byType = database.prepare(
    `SELECT type, SUM(records) AS records FROM batch WHERE ${acceptedRows} GROUP BY type`,
  );

  function sumsOf(): Sums {
    const { rows, bytes } = one(
      "SELECT COUNT(*) AS rows, COALESCE(SUM(LENGTH(body)), 0) AS bytes FROM batch",
    ) as Record<"rows" | "bytes", number>;
    const { records } = one(`SELECT COALESCE(SUM(records), 0) AS records FROM batch WHERE ${acceptedRows}`);
    const { delivered, deadLettered } = state.cursor.records;
    return {
      accepted: state.pendingRecords + delivered + deadLettered,
      delivered,
      pending: state.pendingRecords,
      deadLettered,
      rows,
      bytes,
      records: records ?? 0,
      keys: keyClasses.reduce((sum, name) => sum + keys[name].size, 0),
      marks: soundCount("mark"),
      minutes: soundCount("minute"),
    };
  }

  function soundCount(name: "mark" | "minute"): number {
    const rows = database.prepare(`SELECT ${tables[name].columns} FROM ${name}`).iterate() as Iterable<unknown>;
    let count = 0;
    for (const row of rows as Iterable<never>) if (tables[name].isSound(row)) count++;
    return count;
  }

  return {
    directory: path,
    identity,
    /** The highest row number ever assigned. */
    lastSeq: given,
    /** The highest mark id ever assigned. */
    lastMark: one("SELECT COALESCE(MAX(seq), 0) AS id FROM sqlite_sequence WHERE name = 'mark'")["id"] ?? 0,
    /** Changes with everything that an instance writes. */
    fingerprint: fingerprintOf(database),
    sums: sumsOf(),
    /** Accepted records of the stored rows, by type. */
    accepted: Object.fromEntries(
      (byType.all() as { type: string; records: number }[]).map((row) => [row.type, row.records]),
    ),
    /**
     * Rows after that number, in order, and the number of the last one: about 4 MiB, none at the end. Damaged marks and minutes
     * are left out; a damaged batch row stays one.
     */
    rows<Name extends CopiedTable>(name: Name, after: number) {
      const rows: StoredRow<Name>[] = [];
      let last = after;
      let bytes = 0;
      for (const found of selects[name].iterate(after) as Iterable<unknown>) {
        const row = found as StoredRow<Name>;
        if (tables[name].isSound(found as never)) rows.push(row);
        else if (name === "batch") rows.push(withDamage(row as StoredRow<"batch">) as StoredRow<Name>);
        last = (found as Record<string, number>)[numbers[name]] as number;
        bytes += sizeOf(row);
        if (bytes >= stepBytes) break;
      }
      return { rows, last };
    },
    detailOf(minute: number): Uint8Array | undefined {
      const row = readDetail.get(minute) as StoredRow<"minute_detail"> | undefined;
      return row !== undefined && details.isSound(row) ? row.detail : undefined;
    },
    /** All keys, from the newest row on; each as it would be known after a start. */
    keys: () => keysOf(database, keys),
    /** All values of the state, by name. */
    *values(): Generator<readonly [name: string, value: Uint8Array]> {
      const names = database.prepare("SELECT name FROM state ORDER BY name").all() as { name: string }[];
      for (const { name } of names) yield [name, state.readBlob(name) as Uint8Array];
      // As at a start: the age of the keys of a damaged row is unknown.
      const horizon = new TextEncoder().encode(JSON.stringify({ until: now, streamed: now }));
      for (const name of damaged) yield [`horizon.${name}`, horizon];
    },
    close,
  };
}

/** The target has no checksums, so a damaged row is changed until its text or its tally cannot be decoded. */
function withDamage(row: StoredRow<"batch">): StoredRow<"batch"> {
  return row.body === null ? { ...row, tally: "damaged" } : { ...row, length: row.length + 1 };
}

/** All keys as they are known after a start, and the classes that have damaged rows. */
function loadKeys(database: DatabaseSync) {
  const tables = Object.fromEntries(keyClasses.map((name) => [name, new KeyTable()])) as Record<KeyClass, KeyTable>;
  const damaged = new Set<KeyClass>();
  for (const row of keyRows(database, "")) {
    const isKnown = Object.hasOwn(tables, row.class);
    if (row.words !== undefined && isKnown) tables[row.class].load(row.words);
    else for (const name of keyClasses) if (!isKnown || name === row.class) damaged.add(name);
  }
  return { tables, damaged };
}

/** Empties the tables. Each key is returned with the newest of its rows, from which it ages. */
function* keysOf(database: DatabaseSync, tables: Record<KeyClass, KeyTable>): Generator<KeyStep> {
  for (const { class: keyClass, at, words } of keyRows(database, "ORDER BY id DESC")) {
    if (words === undefined || !Object.hasOwn(tables, keyClass)) continue;
    const found = new Uint32Array(words.length);
    let length = 0;
    for (let place = 0; place < words.length; place += keyWords) {
      const word = tables[keyClass].heldWord(words, place);
      if (word === 0) continue;
      found.set(words.subarray(place, place + 3), length);
      found[length + 3] = word & ~keyBits.rewritten;
      length += keyWords;
      tables[keyClass].restore(words, place, 0);
    }
    if (length > 0) yield { keyClass, words: found.subarray(0, length), at };
  }
}

function* keyRows(database: DatabaseSync, order: string) {
  const table = new Table(database, "keys");
  const rows = database.prepare(`SELECT ${table.columns} FROM keys ${order}`).iterate() as Iterable<unknown>;
  for (const row of rows as Iterable<StoredRow<"keys">>) {
    const { buffer, byteOffset, length } = row.packed.slice();
    const words = new Uint32Array(buffer, byteOffset, Math.floor(length / (keyWords * 4)) * keyWords);
    yield { class: row.class as KeyClass, at: row.at, words: table.isSound(row) ? words : undefined };
  }
}

function fingerprintOf(database: DatabaseSync): string {
  const hash = createHash("sha256");
  for (const row of database.prepare("SELECT name, crc FROM state ORDER BY name").all())
    hash.update(JSON.stringify(row));
  for (const [table, number] of [...Object.entries(numbers), ["keys", "id"]]) {
    const counts = `SELECT COUNT(*) AS rows, MIN(${number}) AS first, MAX(${number}) AS last FROM ${table}`;
    hash.update(JSON.stringify(database.prepare(counts).get()));
  }
  return hash.digest("hex");
}

function sizeOf(row: object): number {
  return Object.values(row).reduce(
    (sum: number, value: unknown) => sum + (value instanceof Uint8Array ? value.length : 64),
    0,
  );
}
