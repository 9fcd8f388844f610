/** Reads committed rows over a read-only connection of its own, in statements short enough that no log has to wait for them. */
import { DatabaseSync } from "node:sqlite";
import { recordTypes, type RecordType, type Source } from "../records/types.ts";
import { DamagedBlob, unpackText } from "./pack.ts";
import type { JournalReader, JournalRow, Tally } from "./types.ts";

/** As it lies in the table. */
export interface StoredRow {
  readonly seq: number;
  readonly accepted_at: number;
  readonly source: string;
  readonly type: string | null;
  readonly records: number;
  readonly body: Uint8Array | null;
  readonly flags: Uint8Array | null;
  readonly tally: Uint8Array | null;
}

/** Opens the journal at that path for reading. It must exist. `failed` is told of what SQLite throws, before the caller is. */
export function openJournalReader(
  databasePath: string,
  failed: (error: unknown) => void = () => undefined,
): JournalReader {
  try {
    return watched(openPlainReader(databasePath), failed);
  } catch (error) {
    failed(error);
    throw error;
  }
}

function openPlainReader(databasePath: string): JournalReader {
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

function watched(reader: JournalReader, failed: (error: unknown) => void): JournalReader {
  return {
    ...reader,
    read(fromSeq, limit) {
      try {
        return reader.read(fromSeq, limit);
      } catch (error) {
        failed(error);
        throw error;
      }
    },
  };
}

/** The row that is stored, or what is wrong with it: its columns have no checksum, so they must fit what the body says. */
export function rowOf(stored: StoredRow): JournalRow {
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
    checkColumns(stored, text);
    const tally = stored.tally === null ? undefined : (JSON.parse(unpackText(stored.tally)) as Tally);
    return { ...row, text, tally };
  } catch (error) {
    if (!(error instanceof DamagedBlob)) throw error;
    return { ...row, damage: error.message };
  }
}

const sources: readonly string[] = ["stream", "webhook", "poll"] satisfies readonly Source[];
const types: readonly string[] = recordTypes;

/** Whether both words are ones that were ever written. */
export function isOfKnownKind(source: string, type: string | null): boolean {
  return sources.includes(source) && (type === null || types.includes(type));
}

function checkColumns({ source, type, records }: StoredRow, text: string): void {
  if (!isOfKnownKind(source, type)) throw new DamagedBlob("is of no known kind");
  if (records !== linesIn(text)) throw new DamagedBlob(`holds ${linesIn(text)} records instead of ${records}`);
}

function linesIn(text: string): number {
  if (text === "") return 0;
  let lines = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}
