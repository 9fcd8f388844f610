/**
 * Damage: how it is told from other trouble, what follows when SQLite finds it or somebody touches the files, and how a start
 * gets over it. What can be read of the database is saved beside it first; then its files are set aside, and what was saved
 * takes their place. It always starts, whenever it is killed meanwhile.
 */
import { existsSync, mkdirSync, renameSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { syncDirectory } from "../../lib/sync-directory.ts";
import { checkFiles, damageMark } from "../inspection.ts";
import { Damaged, reasonOf } from "../packing.ts";
import { type Ballast, createPrivately, databaseName } from "./directory.ts";
import { rescuedPath, type Salvage, salvage } from "./salvage.ts";
import { type StorageOptions, walLimitBytes } from "./schema.ts";

const sqliteError = 1;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;

/** Whether an error means damage: not I/O error, full, busy or no permission. */
export function isDamage(error: unknown): boolean {
  if (error instanceof Damaged) return true;
  if (!(error instanceof Error)) return false;
  /** A number that JavaScript cannot hold was never written. */
  if ("code" in error && error.code === "ERR_OUT_OF_RANGE") return true;
  const code = primaryCode(error);
  /** A table or column whose name in the schema is damaged is not found. */
  if (code === sqliteError) return /^no such (table|column)/.test(error.message);
  return code === sqliteCorrupt || code === sqliteNotADatabase;
}

function primaryCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}

/** The log first: a database without its log would be taken for a sound older one. */
const suffixes = ["-wal", "-shm", "", damageMark];

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
  let reason = "the process before has saved what it could still read";
  let saved: Salvage | undefined;
  if (!existsSync(rescuedPath(databasePath))) {
    /** Opening it makes a new log. */
    const writtenAt = lastWrittenAt(databasePath);
    try {
      checkFiles(databasePath);
      return open(databasePath, use);
    } catch (error) {
      if (!isDamage(error)) throw error;
      reason = reasonOf(error);
    }
    markDamaged(databasePath, reason, writtenAt);
    const from = openDamaged(databasePath);
    try {
      saved = salvage(from, databasePath, { ...storage, writtenAt });
    } finally {
      from.close();
    }
  }
  const directory = setAside(databasePath, storage.now);
  renameSync(rescuedPath(databasePath), databasePath);
  syncDirectory(dirname(databasePath));
  const message = "the journal was damaged: it is set aside, and what could be read of it is in a new one";
  logger.error(message, { reason, directory, ...saved });
  return open(databasePath, use);
}

function open<Used>(databasePath: string, use: (database: DatabaseSync) => Used): Used {
  /** The write-ahead log gets its mode. */
  createPrivately(databasePath);
  const database = new DatabaseSync(databasePath);
  try {
    return use(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** When a database, or its log, was written last; epoch milliseconds. The mark keeps it over starts that were interrupted. */
function lastWrittenAt(databasePath: string): number {
  const [marked, ...files] = [damageMark, "", "-wal"].map(
    (suffix) => statSync(`${databasePath}${suffix}`, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return marked || Math.max(...files);
}

/** Moves all its files into a directory of their own. */
function setAside(databasePath: string, now: number): string {
  const name = `damaged-${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`;
  const first = join(dirname(databasePath), name);
  let directory = first;
  for (let again = 2; existsSync(directory); again++) directory = `${first}-${again}`;
  mkdirSync(directory, { mode: 0o700 });
  for (const suffix of suffixes) {
    const from = `${databasePath}${suffix}`;
    if (existsSync(from)) renameSync(from, join(directory, `${databaseName}${suffix}`));
  }
  syncDirectory(directory);
  syncDirectory(dirname(databasePath));
  return directory;
}

/**
 * Read-only, so that nothing of it changes; an empty one stands for one that does not open. SQLite would delete the log of an
 * empty file all the same.
 */
function openDamaged(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0) {
      database = new DatabaseSync(path, { readOnly: true });
      database.prepare("SELECT COUNT(*) FROM sqlite_schema").get();
      return database;
    }
  } catch {
    database?.close();
  }
  return new DatabaseSync(":memory:");
}

/**
 * Watches the files of an open database: SQLite goes on writing to a file that was deleted or replaced, and what is accepted
 * then would be gone at the next start. Two `stat` and a pragma: about 10 µs. Files are never opened here, since closing
 * one would drop SQLite's locks on it.
 */
export class FileWatch {
  readonly #path: string;
  readonly #dataVersion: StatementSync;
  readonly #version: number;
  readonly #databaseFile: number;
  readonly #logFile: number;
  #databaseBytes = 0;
  #logBytes = 0;
  #shrinksTo = Number.POSITIVE_INFINITY;

  /** After the first transaction: then the write-ahead log is there. */
  constructor(database: DatabaseSync, databasePath: string) {
    this.#path = databasePath;
    this.#dataVersion = database.prepare("PRAGMA data_version");
    this.#version = this.#readVersion();
    this.#databaseFile = statSync(databasePath).ino;
    this.#logFile = statSync(`${databasePath}-wal`).ino;
    this.check();
  }

  /** Size of the write-ahead log when it was last looked at. */
  get logBytes(): number {
    return this.#logBytes;
  }

  /** What somebody did to the files, if anything. `isWhole`: they are as they should be. */
  check(): { readonly reason: string; readonly isWhole: boolean } | undefined {
    const path = this.#path;
    const file = statSync(path, { throwIfNoEntry: false });
    if (file?.ino !== this.#databaseFile) return { reason: `${path} is gone or has been replaced`, isWhole: false };
    if (file.size < Math.min(this.#databaseBytes, this.#shrinksTo))
      return { reason: `${path} has been cut short`, isWhole: false };
    const log = statSync(`${path}-wal`, { throwIfNoEntry: false });
    if (log?.ino !== this.#logFile) return { reason: `${path}-wal is gone or has been replaced`, isWhole: false };
    /** SQLite itself cuts a longer one back to the limit. */
    if (log.size < Math.min(this.#logBytes, walLimitBytes))
      return { reason: `${path}-wal has been cut short`, isWhole: false };
    this.#databaseBytes = file.size;
    this.#logBytes = log.size;
    if (this.#readVersion() === this.#version) return undefined;
    return { reason: `another process writes to ${path}: only one may use a state directory`, isWhole: true };
  }

  /** Pages were given back: until the log is cut, some checkpoint makes the database's file that small by our own doing. */
  vacuumed(bytes: number): void {
    this.#shrinksTo = Math.min(this.#shrinksTo, bytes);
  }

  /** We have written the log into the database and cut it. */
  logCut(): void {
    this.#databaseBytes = 0;
    this.#logBytes = 0;
    this.#shrinksTo = Number.POSITIVE_INFINITY;
  }

  #readVersion(): number {
    return (this.#dataVersion.get() as { data_version: number }).data_version;
  }
}

export interface HealthDeps {
  readonly database: DatabaseSync;
  readonly databasePath: string;
  readonly storage: StorageOptions;
  readonly watch: FileWatch;
  readonly ballast: Ballast;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Called once, when the database must not be written any more. */
  readonly onDamage: () => void;
}

export class Health {
  readonly #deps: HealthDeps;
  #stopped: string | undefined;
  #isClosed = false;
  #failure: string | undefined;

  constructor(deps: HealthDeps) {
    this.#deps = deps;
  }

  /** Why nothing is written now: the last write failed, and not for want of space. Until one works nothing is promised. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** A write has worked. */
  worked(): void {
    this.#failure = undefined;
  }

  /** From now on the files may be those of another process: nothing looks at them, or writes beside them. */
  close(): void {
    this.#isClosed = true;
    this.#stopped ??= "the journal is closed";
  }

  /** Why the database must never be written again, if so: what was committed there would be lost. Looks at its files. */
  unfit(): string | undefined {
    if (this.#stopped !== undefined) return this.#stopped;
    const found = this.#deps.watch.check();
    if (found === undefined) return undefined;
    const { reason, isWhole } = found;
    this.#stopped = reason;
    const saved = isWhole ? "all of it is in the database" : this.#rescue(reason);
    const message =
      "the journal's files were changed by another process: nothing is accepted any more; stop that process, then start again";
    this.#deps.logger.error(message, { reason, saved });
    this.#deps.onDamage();
    return reason;
  }

  /** To be told of every error of the database. Never throws. */
  failed(error: unknown): void {
    const { logger, databasePath: path, ballast, clock } = this.#deps;
    if (this.#isClosed) return;
    if (isDamage(error)) {
      if (this.#stopped !== undefined) return;
      const reason = reasonOf(error);
      const message = "the journal is damaged: the next start sets it aside and salvages what can be read";
      logger.error(message, { path, reason });
      markDamaged(path, reason, clock());
      this.#stopped = `${path} is damaged: ${reason}`;
      this.#deps.onDamage();
    } else if (primaryCode(error) === sqliteFull) {
      if (ballast.release())
        logger.error("the disk of the state directory is full: nothing is accepted until there is room", { path });
    } else if (primaryCode(error) !== undefined) {
      /** What did not come from SQLite is a batch's own trouble. */
      this.#failure = `the last write failed: ${reasonOf(error)}`;
    }
  }

  /** The connection may still hold what no file has any more: it is put where the next start finds it. */
  #rescue(reason: string): string {
    const { database, databasePath, storage, clock } = this.#deps;
    const now = clock();
    markDamaged(databasePath, reason, now);
    try {
      return JSON.stringify(salvage(database, databasePath, { ...storage, now, writtenAt: now }));
    } catch (error) {
      return `nothing: ${reasonOf(error)}`;
    }
  }
}

/**
 * For the next start, with the time of the last write, epoch milliseconds. If it cannot be written, that start has only what
 * it finds itself.
 */
function markDamaged(databasePath: string, reason: string, writtenAt: number): void {
  try {
    writeFileSync(`${databasePath}${damageMark}`, `${reason}\n`, { mode: 0o600 });
    utimesSync(`${databasePath}${damageMark}`, writtenAt / 1000, writtenAt / 1000);
  } catch {
    return;
  }
}
