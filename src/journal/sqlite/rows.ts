/**
 * What rows hold: as readers in any thread get it, over read-only connections and by short statements, and as the list of what is
 * kept for a person.
 */
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { endsOfObjects } from "../../records/json.ts";
import type { Source } from "../../records/types.ts";
import { freeBuffer } from "../../runtime/process.ts";
import { Damaged, type QuarantineLine, type Row, type RowHead, type Tally, unpackText } from "../batch.ts";
import type { JournalReader, Quarantine, QuarantineCount, QuarantineFilter, QuarantineItem } from "../journal.ts";
import { conditionOf, isQuarantine, lineOf, markOf, Marks, type StoredMark } from "./marks.ts";
import { unlessDamaged } from "./state.ts";
import { type StoredRow, Table } from "./tables.ts";

/** A row inflates to no more: a part is cut at 1 MiB behind a record, and a record has at most 16 MiB. */
const maxLength = 32 * 1024 * 1024;

/** The text of a stored row. @throws {Damaged} if the row is not what was written. */
export function textOf(table: Table<"batch">, row: StoredRow<"batch">): Uint8Array {
  if (!table.isSound(row)) throw new Damaged("its checksum does not match");
  if (row.length > maxLength) throw new Damaged(`its text has ${row.length} bytes`);
  return row.body === null ? new Uint8Array() : unpackText(row.body, row.length);
}

function rowOf(table: Table<"batch">, stored: StoredRow<"batch">): Row {
  const { seq, accepted_at: acceptedAt, source, records, tally, left_out: leftOut } = stored;
  const type = stored.type as Row["type"];
  const row = { seq, acceptedAt, source: source as Source, type, records };
  try {
    const text = textOf(table, stored);
    const isBatch = type !== "invalid" && type !== "sample" && tally !== null;
    const parsed = isBatch ? (JSON.parse(tally) as Tally) : undefined;
    return { ...row, text, leftOut: leftOut ?? undefined, tally: parsed, damage: undefined };
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    return { ...row, text: new Uint8Array(), leftOut: undefined, tally: undefined, damage: error.message };
  }
}

/**
 * Opens the journal at that `location` for reading, in any thread. `failed` is called with what SQLite throws, before it is
 * thrown: damage has to reach the journal itself (`damaged`).
 */
export function openSqliteReader(location: string, failed: (error: unknown) => void = () => undefined): JournalReader {
  const index = `${location}-shm`;
  let indexBytes = 0;
  /** Reading a mapped file that somebody truncated would end the process. */
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
    /** One statement per row: an open one would keep the write-ahead log from being reset. */
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
            const row = rowOf(table, stored);
            if (stored.body !== null && stored.body.buffer !== row.text.buffer) freeBuffer(stored.body);
            rows.push(row);
            bytes += row.text.length;
            seq = row.seq + 1;
          }
          return rows;
        }),
      marks: (filter, { afterId, marks: limit }) => watched(() => marks.after(afterId, filter, limit).map(markOf)),
      close: () => database.close(),
    };
  });
}

/** Records of a mark that are shown. */
const maxTexts = 100;

/** Quarantined texts and marks as one list, newest row first. `write` runs a change in a transaction. */
export function createQuarantine(
  database: DatabaseSync,
  marks: Marks,
  write: (change: () => number) => number,
): Quarantine {
  const table = new Table(database, "batch");
  const readRow = database.prepare(`SELECT ${table.columns} FROM batch WHERE seq = ?`);
  const nearest = database.prepare("SELECT seq, from_line FROM mark WHERE id <= ? ORDER BY id DESC LIMIT 1");

  /** The row that was read last: marks of one row stand together. */
  let last: { readonly seq: number; readonly text: Uint8Array; readonly ends: readonly number[] } | undefined;

  /** Lines of a row from one up to another; none if it is damaged. */
  function textsOf(seq: number, from: number, to: number): string[] {
    if (last?.seq !== seq) {
      const row = readRow.get(seq) as StoredRow<"batch"> | undefined;
      const text = (row && unlessDamaged(() => textOf(table, row))) ?? new Uint8Array();
      last = { seq, text, ends: endsOfObjects(text) };
    }
    const { text, ends } = last;
    const decoder = new TextDecoder();
    const lineAt = (line: number) => decoder.decode(text.subarray(ends[line - 1] ?? 0, ends[line])).trim();
    return ends.slice(from, to).map((_, n) => lineAt(from + n));
  }

  /** Where a page continues: in the order of rows, of lines, and of marks that begin at the same line. */
  function placeOf(itemId: string): readonly [seq: number, line: number, id: number] {
    const [seq = 0, line] = itemId.split(".").map(Number);
    if (line !== undefined) return [seq, line, 0];
    const id = Number(itemId.slice(1));
    /** If the mark is gone, the one made before it tells. */
    const { seq: row = 0, from_line: from = 0 } = (nearest.get(id) ?? {}) as Partial<StoredMark>;
    return [row, from, id];
  }

  function* itemsBefore(filter: QuarantineFilter, beforeId: string | undefined): Generator<QuarantineItem> {
    const first = beforeId === undefined ? ([Number.MAX_SAFE_INTEGER, 0, 0] as const) : placeOf(beforeId);
    for (let found = marks.before(first, filter); found.length > 0;) {
      for (const mark of found) {
        const { seq, from_line: from, to_line: to } = mark;
        const texts = isQuarantine(mark.class)
          ? textsOf(seq, from, seq === first[0] ? Math.min(to, first[1]) : to)
          : [];
        for (let line = texts.length - 1; line >= 0; line--) yield itemOfLine(mark, from + line, texts[line] as string);
        if (!isQuarantine(mark.class)) yield itemOf(mark);
      }
      const { seq, from_line: from, id } = found.at(-1) as StoredMark;
      found = marks.before([seq, from, id], filter);
    }
  }

  return {
    get evicted() {
      return marks.evicted;
    },
    counts(filter) {
      const { where, values } = conditionOf(filter);
      const items = "SUM(iif(class IN ('invalid', 'sample'), to_line - from_line, 1))";
      const sql = `SELECT class, why AS reason, ${items} AS items FROM mark WHERE ${where} GROUP BY class, why ORDER BY class, why`;
      const found = database.prepare(sql).all(...values) as unknown as QuarantineCount[];
      return found.map((count) => ({ ...count }));
    },
    page: (filter, { beforeId, limit }) => itemsBefore(filter, beforeId).take(limit).toArray(),
    read(id) {
      const mark = marks.find(id);
      if (mark === undefined) return undefined;
      const { seq, from_line: from, to_line: to } = mark;
      if (!isQuarantine(mark.class)) {
        const texts = textsOf(seq, from, Math.min(to, from + maxTexts));
        return { item: itemOf(mark), texts, isCut: to - from > texts.length };
      }
      const line = lineOf(id);
      const [stored] = textsOf(seq, line, line + 1);
      if (stored === undefined) return undefined;
      const { text, isCut = false } = JSON.parse(stored) as QuarantineLine;
      return { item: itemOfLine(mark, line, stored), texts: [text], isCut };
    },
    remove(ids) {
      return write(() => ids.filter((id) => marks.removeItem(id)).length);
    },
  };
}

function itemOf(mark: StoredMark): QuarantineItem {
  const { id, seq, from_line: from, to_line: to, at, why: reason, message: detail } = mark;
  const { class: itemClass, type, source } = mark as Pick<QuarantineItem, "class" | "type" | "source">;
  const of = mark.destination === null ? {} : { destination: mark.destination };
  return { id: `m${id}`, class: itemClass, type, seq, from, records: to - from, at, source, reason, detail, ...of };
}

function itemOfLine(mark: StoredMark, line: number, stored: string): QuarantineItem {
  const { detail } = JSON.parse(stored) as QuarantineLine;
  return { ...itemOf(mark), id: `${mark.seq}.${line}`, from: line, records: 1, detail };
}
