/** Opens the database of a state directory. A damaged one is set aside whole, and what can be read of it is taken over: it always starts. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { syncDirectory } from "../../lib/sync-directory.ts";
import type { Logger } from "../../lib/logger.ts";
import { databaseName } from "../state-directory.ts";
import { Damaged, reasonOf } from "../packing.ts";
import { checkFiles, damageMark, isDamage } from "./damage.ts";
import { type Salvage, salvage } from "./salvage.ts";
import type { StorageOptions } from "./schema.ts";

/** There while the directory it lies in is not finished. */
const marker = "unfinished";

const prefix = "damaged-";

/** The log first: a database without its log would be taken for a sound older one. The database last: it says that all is moved. */
const suffixes = ["-wal", "-shm", damageMark, ""];

/**
 * What `use` makes of the opened database. If it finds damage, it is called again with what was salvaged.
 * @throws whatever `use` throws that is not damage.
 */
export function openDatabase<Used>(
  databasePath: string,
  storage: StorageOptions,
  logger: Logger,
  use: (database: DatabaseSync) => Used,
): Used {
  const interrupted = unfinished(databasePath);
  if (interrupted !== undefined)
    replace(interrupted, databasePath, "a start was interrupted while it was set aside", storage, logger);
  /** Opening it makes a new log. */
  const writtenAt = lastWrittenAt(databasePath);
  try {
    checkFiles(databasePath);
    if (existsSync(rescuedPath(databasePath))) throw new Damaged("what could still be read of it was saved");
    return open(databasePath, use);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const aside = setAside(databasePath, storage.now, writtenAt);
    replace(aside, databasePath, reasonOf(error), storage, logger);
    return open(databasePath, use);
  }
}

/**
 * Saves what an open connection can still read, for the next start to take over. For files that somebody has deleted or cut:
 * the connection may hold what no file has any more.
 * @throws {Error} if it cannot be written.
 */
export function rescue(database: DatabaseSync, databasePath: string, storage: StorageOptions): Salvage {
  const path = rescuedPath(databasePath);
  const saved = salvage(database, `${path}.part`, { ...storage, writtenAt: storage.now });
  renameSync(`${path}.part`, path);
  syncDirectory(dirname(path));
  return saved;
}

interface Aside {
  readonly directory: string;
  /** When the damaged database was written last, epoch milliseconds. */
  readonly writtenAt: number;
}

function rescuedPath(databasePath: string): string {
  return join(dirname(databasePath), "rescued.db");
}

function open<Used>(databasePath: string, use: (database: DatabaseSync) => Used): Used {
  const database = new DatabaseSync(databasePath);
  try {
    /** Before there is a write-ahead log, which takes over the mode. */
    chmodSync(databasePath, 0o600);
    return use(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** When a database, or its log, was written last; epoch milliseconds, 0 if there is none. */
function lastWrittenAt(databasePath: string): number {
  const times = [databasePath, `${databasePath}-wal`].map(
    (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return Math.max(...times);
}

function setAside(databasePath: string, now: number, writtenAt: number): Aside {
  const state = dirname(databasePath);
  const name = `${prefix}${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`;
  let directory = join(state, name);
  for (let again = 2; existsSync(directory); again++) directory = join(state, `${name}-${again}`);
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, marker), String(writtenAt));
  moveInto(directory, databasePath);
  return { directory, writtenAt };
}

/** What a kill has interrupted, if anything. */
function unfinished(databasePath: string): Aside | undefined {
  const state = dirname(databasePath);
  const found = readdirSync(state).find((name) => name.startsWith(prefix) && existsSync(join(state, name, marker)));
  if (found === undefined) return undefined;
  const directory = join(state, found);
  /** What was salvaged is in its place already. */
  if (existsSync(join(directory, databaseName)) && existsSync(databasePath)) {
    rmSync(join(directory, marker));
    return undefined;
  }
  /** A marker that a kill has left empty says nothing. */
  const written = Number(readFileSync(join(directory, marker), "utf8"));
  const moved = lastWrittenAt(join(directory, databaseName));
  moveInto(directory, databasePath);
  return { directory, writtenAt: written || Math.max(moved, lastWrittenAt(join(directory, databaseName))) };
}

function moveInto(directory: string, databasePath: string): void {
  for (const suffix of suffixes) {
    const from = `${databasePath}${suffix}`;
    if (existsSync(from)) renameSync(from, join(directory, `${databaseName}${suffix}`));
  }
  syncDirectory(directory);
  syncDirectory(dirname(databasePath));
}

/** Puts what was rescued, or can be salvaged, in the place of the damaged database. */
function replace(
  { directory, writtenAt }: Aside,
  databasePath: string,
  reason: string,
  storage: StorageOptions,
  logger: Logger,
): void {
  const message = "the journal was damaged: it is set aside, and what could be read of it is in a new one";
  if (existsSync(rescuedPath(databasePath))) {
    renameSync(rescuedPath(databasePath), databasePath);
    logger.error(message, { reason, directory, from: "what the process before could still read" });
  } else {
    const salvagedPath = join(dirname(databasePath), "salvaged.db");
    const from = openDamaged(join(directory, databaseName));
    let saved: Salvage;
    try {
      saved = salvage(from, salvagedPath, { ...storage, writtenAt });
    } finally {
      from?.close();
    }
    renameSync(salvagedPath, databasePath);
    logger.error(message, { reason, directory, ...fieldsOf(saved) });
  }
  syncDirectory(dirname(databasePath));
  rmSync(join(directory, marker));
}

/** What was saved, as fields of a log line. */
export function fieldsOf(saved: Salvage): Readonly<Record<string, string | number>> {
  return {
    rows: saved.rows,
    lost_rows: saved.lostRows ?? "unknown",
    key_rows: saved.keyRows,
    marks: saved.marks,
    quarantined: saved.quarantined,
    delivery_position: saved.hasCursor ? "kept" : "lost: what is left is delivered again",
    counters: saved.hasSnapshot ? "kept" : "lost: all series begin anew",
  };
}

/** Read-only, so that nothing of it changes. SQLite would delete the log of an empty one all the same. */
function openDamaged(path: string): DatabaseSync | undefined {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0) return undefined;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    database.prepare("SELECT COUNT(*) FROM sqlite_schema").get();
    return database;
  } catch {
    database?.close();
    return undefined;
  }
}
