/** How far delivery has come, as it lies on disk: the sealed position, and what waits behind it. */
import type { DatabaseSync } from "node:sqlite";
import { seal, unseal } from "./pack.ts";
import { type LogCursor, startOfJournal } from "./types.ts";

/** The last committed position. @throws {DamagedBlob} */
export function readCursor(database: DatabaseSync): LogCursor {
  const row = database.prepare("SELECT value FROM cursor WHERE name = 'logs'").get() as { value: string } | undefined;
  return row === undefined ? startOfJournal : (JSON.parse(unseal(row.value)) as LogCursor);
}

/** Writes positions inside the caller's transaction. */
export function cursorWriter(database: DatabaseSync): (cursor: LogCursor) => void {
  const write = database.prepare(
    "INSERT INTO cursor (name, value) VALUES ('logs', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
  );
  return (cursor) => void write.run(seal(JSON.stringify(cursor)));
}

/** Records that are not answered: those of the rows from the cursor on, less the part of its own row that is. */
export function recordsFrom(database: DatabaseSync, cursor: LogCursor): number {
  const row = database
    .prepare("SELECT COALESCE(SUM(records), 0) AS records FROM journal WHERE seq >= ?")
    .get(cursor.seq) as { records: number };
  return row.records - cursor.record;
}
