/**
 * Reads the contents of rows: for readers in any thread, over read-only connections with short statements, and for the
 * quarantine.
 */
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { freeBuffer } from "../../runtime/process.ts";
import { Damaged, type Row, type RowHead, rowOf, textOf } from "../batch.ts";
import { conditionOf, markOf } from "../items.ts";
import type { JournalReader } from "../journal.ts";
import type { QuarantineStore } from "../quarantine.ts";
import { Marks } from "./marks.ts";
import { unlessDamaged } from "./state.ts";
import { type StoredRow, Table } from "./tables.ts";

/** The text of a stored row. @throws {Damaged} if the row is not what was written. */
export function soundTextOf(table: Table<"batch">, row: StoredRow<"batch">): Uint8Array {
  if (!table.isSound(row)) throw new Damaged(noMatch);
  return textOf(row);
}

const noMatch = "its checksum does not match";

/**
 * Opens the journal at `location` for reading, in any thread. `failed` is called with an error of SQLite before it is thrown,
 * because damage must be reported to the journal itself (`damaged`).
 */
export function openSqliteReader(location: string, failed: (error: unknown) => void = () => undefined): JournalReader {
  const index = `${location}-shm`;
  let indexBytes = 0;
  /** Reading a mapped file that was truncated would crash the process. */
  const checkIndex = (): void => {
    const bytes = statSync(index, { throwIfNoEntry: false })?.size ?? indexBytes;
    if (bytes < indexBytes) throw new Error(`${index} has been truncated`);
    indexBytes = bytes;
  };
  const watched = <Result>(read: () => Result): Result => {
    try {
      checkIndex();
      return read();
    } catch (error) {
      failed(error);
      throw error;
    }
  };
  return watched(() => {
    const database = new DatabaseSync(location, { readOnly: true });
    database.exec("PRAGMA busy_timeout = 2000");
    const table = new Table(database, "batch");
    const marks = new Marks(database);
    /** One statement per row, because an open one would keep the write-ahead log from being reset. */
    const next = database.prepare(`SELECT ${table.columns} FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1`);
    const heads = database.prepare(
      "SELECT seq, accepted_at AS acceptedAt, type, records FROM batch WHERE seq >= ? ORDER BY seq LIMIT ?",
    );
    return {
      heads: (fromSeq, rows) => watched(() => heads.all(fromSeq, rows) as unknown as RowHead[]),
      read: (fromSeq, limit) =>
        watched(() => {
          const rows: Row[] = [];
          let bytes = 0;
          for (let seq = fromSeq; rows.length < limit.rows && bytes < limit.bytes;) {
            const stored = next.get(seq) as StoredRow<"batch"> | undefined;
            if (stored === undefined) break;
            const row = rowOf(stored, table.isSound(stored) ? undefined : noMatch);
            if (stored.body !== null && stored.body.buffer !== row.text.buffer) freeBuffer(stored.body);
            rows.push(row);
            bytes += row.text.length;
            seq = row.seq + 1;
          }
          return rows;
        }),
      marks: (filter, { afterId, marks: limit }) =>
        watched(() => {
          const { where, values } = conditionOf(filter, marks);
          const rest = `NOT INDEXED WHERE ${where} AND id > ? ORDER BY id LIMIT ?`;
          return marks.marks(rest, [...values, afterId, limit]).map(markOf);
        }),
      close: () => database.close(),
    };
  });
}

/** The store of quarantined texts and marks. `write` runs a change in a transaction. */
export function quarantineStore(
  database: DatabaseSync,
  marks: Marks,
  write: (change: () => number) => number,
): QuarantineStore {
  const table = new Table(database, "batch");
  const readRow = database.prepare(`SELECT ${table.columns} FROM batch WHERE seq = ?`);
  return {
    table: marks,
    get evicted() {
      return marks.evicted;
    },
    find: (itemId) => marks.find(itemId),
    text(seq) {
      const row = readRow.get(seq) as StoredRow<"batch"> | undefined;
      return (row && unlessDamaged(() => soundTextOf(table, row))) ?? new Uint8Array();
    },
    remove: (ids) => write(() => ids.filter((id) => marks.removeItem(id)).length),
  };
}
