/** What a start would find in a database: looks without writing anything. */
import { Unavailable } from "../../errors.ts";
import type { Config } from "../../config/schema.ts";
import { silentLogger } from "../../lib/logger.ts";
import { Database } from "./connection.ts";
import { DatabaseError } from "./errors.ts";
import { quoted, schemaVersion } from "./schema.ts";

export type DatabaseInspection =
  /** A start would create the tables. */
  | { readonly kind: "new"; readonly server: string }
  | { readonly kind: "ready"; readonly server: string; readonly rows: number; readonly members: number }
  | { readonly kind: "unusable"; readonly reason: string; readonly remedy?: string };

const limitMs = 10_000;

export async function inspectDatabase({ state }: Pick<Config, "state">): Promise<DatabaseInspection> {
  const s = quoted(state.schema);
  const connection = new Database(state, silentLogger).connect(limitMs);
  const ask = async <Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row> =>
    (await connection.query<Row>(sql, values))[0] as Row;
  try {
    const found = await ask<{ server: string; isMade: boolean; mayCreate: boolean }>(
      `SELECT current_setting('server_version') AS server, to_regclass($2) IS NOT NULL AS "isMade",
        CASE WHEN to_regnamespace($1) IS NULL THEN has_database_privilege(current_database(), 'CREATE')
          ELSE has_schema_privilege($1::regnamespace, 'CREATE') END AS "mayCreate"`,
      [s, `${s}.head`],
    );
    const server = `PostgreSQL ${found.server.replace(/ .*/, "")}`;
    if (!found.isMade)
      return found.mayCreate
        ? { kind: "new", server }
        : unusable(
            `the user may not create tables in the schema ${state.schema}`,
            "Grant the user CREATE on the database, or let it own the schema.",
          );
    const { version, seq, members, isMoving } = await ask<{
      version: number;
      seq: number;
      members: number;
      isMoving: boolean;
    }>(
      `SELECT version, seq, (SELECT COUNT(*) FROM ${s}.member) AS members,
        EXISTS (SELECT FROM ${s}.state WHERE name = 'moving') AS "isMoving" FROM ${s}.head`,
    );
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

function unusable(reason: string, remedy?: string): DatabaseInspection {
  return { kind: "unusable", reason, ...(remedy !== undefined && { remedy }) };
}
