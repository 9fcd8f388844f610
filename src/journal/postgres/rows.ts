/** Reads the contents of rows for readers in any thread, each over its own connection. */
import { setTimeout as delay } from "node:timers/promises";
import { silentLogger } from "../../lib/logger.ts";
import { type RowHead, rowOf, type StoredBatch } from "../batch.ts";
import { conditionOf, markColumns, markOf, type MarkTable, type SqlValue, type StoredMark } from "../items.ts";
import type { JournalReader } from "../journal.ts";
import { databasePrefix } from "../deps.ts";
import type { DatabaseSettings } from "./client.ts";
import { type Connection, Database } from "./connection.ts";
import { DatabaseError } from "./errors.ts";
import { quoted } from "./schema.ts";

/** Timeout of a reader's statement, which asks for a few megabytes at most. */
const limitMs = 20_000;

/** What a reader in another thread needs: plain data, including the password. */
export type Location = Pick<DatabaseSettings, "url" | "tls"> & { readonly schema: string };

const rowColumns = "b.seq, b.accepted_at, b.records, b.length, b.source, b.type, b.tally, b.left_out, b.body";
export function locationOf(location: Location): string {
  return databasePrefix + JSON.stringify(location);
}

/** Opens the journal at `location`. `waits`: a read waits for a database that cannot be used until the reader is closed. */
export function openPostgresReader(location: string, whileAway: "fails" | "waits" = "fails"): JournalReader {
  const { schema, ...settings } = JSON.parse(location.slice(databasePrefix.length)) as Location;
  const failing = new Database(settings, silentLogger).connect(limitMs, "reads");
  const connection = whileAway === "waits" ? waiting(failing) : failing;
  const s = quoted(schema);
  const table = markTable(connection, s);
  const sql = {
    heads: `SELECT seq, accepted_at AS "acceptedAt", type, records FROM ${s}.batch WHERE seq >= $1 ORDER BY seq LIMIT $2`,
    // Lengths come first, so that no more text is fetched than requested.
    read: `SELECT ${rowColumns} FROM (
        SELECT seq, day, SUM(length) OVER (ORDER BY seq) - length AS before
        FROM (SELECT seq, day, length FROM ${s}.batch WHERE seq >= $1 ORDER BY seq LIMIT $2) h) h
      JOIN ${s}.batch b ON b.seq = h.seq AND b.day = h.day WHERE h.before < $3 ORDER BY b.seq`,
  };
  return {
    heads: (fromSeq, rows) => connection.query<RowHead>(sql.heads, [fromSeq, rows]),
    async read(fromSeq, { rows, bytes }) {
      const found = await connection.query<StoredBatch>(sql.read, [fromSeq, rows, bytes]);
      return found.map((stored) => rowOf(stored));
    },
    async marks(filter, { afterId, marks }) {
      const { where, values } = conditionOf(filter, table);
      const found = await table.marks(`WHERE ${where} AND id > ? ORDER BY id LIMIT ?`, [...values, afterId, marks]);
      return found.map(markOf);
    },
    close: () => connection.close(),
  };
}

/** Pause between retries of a read while the database cannot be used. */
const pauseMs = 250;

function waiting(connection: Connection): Pick<Connection, "query" | "close"> {
  let isClosed = false;
  return {
    async query(...given) {
      for (;;) {
        try {
          return await connection.query(...given);
        } catch (error) {
          if (isClosed || !(error instanceof DatabaseError) || error.kind === "statement") throw error;
          await delay(pauseMs);
        }
      }
    },
    close() {
      isClosed = true;
      connection.close();
    },
  };
}

/** The table of marks of a schema, which is quoted. */
export function markTable(connection: Pick<Connection, "query">, schema: string): MarkTable {
  const query = <Row extends object>(columns: string, rest: string, values: readonly SqlValue[]): Promise<Row[]> => {
    let place = 0;
    const numbered = rest.replaceAll("?", () => `$${++place}`);
    return connection.query<Row>(`SELECT ${columns} FROM ${schema}.mark ${numbered}`, values);
  };
  return {
    listed: "SELECT json_array_elements_text(?::json)",
    query,
    marks: (rest, values) => query<StoredMark>(markColumns, rest, values),
  };
}
