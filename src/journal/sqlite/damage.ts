/**
 * Damage: how it is told from other trouble, and how a start gets over it. What can be read of the database is saved beside it
 * first; then its files are set aside, and what was saved takes their place. It always starts, whenever it is killed meanwhile.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { syncDirectory } from "../../lib/private-file.ts";
import { Damaged, reasonOf } from "../batch.ts";
import { memoryPath } from "../journal.ts";
import { createPrivately, databaseName, isLocked, stateDirectoryProblem } from "./directory.ts";
import { rescuedPath, salvage, type Salvage } from "./salvage.ts";
import { applicationId, schemaVersion, type StorageOptions } from "./tables.ts";

const sqliteError = 1;
const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;

/** Whether an error means damage: not I/O error, full, busy or no permission. */
export function isDamage(error: unknown): boolean {
  if (error instanceof Damaged) return true;
  if (!(error instanceof Error)) return false;
  /** A number that JavaScript cannot hold was never written. */
  if ("code" in error && error.code === "ERR_OUT_OF_RANGE") return true;
  const code = errorCode(error);
  /** If the schema is damaged, a table or column has another name. */
  if (code === sqliteError) return /^no such (table|column)/.test(error.message);
  return code === sqliteCorrupt || code === sqliteNotADatabase;
}

/** SQLite's primary result code. */
export function errorCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}

/** Beside the database: it was found damaged while it was in use. Not every damage shows again when it is opened. */
const damageMark = "-damaged";

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
  let reason = "the process before saved what it could still read";
  let saved: Salvage | undefined;
  if (!existsSync(rescuedPath(databasePath))) {
    /** Before the log is created again. */
    const writtenAt = lastWrittenAt(databasePath);
    try {
      readHeader(databasePath);
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
  const message = "the journal was damaged: its files were moved aside, and what could be read is in a new one";
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

/** Read-only, so that nothing of it changes; an empty one if it does not open. */
function openDamaged(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    /** SQLite would delete the log of an empty file even so. */
    if (sizeOf(path) > 0) {
      database = new DatabaseSync(path, { readOnly: true });
      database.prepare("SELECT COUNT(*) FROM sqlite_schema").get();
      return database;
    }
  } catch {
    database?.close();
  }
  return new DatabaseSync(":memory:");
}

/** Moves all its files to a directory of their own. */
function setAside(databasePath: string, now: number): string {
  const first = join(dirname(databasePath), `damaged-${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`);
  let directory = first;
  for (let again = 2; existsSync(directory); again++) directory = `${first}-${again}`;
  mkdirSync(directory, { mode: 0o700 });
  for (const suffix of suffixes)
    if (existsSync(databasePath + suffix)) renameSync(databasePath + suffix, join(directory, databaseName + suffix));
  syncDirectory(directory);
  syncDirectory(dirname(databasePath));
  return directory;
}

/** For the next start, with the time of the last write, epoch milliseconds. If it cannot be written, that start sees for itself. */
export function markDamaged(databasePath: string, reason: string, writtenAt: number): void {
  try {
    writeFileSync(databasePath + damageMark, `${reason}\n`, { mode: 0o600 });
    utimesSync(databasePath + damageMark, writtenAt / 1000, writtenAt / 1000);
  } catch {
    return;
  }
}

/** When database or log were written last, epoch milliseconds. The mark keeps it over starts that were interrupted. */
function lastWrittenAt(databasePath: string): number {
  const [marked, ...files] = [damageMark, "", "-wal"].map(
    (suffix) => statSync(databasePath + suffix, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return marked || Math.max(...files);
}

export type JournalInspection =
  | { readonly kind: "memory" }
  /** The directory or the journal would be created. */
  | { readonly kind: "new" }
  | { readonly kind: "ready"; readonly bytes: number }
  /** A running instance has it. */
  | { readonly kind: "in_use" }
  /** A start would set it aside, and save what can be read of it. */
  | { readonly kind: "damaged"; readonly reason: string }
  /** Written by a newer program. */
  | { readonly kind: "newer"; readonly schema: number }
  | { readonly kind: "unusable"; readonly reason: string };

/** What a start would find in that state directory. Nothing is created, locked or changed. */
export function inspectJournal(path: string): JournalInspection {
  if (path === memoryPath) return { kind: "memory" };
  const problem = stateDirectoryProblem(path);
  if (problem !== undefined) return { kind: "unusable", reason: problem };
  try {
    if (isLocked(path)) return { kind: "in_use" };
    const databasePath = join(path, databaseName);
    const header = readHeader(databasePath);
    if (header === undefined) return { kind: "new" };
    /** Numbers of SQLite's file format 1.3, without what waits in the log. */
    const schema = header.readUInt32BE(60);
    if (schema > schemaVersion) return { kind: "newer", schema };
    if (schema > 0 && header.readUInt32BE(68) !== applicationId)
      return {
        kind: "unusable",
        reason: `${databasePath} was written by an unreleased first form, or by another program`,
      };
    return { kind: "ready", bytes: sizeOf(databasePath) };
  } catch (error) {
    return { kind: error instanceof Damaged ? "damaged" : "unusable", reason: reasonOf(error) };
  }
}

/**
 * The database's header, nothing if there is no database. SQLite deletes the write-ahead log of a database that is missing or
 * empty, and opens one whose format numbers are damaged read-only. @throws {Damaged}
 */
function readHeader(databasePath: string): Buffer | undefined {
  if (existsSync(databasePath + damageMark)) throw new Damaged("it was found damaged while it was in use");
  if (sizeOf(databasePath) === 0) {
    if (sizeOf(`${databasePath}-wal`) === 0) return undefined;
    throw new Damaged("the write-ahead log has lost its database");
  }
  const header = Buffer.alloc(100);
  const file = openSync(databasePath, "r");
  try {
    if (readSync(file, header) < header.length) throw new Damaged("the database is truncated");
  } finally {
    closeSync(file);
  }
  /** 1: no log yet; 2: with a write-ahead log. */
  const isKnown = [18, 19].every((at) => header[at] === 1 || header[at] === 2);
  if (header.toString("latin1", 0, 16) !== "SQLite format 3\0" || !isKnown)
    throw new Damaged("the database's header is damaged");
  return header;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
