/** Makes a database ready: the schema with its tables, the journal's identity, and a warning if it keeps less than it is trusted with. */
import { setTimeout as delay } from "node:timers/promises";
import { Unavailable } from "../../errors.ts";
import type { Logger } from "../../lib/logger.ts";
import type { JournalIdentity } from "../journal.ts";
import { newIdentity } from "../stored.ts";
import type { Connection } from "./connection.ts";
import { DatabaseError } from "./errors.ts";
import { creation, quoted, schemaVersion } from "./schema.ts";

/** Something exists already: another instance has created it at the same time. */
const existing = /^(?:42P06|42P07|42710|42723|23505)$/;

/** How long a start waits for a database that starts too. */
const startMs = 15_000;
const pauseMs = 250;

interface Settings {
  readonly synchronousCommit: string;
  readonly fsync: string;
  readonly standbys: string;
}

/**
 * Creates what is missing, and waits for a database that is away.
 * @throws {Unavailable} if it cannot be used; the message says what to do.
 */
export async function prepareSchema(connection: Connection, schema: string, logger: Logger): Promise<void> {
  const startedAt = performance.now();
  for (;;) {
    try {
      await prepareOnce(connection, schema);
      return warnOfLosses(await settingsOf(connection), logger);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      const isAway = error.kind === "away" || error.kind === "conflict";
      if (!isAway) throw error;
      if (performance.now() - startedAt > startMs)
        throw new Unavailable(`${error.message}. Start it, or correct the address in state.url.`);
      await delay(pauseMs);
    }
  }
}

/** Made once by whoever is first. */
export async function ensureIdentity(connection: Connection, schema: string, now: number): Promise<JournalIdentity> {
  const table = `${quoted(schema)}.state`;
  const insert = `INSERT INTO ${table} (name, value) VALUES ('identity', $1) ON CONFLICT DO NOTHING`;
  await connection.query(insert, [Buffer.from(JSON.stringify(newIdentity(now)))]);
  const [stored] = await connection.query<{ value: Uint8Array }>(`SELECT value FROM ${table} WHERE name = 'identity'`);
  return JSON.parse(new TextDecoder().decode(stored?.value)) as JournalIdentity;
}

async function prepareOnce(connection: Connection, schema: string): Promise<void> {
  const found = `SELECT to_regnamespace($1) IS NOT NULL AS "hasSchema", to_regclass($2) IS NOT NULL AS "isMade",
    current_setting('server_encoding') AS encoding`;
  const names = [quoted(schema), `${quoted(schema)}.head`];
  const [place] = await connection.query<{ hasSchema: boolean; isMade: boolean; encoding: string }>(found, names);
  const { hasSchema, isMade, encoding } = place as NonNullable<typeof place>;
  if (encoding !== "UTF8")
    throw new Unavailable(
      `the encoding of the database is ${encoding}: create one with ENCODING 'UTF8' TEMPLATE template0, and name it in state.url`,
    );
  if (!isMade) {
    try {
      await connection.run([creation(schema, hasSchema ? "schema exists" : "schema is new")]);
    } catch (error) {
      // The transaction of the text has failed; it is still open.
      await connection.run(["ROLLBACK"]).catch(() => undefined);
      if (!(error instanceof DatabaseError && existing.test(error.code ?? ""))) throw error;
    }
  }
  const s = quoted(schema);
  const [head] = await connection.query<{ version: number; isFilled: boolean }>(
    `SELECT version, EXISTS (SELECT FROM ${s}.state WHERE name = 'moving') AS "isFilled" FROM ${s}.head`,
  );
  const version = head?.version ?? 0;
  if (version > schemaVersion)
    throw new Unavailable(
      `the schema ${schema} of the database was written by a newer version (schema ${version}, this program knows ${schemaVersion}): install that version or a later one`,
    );
  if (head?.isFilled === true)
    throw new Unavailable(
      `the schema ${schema} is being filled by tailscale2otel move: run the same move again to finish it, or drop the schema to begin anew`,
    );
  if (version < schemaVersion)
    throw new Unavailable(
      `the schema ${schema} of the database is incomplete: restore it, or set another state.schema`,
    );
}

async function settingsOf(connection: Connection): Promise<Settings> {
  const [settings] = await connection.query<Settings>(
    `SELECT current_setting('synchronous_commit') AS "synchronousCommit", current_setting('fsync') AS fsync,
      current_setting('synchronous_standby_names') AS standbys`,
  );
  return settings as Settings;
}

function warnOfLosses({ synchronousCommit, fsync, standbys }: Settings, logger: Logger): void {
  const warn = (message: string): void => logger.warn(`${message}, so records that were answered with 200 may be lost`);
  if (fsync === "off") warn("fsync is off in the database: a power failure can destroy it");
  if (synchronousCommit === "off")
    warn("synchronous_commit is off in the database: a crash loses the last commits; set it to on");
  if (synchronousCommit === "local" && standbys !== "")
    warn("synchronous_commit is local in the database: a failover loses the last commits; set it to on");
}
