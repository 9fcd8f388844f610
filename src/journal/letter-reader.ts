/** Reads dead letters as if they were rows of the journal, one record each, so that they go the way of all records. */
import { DatabaseSync } from "node:sqlite";
import type { RecordType, Source } from "../records/types.ts";
import { unpackText } from "./pack.ts";
import { isAmong, type LetterFilter, type RowRange } from "./redelivery.ts";
import type { JournalReader, JournalRow } from "./types.ts";

interface StoredLetter {
  readonly id: number;
  readonly type: string;
  readonly at: number;
  readonly source: string;
  readonly reason: string;
  readonly text: Uint8Array;
}

/** Opens the journal at that path for reading. A row's `seq` is the item's id, and its time is when it was set aside. */
export function openLetterReader(databasePath: string, letters: LetterFilter): JournalReader {
  const database = new DatabaseSync(databasePath, { readOnly: true });
  database.exec("PRAGMA busy_timeout = 2000");
  const next = database.prepare(
    "SELECT id, type, at, source, reason, text FROM quarantine WHERE class = 'dead_letter' AND id >= ? ORDER BY id LIMIT 1",
  );
  return {
    read(fromSeq, limit) {
      const rows: JournalRow[] = [];
      let bytes = 0;
      let id = fromSeq;
      while (rows.length < limit.rows && bytes < limit.bytes) {
        const stored = next.get(id) as StoredLetter | undefined;
        if (stored === undefined) break;
        const row = isAmong(letters, stored) ? rowOf(stored) : emptyRow(stored.id);
        rows.push(row);
        bytes += row.text.length;
        id = stored.id + 1;
      }
      return rows;
    },
    close() {
      database.close();
    },
  };
}

/**
 * The rows of a reader below `untilSeq`, those received at other times without their records. At the end there is always a
 * row, so that whoever reads arrives there, whatever has left in the meantime.
 */
export function boundedReader(
  reader: JournalReader,
  { untilSeq, range }: { readonly untilSeq: number; readonly range?: RowRange },
): JournalReader {
  const isWanted = ({ acceptedAt }: JournalRow): boolean =>
    range === undefined || (acceptedAt >= range.since && acceptedAt <= range.until);
  return {
    read(fromSeq, limit) {
      if (fromSeq >= untilSeq) return [];
      const rows = reader.read(fromSeq, limit).filter(({ seq }) => seq < untilSeq);
      if (rows.length === 0) return [emptyRow(untilSeq - 1)];
      return rows.map((row) => (isWanted(row) ? row : emptyRow(row.seq)));
    },
    close: () => reader.close(),
  };
}

function rowOf({ id, type, at, source, text }: StoredLetter): JournalRow {
  const row = {
    seq: id,
    acceptedAt: at,
    source: source as Source,
    type: type as RecordType,
    records: 1,
    flags: undefined,
    tally: undefined,
  };
  try {
    return { ...row, text: unpackText(text), damage: undefined };
  } catch (error) {
    return { ...row, text: "", damage: error instanceof Error ? error.message : String(error) };
  }
}

function emptyRow(seq: number): JournalRow {
  const nothing = { text: "", flags: undefined, tally: undefined, damage: undefined };
  return { seq, acceptedAt: 0, source: "stream", records: 0, ...nothing };
}
