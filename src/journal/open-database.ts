/** Opens the database of a state directory. A damaged one is set aside and what can be read of it is salvaged: it always starts. */
import { chmodSync, existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { Logger } from "../lib/logger.ts";
import { checkFiles, checkStructure, isDamage } from "./damage.ts";
import { salvage } from "./salvage.ts";
import type { StorageOptions } from "./schema.ts";
import { lastWrittenAt, type SetAside, setAside, unfinishedSetAside } from "./set-aside.ts";

/**
 * What `use` makes of the opened database. When it finds damage, it is called once more with what was salvaged.
 * @throws whatever `use` throws that is not damage.
 */
export function openDatabase<Used>(
  databasePath: string,
  storage: StorageOptions,
  logger: Logger,
  use: (database: DatabaseSync) => Used,
): Used {
  const unfinished = unfinishedSetAside(databasePath);
  if (unfinished !== undefined) replace(unfinished, "a start was interrupted while it was set aside", storage, logger);
  /** Opening it makes a new log. */
  const writtenAt = lastWrittenAt(databasePath);
  try {
    checkFiles(databasePath);
    return open(databasePath, use);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    replace(setAside(databasePath, { now: storage.createdAt, writtenAt }), reason, storage, logger);
    return open(databasePath, use);
  }
}

function open<Used>(databasePath: string, use: (database: DatabaseSync) => Used): Used {
  const isNew = !existsSync(databasePath);
  const database = new DatabaseSync(databasePath);
  try {
    /** Before there is a write-ahead log, which takes over the mode. */
    chmodSync(databasePath, 0o600);
    if (!isNew) checkStructure(database);
    return use(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

function replace(aside: SetAside, reason: string, storage: StorageOptions, logger: Logger): void {
  const { directory, databasePath, salvagedPath, writtenAt } = aside;
  const saved = salvage(databasePath, salvagedPath, { ...storage, writtenAt });
  aside.finish();
  logger.error("the journal was damaged: it is set aside, and what could be read of it is in a new one", {
    reason,
    directory,
    rows: saved.rows,
    lost_rows: saved.lostRows ?? "unknown",
    key_rows: saved.keyRows,
    quarantined: saved.quarantined,
    delivery_position: saved.hasCursor ? "kept" : "lost: what is left is delivered again",
    counters: saved.hasLedger ? "kept" : "lost: all series begin anew",
  });
}
