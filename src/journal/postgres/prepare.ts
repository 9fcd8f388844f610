/** Prepares a database: the schema with its tables, the journal's identity, and warnings; and inspects what a start would find there. */
import { setTimeout as delay } from "node:timers/promises";
import { Unavailable } from "../../errors.ts";
import type { Config } from "../../config/schema.ts";
import { type Logger, silentLogger } from "../../lib/logger.ts";
import type { JournalIdentity } from "../journal.ts";
import { newIdentity } from "../stored.ts";
import { type Connection, Database } from "./connection.ts";
import { DatabaseError } from "./errors.ts";
import { creation, quoted, renewal, schemaVersion } from "./schema.ts";

/** An object exists already, because another instance created it at the same time. */
const existing = /^(?:42P06|42P07|42710|42723|23505)$/;

/** How long a start waits for a database that is starting too. */
const startMs = 15_000;
const pauseMs = 250;

/** Timeout of statements that only inspect. */
const inspectionMs = 10_000;

interface Settings {
  readonly synchronousCommit: string;
  readonly fsync: string;
  readonly standbys: string;
}

/**
 * Creates what is missing, and waits for an unavailable database.
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

/** Created once by the first instance; created again, with a warning, if it was deleted. */
export async function ensureIdentity(
  connection: Connection,
  schema: string,
  now: number,
  logger: Logger,
): Promise<JournalIdentity> {
  const table = `${quoted(schema)}.state`;
  const insert = `INSERT INTO ${table} (name, value) VALUES ('identity', $1) ON CONFLICT DO NOTHING
    RETURNING (SELECT seq FROM ${quoted(schema)}.head)`;
  const [made] = await connection.query<{ seq: number }>(insert, [Buffer.from(JSON.stringify(newIdentity(now)))]);
  if (made !== undefined && made.seq > 0)
    logger.warn("the identity of the journal was missing: its series go on under another service.instance.id", {
      schema,
    });
  const [stored] = await connection.query<{ value: Uint8Array }>(`SELECT value FROM ${table} WHERE name = 'identity'`);
  return JSON.parse(new TextDecoder().decode(stored?.value)) as JournalIdentity;
}

/** Creates the schema and its tables, unless they exist. @throws {Unavailable} if the database cannot hold them. */
export async function makeTables(connection: Connection, schema: string): Promise<void> {
  const { hasSchema, isMade, encoding } = await placeOf(connection, schema);
  if (encoding !== "UTF8")
    throw new Unavailable(
      `the encoding of the database is ${encoding}: create one with ENCODING 'UTF8' TEMPLATE template0, and name it in state.url`,
    );
  if (isMade) return;
  try {
    await inTransaction(connection, creation(schema, hasSchema ? "schema exists" : "schema is new"));
  } catch (error) {
    if (!(error instanceof DatabaseError && existing.test(error.code ?? ""))) throw error;
  }
}

/** Runs a text that begins and commits a transaction. */
async function inTransaction(connection: Connection, text: string): Promise<void> {
  try {
    await connection.run([text]);
  } catch (error) {
    // The failed transaction is still open.
    await connection.run(["ROLLBACK"]).catch(() => undefined);
    throw error;
  }
}

export type DatabaseInspection =
  /** A start would create the tables. */
  | { readonly kind: "new"; readonly server: string }
  | { readonly kind: "ready"; readonly server: string; readonly rows: number; readonly members: number }
  | { readonly kind: "unusable"; readonly reason: string; readonly remedy?: string };

/** Reports what a start would find in the database. Nothing is written. */
export async function inspectDatabase({ state }: Pick<Config, "state">): Promise<DatabaseInspection> {
  const connection = new Database(state, silentLogger).connect(inspectionMs);
  try {
    const found = await placeOf(connection, state.schema);
    const server = `PostgreSQL ${found.server.replace(/ .*/, "")}`;
    if (found.encoding !== "UTF8")
      return unusable(
        `the encoding of the database is ${found.encoding}`,
        "Create one with ENCODING 'UTF8' TEMPLATE template0, and name it in state.url.",
      );
    if (!found.isMade)
      return found.mayCreate
        ? { kind: "new", server }
        : unusable(
            `the user may not create tables in the schema ${state.schema}`,
            "Grant the user CREATE on the database, or let it own the schema.",
          );
    const { version, seq, members, isMoving } = await headOf(connection, state.schema);
    if (isMoving)
      return unusable(
        `the schema ${state.schema} is being filled by tailscale2otel move`,
        "Run the same move again to finish it, or drop the schema to begin anew.",
      );
    if (version > schemaVersion)
      return unusable(
        `the schema ${state.schema} was written by a newer version (${version})`,
        "Install that version or a later one.",
      );
    return { kind: "ready", server, rows: seq, members };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    const isAway = error instanceof DatabaseError && error.kind === "away" && error.code === undefined;
    return unusable(error.message, isAway ? "Start the database, or correct the address in state.url." : undefined);
  } finally {
    connection.close();
  }
}

async function prepareOnce(connection: Connection, schema: string): Promise<void> {
  await makeTables(connection, schema);
  const { version, isMoving, isRenamed } = await headOf(connection, schema);
  if (version > schemaVersion)
    throw new Unavailable(
      `the schema ${schema} of the database was written by a newer version (schema ${version}, this program knows ${schemaVersion}): install that version or a later one`,
    );
  if (isMoving)
    throw new Unavailable(
      `the schema ${schema} is being filled by tailscale2otel move: run the same move again to finish it, or drop the schema to begin anew`,
    );
  if (version < schemaVersion)
    throw new Unavailable(
      `the schema ${schema} of the database is incomplete: restore it, or set another state.schema`,
    );
  if (isRenamed) await inTransaction(connection, renewal(schema));
}

interface Place {
  readonly server: string;
  readonly encoding: string;
  readonly hasSchema: boolean;
  readonly isMade: boolean;
  readonly mayCreate: boolean;
}

async function placeOf(connection: Connection, schema: string): Promise<Place> {
  const [place] = await connection.query<Place>(
    `SELECT current_setting('server_version') AS server, current_setting('server_encoding') AS encoding,
      to_regnamespace($1) IS NOT NULL AS "hasSchema", to_regclass($2) IS NOT NULL AS "isMade",
      CASE WHEN to_regnamespace($1) IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege($1::regnamespace, 'CREATE') END AS "mayCreate"`,
    [quoted(schema), `${quoted(schema)}.head`],
  );
  return place as Place;
}

interface Head {
  readonly version: number;
  readonly seq: number;
  readonly members: number;
  readonly isMoving: boolean;
  /** The functions look for the tables in a schema with another name. */
  readonly isRenamed: boolean;
}

/** Requires existing tables. */
async function headOf(connection: Connection, schema: string): Promise<Head> {
  const s = quoted(schema);
  const [head] = await connection.query<Head>(
    `SELECT version, seq, (SELECT COUNT(*) FROM ${s}.member) AS members,
      EXISTS (SELECT FROM ${s}.state WHERE name = 'moving') AS "isMoving",
      EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace($1) AND proname = 'fenced'
        AND NOT 'search_path=' || quote_ident($2) || ', pg_temp' = ANY (proconfig)) AS "isRenamed" FROM ${s}.head`,
    [s, schema],
  );
  return head ?? { version: 0, seq: 0, members: 0, isMoving: false, isRenamed: false };
}

function unusable(reason: string, remedy?: string): DatabaseInspection {
  return { kind: "unusable", reason, ...(remedy !== undefined && { remedy }) };
}

async function settingsOf(connection: Connection): Promise<Settings> {
  const [settings] = await connection.query<Settings>(
    `SELECT current_setting('synchronous_commit') AS "synchronousCommit", current_setting('fsync') AS fsync,
      current_setting('synchronous_standby_names') AS standbys`,
  );
  return settings as Settings;
}

function warnOfLosses({ synchronousCommit, fsync, standbys }: Settings, logger: Logger): void {
  const warn = (setting: string, event: string): void =>
    logger.warn(`${setting} in the database, so ${event} may lose records that were answered with 200. Set it to on.`);
  if (fsync === "off") warn("fsync is off", "a power failure");
  if (synchronousCommit === "off") warn("synchronous_commit is off", "a crash");
  if (synchronousCommit === "local" && standbys !== "") warn("synchronous_commit is local", "a failover");
}
