/** The journal's public interface: its types and functions to open one. Other modules import only this file. */
import { databasePrefix, type JournalConfig, type JournalDeps } from "./deps.ts";
import type { AppendingJournal, JournalReader } from "./journal.ts";
import type { moveJournal as MoveJournal } from "./move/index.ts";
import { takeStateDirectory } from "./sqlite/directory.ts";
import { inspectJournal } from "./sqlite/inspection.ts";
import { openSqliteReader } from "./sqlite/rows.ts";
import type { inspectDatabase as InspectDatabase } from "./postgres/prepare.ts";

export * from "./batch.ts";
export type * from "./deps.ts";
export * from "./journal.ts";
export { isDamage } from "./sqlite/errors.ts";
export { inspectJournal } from "./sqlite/inspection.ts";

/**
 * Opens or creates the journal that the settings name. Engines are loaded on demand, so threads and commands that only read a
 * journal do not load them.
 * @throws {Unavailable} if it cannot be used; the message says what to do.
 */
export async function openJournal(config: JournalConfig, deps: JournalDeps): Promise<AppendingJournal> {
  if (config.state.url !== "") {
    const { path } = config.state;
    if (inspectJournal(path).kind === "ready")
      deps.logger.warn(
        `${path} holds a journal of its own, of which nothing is delivered while state.url is set: stop all instances and run tailscale2otel move, or delete journal.db if nobody needs it`,
      );
    // The state directory is locked anyway, because local files such as the instance file belong to this process alone.
    const directory = takeStateDirectory(path);
    const postgres = await import("./postgres/index.ts");
    return postgres.openPostgresJournal(config, deps, () => directory.release());
  }
  const sqlite = await import("./sqlite/index.ts");
  return sqlite.openSqliteJournal(config, deps);
}

/**
 * Opens the journal at `location` for reading, in any thread. `onFailure` is called with an error from reading files before it is
 * thrown, because damage must be reported to the journal itself (`damaged`). Reads wait while a database cannot be used.
 */
export function openReader(location: string, onFailure?: (error: unknown) => void): JournalReader {
  if (!location.startsWith(databasePrefix)) return openSqliteReader(location, onFailure);
  const opening = import("./postgres/rows.ts").then((rows) => rows.openPostgresReader(location, "waits"));
  return {
    read: async (...given) => (await opening).read(...given),
    heads: async (...given) => (await opening).heads(...given),
    marks: async (...given) => (await opening).marks(...given),
    close: () => void opening.then((reader) => reader.close()),
  };
}

/** Reports what a start would find in the configured database. Its client is not loaded before. */
export async function inspectDatabase(
  ...given: Parameters<typeof InspectDatabase>
): ReturnType<typeof InspectDatabase> {
  const found = await import("./postgres/prepare.ts");
  return found.inspectDatabase(...given);
}

export type { Move, MoveProgress, Sums } from "./move/index.ts";

/** Copies a SQLite journal to PostgreSQL. Its code is not loaded before. */
export async function moveJournal(...given: Parameters<typeof MoveJournal>): ReturnType<typeof MoveJournal> {
  const move = await import("./move/index.ts");
  return move.moveJournal(...given);
}
