/** Reads committed rows over a read-only connection of its own, in statements short enough that no log has to wait for them. */
import { DatabaseSync } from "node:sqlite";
import type { RecordType, Source } from "../records/types.ts";
import { DamagedBlob, unpackText } from "./pack.ts";
import type { JournalReader, JournalRow, Tally } from "./types.ts";

interface StoredRow {
  readonly seq: number;
  readonly accepted_at: number;
  readonly source: string;
  readonly type: string | null;
  readonly records: number;
  readonly body: Uint8Array | null;
  readonly flags: Uint8Array | null;
  readonly tally: Uint8Array | null;
}

/** Opens the journal at that path for reading. It must exist. */
export function openJournalReader(databasePath: string): JournalReader {
  const database = new DatabaseSync(databasePath, { readOnly: true });
  database.exec("PRAGMA busy_timeout = 2000");
  const next = database.prepare(
    "SELECT seq, accepted_at, source, type, records, body, flags, tally FROM journal WHERE seq >= ? ORDER BY seq LIMIT 1",
  );
  return {
    read(fromSeq, limit) {
      const rows: JournalRow[] = [];
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
    },
    close() {
      database.close();
    },
  };
}

function rowOf(stored: StoredRow): JournalRow {
  const row: JournalRow = {
    seq: stored.seq,
    acceptedAt: stored.accepted_at,
    source: stored.source as Source,
    ...(stored.type === null ? {} : { type: stored.type as RecordType }),
    records: stored.records,
    text: "",
    flags: stored.flags ?? undefined,
    tally: undefined,
    damage: undefined,
  };
  try {
    const text = stored.body === null ? "" : unpackText(stored.body);
    const tally = stored.tally === null ? undefined : (JSON.parse(unpackText(stored.tally)) as Tally);
    return { ...row, text, tally };
  } catch (error) {
    if (!(error instanceof DamagedBlob)) throw error;
    return { ...row, damage: error.message };
  }
}
