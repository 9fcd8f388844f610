/** Rows of `batch`: written once with a checksum over all their columns, and read back in short statements. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Source } from "../../records/types.ts";
import type { JournalReader, Row, Tally } from "../index.ts";
import { checksum, Damaged, unpackText } from "../packing.ts";
import { selectMarks } from "./marks.ts";

/** A row as it lies in the table. */
export interface StoredRow {
  readonly seq: number;
  readonly accepted_at: number;
  readonly source: string;
  readonly tailnet: number;
  readonly type: string;
  readonly records: number;
  readonly length: number;
  readonly crc: number;
  /** JSON. */
  readonly tally: string | null;
  readonly left_out: Uint8Array | null;
  readonly body: Uint8Array | null;
}

/** Columns in the order of `StoredRow`. */
export const rowColumns = "seq, accepted_at, source, tailnet, type, records, length, crc, tally, left_out, body";

/** A row may inflate to no more: a part is cut at 1 MiB behind a record, and a record has at most 16 MiB. */
const maxLength = 32 * 1024 * 1024;

export class RowWriter {
  readonly #insert: StatementSync;
  readonly #update: StatementSync;

  constructor(database: DatabaseSync) {
    this.#insert = database.prepare(`INSERT INTO batch (${rowColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
    this.#update = database.prepare("UPDATE batch SET length = ?, crc = ?, tally = ?, body = ? WHERE seq = ?");
  }

  /** In the caller's transaction. */
  insert(row: Omit<StoredRow, "crc">): void {
    const { seq, accepted_at: at, source, tailnet, type, records, length, tally, left_out: leftOut, body } = row;
    this.#insert.run(seq, at, source, tailnet, type, records, length, rowChecksum(row), tally, leftOut, body);
  }

  /** Writes a row with other text and tally. Only quarantine rows change. */
  rewrite(row: Omit<StoredRow, "crc">): void {
    this.#update.run(row.length, rowChecksum(row), row.tally, row.body, row.seq);
  }
}

export function rowChecksum(row: Omit<StoredRow, "crc">): number {
  const { seq, accepted_at: at, source, tailnet, type, records, length, tally, left_out: leftOut, body } = row;
  const sizes = `${leftOut?.length ?? "-"} ${body?.length ?? "-"}`;
  const columns = `${seq} ${at} ${source} ${tailnet} ${type} ${records} ${length} ${sizes} ${tally ?? "-"}`;
  return checksum(columns, leftOut ?? undefined, body ?? undefined);
}

/** Text of a stored row. @throws {Damaged} if it is not what was written. */
export function textOf(row: StoredRow): Uint8Array {
  if (rowChecksum(row) !== row.crc) throw new Damaged("its checksum does not hold");
  if (row.length > maxLength) throw new Damaged(`its text has ${row.length} bytes`);
  return row.body === null ? new Uint8Array() : unpackText(row.body, row.length);
}

/** A row as it is read, or what is wrong with it. */
export function rowOf(stored: StoredRow): Row {
  const type = stored.type as Row["type"];
  const row = { seq: stored.seq, acceptedAt: stored.accepted_at, source: stored.source as Source, type };
  try {
    const text = textOf(stored);
    const isBatch = type !== "invalid" && type !== "sample" && stored.tally !== null;
    const tally = isBatch ? (JSON.parse(stored.tally as string) as Tally) : undefined;
    return { ...row, records: stored.records, text, leftOut: stored.left_out ?? undefined, tally, damage: undefined };
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    /** As many records as the journal counts for it. */
    const { records } = stored;
    return { ...row, records, text: new Uint8Array(), leftOut: undefined, tally: undefined, damage: error.message };
  }
}

/**
 * Opens the journal whose `location` this is for reading, in any thread. `failed` is told of what SQLite throws, before the
 * caller is: damage has to reach the journal itself (`damaged`).
 */
export function openSqliteReader(location: string, failed: (error: unknown) => void = () => undefined): JournalReader {
  const watched = <Result>(read: () => Result): Result => {
    try {
      return read();
    } catch (error) {
      failed(error);
      throw error;
    }
  };
  return watched(() => {
    const database = new DatabaseSync(location, { readOnly: true });
    database.exec("PRAGMA busy_timeout = 2000");
    const next = database.prepare(`SELECT ${rowColumns} FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1`);
    return {
      read: (fromSeq, limit) => watched(() => readRows(next, fromSeq, limit)),
      marks: (filter, limit) => watched(() => selectMarks(database, filter, limit)),
      close: () => database.close(),
    };
  });
}

/** One statement per row, so that no log has to wait for an open one. */
function readRows(
  next: StatementSync,
  fromSeq: number,
  limit: { readonly rows: number; readonly bytes: number },
): Row[] {
  const rows: Row[] = [];
  let bytes = 0;
  let seq = fromSeq;
  while (rows.length < limit.rows && bytes < limit.bytes) {
    const stored = next.get(seq) as StoredRow | undefined;
    if (stored === undefined) break;
    const row = rowOf(stored);
    rows.push(row);
    bytes += row.text.length;
    seq = row.seq + 1;
  }
  return rows;
}
