/** What rows hold, as readers in any thread get it: each over a connection of its own. */
import type { Source } from "../../records/types.ts";
import { silentLogger } from "../../lib/logger.ts";
import { Damaged, type Row, type RowHead, type Tally, unpackText } from "../batch.ts";
import { markOf, type StoredMark } from "../items.ts";
import type { JournalReader, QuarantineFilter } from "../journal.ts";
import { databasePrefix } from "../deps.ts";
import { primaryDestination } from "../journal.ts";
import { type Connection, createDatabase, type DatabaseSettings } from "./connection.ts";
import { quoted } from "./schema.ts";

/** A row inflates to no more: a part is cut at 1 MiB behind a record, and a record has at most 16 MiB. */
const maxLength = 32 * 1024 * 1024;

/** A reader's statement may take so long; it is asked for at most some megabytes. */
const limitMs = 20_000;

/** What a reader in another thread needs. It is plain data, and has the password. */
export type Location = Pick<DatabaseSettings, "url" | "tls"> & { readonly schema: string };

export interface StoredRow {
  readonly seq: number;
  readonly accepted_at: number;
  readonly records: number;
  readonly length: number;
  readonly source: string;
  readonly type: string;
  readonly tally: string | null;
  readonly left_out: Uint8Array | null;
  readonly body: Uint8Array | null;
}

export const rowColumns = "b.seq, b.accepted_at, b.records, b.length, b.source, b.type, b.tally, b.left_out, b.body";
export const markColumns =
  "id, seq, from_line, to_line, log_records, at, class, type, source, why, message, destination";

export function locationOf(location: Location): string {
  return databasePrefix + JSON.stringify(location);
}

/** Opens the journal at that location. `failed` is called with what a read throws, before it is thrown. */
export function openPostgresReader(
  location: string,
  failed: (error: unknown) => void = () => undefined,
): JournalReader {
  const { schema, ...settings } = JSON.parse(location.slice(databasePrefix.length)) as Location;
  const connection = createDatabase(settings, silentLogger).connect(limitMs, "reads");
  return readerOver(connection, quoted(schema), failed);
}

export function readerOver(connection: Connection, s: string, failed: (error: unknown) => void): JournalReader {
  const sql = {
    heads: `SELECT seq, accepted_at AS "acceptedAt", type, records FROM ${s}.batch WHERE seq >= $1 ORDER BY seq LIMIT $2`,
    // Lengths come first, so that no more text is fetched than was asked for.
    read: `SELECT ${rowColumns} FROM (
        SELECT seq, day, SUM(length) OVER (ORDER BY seq) - length AS before
        FROM (SELECT seq, day, length FROM ${s}.batch WHERE seq >= $1 ORDER BY seq LIMIT $2) h) h
      JOIN ${s}.batch b ON b.seq = h.seq AND b.day = h.day WHERE h.before < $3 ORDER BY b.seq`,
  };
  const watched = async <Result>(read: () => Promise<Result>): Promise<Result> => {
    try {
      return await read();
    } catch (error) {
      failed(error);
      throw error;
    }
  };
  return {
    heads: (fromSeq, rows) => watched(() => connection.query<RowHead>(sql.heads, [fromSeq, rows])),
    read: (fromSeq, { rows, bytes }) =>
      watched(async () => {
        const found = await connection.query<StoredRow>(sql.read, [fromSeq, rows, bytes]);
        return found.map(rowOf);
      }),
    marks: (filter, { afterId, marks }) =>
      watched(async () => {
        const { where, values } = conditionOf(filter);
        const [after, limit] = [values.length + 1, values.length + 2];
        const text = `SELECT ${markColumns} FROM ${s}.mark WHERE ${where} AND id > $${after} ORDER BY id LIMIT $${limit}`;
        return (await connection.query<StoredMark>(text, [...values, afterId, marks])).map(markOf);
      }),
    close: () => connection.close(),
  };
}

/** The text of a stored row. @throws {Damaged} if it is not what was written. */
export function textOf({ length, body }: Pick<StoredRow, "length" | "body">): Uint8Array {
  if (length > maxLength) throw new Damaged(`its text has ${length} bytes`);
  return body === null ? new Uint8Array() : unpackText(body, length);
}

function rowOf(stored: StoredRow): Row {
  const { seq, accepted_at: acceptedAt, source, records, tally, left_out: leftOut } = stored;
  const type = stored.type as Row["type"];
  const row = { seq, acceptedAt, source: source as Source, type, records };
  try {
    const parsed = tally === null ? undefined : (JSON.parse(tally) as Tally);
    return { ...row, text: textOf(stored), leftOut: leftOut ?? undefined, tally: parsed, damage: undefined };
  } catch (error) {
    const damage = error instanceof Damaged ? error.message : "its tally is not what was written";
    return { ...row, text: new Uint8Array(), leftOut: undefined, tally: undefined, damage };
  }
}

/** The filter as a condition of SQL on `mark`, with places from $1 on. */
export function conditionOf({ ids, class: itemClass, reason, type, before, destination }: QuarantineFilter) {
  const given: readonly (readonly [sql: string, value: unknown])[] = [
    ["('m' || id) IN (SELECT json_array_elements_text(?::json))", ids && JSON.stringify(ids)],
    ["class = ?", itemClass],
    ["why = ?", reason],
    ["type = ?", type],
    ["at < ?", before],
    [`COALESCE(destination, '${primaryDestination}') = ?`, destination],
  ];
  const conditions = given.filter(([, value]) => value !== undefined);
  return {
    where: ["TRUE", ...conditions.map(([sql], n) => sql.replace("?", `$${n + 1}`))].join(" AND "),
    values: conditions.map(([, value]) => value),
  };
}
