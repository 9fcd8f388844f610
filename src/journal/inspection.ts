/** Looks at the files of a journal without opening it: nothing is made, locked or changed. */
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Damaged, reasonOf } from "./packing.ts";
import { applicationId, schemaVersion } from "./sqlite/schema.ts";
import { memoryPath } from "./index.ts";
import { databaseName, isBusy, lockName, stateDirectoryProblem } from "./sqlite/directory.ts";

export type JournalInspection =
  /** Records are kept in a temporary directory: there is nothing to look at. */
  | { readonly kind: "memory" }
  /** The directory or the journal would be made. */
  | { readonly kind: "new" }
  | { readonly kind: "ready"; readonly bytes: number }
  /** A running instance has it. */
  | { readonly kind: "in_use" }
  /** A start would set it aside, and save what can be read of it. */
  | { readonly kind: "damaged"; readonly reason: string }
  /** Written by a newer program. */
  | { readonly kind: "newer"; readonly schema: number }
  | { readonly kind: "unusable"; readonly reason: string };

/** Whether a journal could be opened in that state directory. */
export function inspectJournal(path: string): JournalInspection {
  if (path === memoryPath) return { kind: "memory" };
  try {
    const reason = stateDirectoryProblem(path);
    if (reason !== undefined) return { kind: "unusable", reason };
    if (!existsSync(path)) return { kind: "new" };
    if (isHeld(join(path, lockName))) return { kind: "in_use" };
    return inspectDatabase(join(path, databaseName));
  } catch (error) {
    return { kind: "unusable", reason: reasonOf(error) };
  }
}

/** Beside the database: it was found damaged while it was used. Not every damage shows again when it is opened. */
export const damageMark = "-damaged";

/**
 * Looks at the files before SQLite does, which deletes the write-ahead log of a database that is missing or empty, and
 * opens one whose format numbers are damaged read-only.
 * @throws {Damaged}
 */
export function checkFiles(databasePath: string): void {
  if (existsSync(`${databasePath}${damageMark}`)) throw new Damaged("it was found damaged while it was used");
  if (sizeOf(databasePath) === 0) {
    if (sizeOf(`${databasePath}-wal`) === 0) return;
    throw new Damaged("the write-ahead log has lost its database");
  }
  const header = readHeader(databasePath);
  const isSound = header.toString("latin1", 0, 16) === "SQLite format 3\0";
  /** 1: no log yet; 2: with a write-ahead log. */
  const isKnown = [18, 19].every((at) => header[at] === 1 || header[at] === 2);
  if (!isSound || !isKnown) throw new Damaged("the database's header is damaged");
}

function inspectDatabase(path: string): JournalInspection {
  if (existsSync(path)) accessSync(path, constants.R_OK | constants.W_OK);
  try {
    checkFiles(path);
  } catch (error) {
    return { kind: "damaged", reason: reasonOf(error) };
  }
  const bytes = sizeOf(path);
  if (bytes === 0) return { kind: "new" };
  /** Numbers of the header (SQLite's file format, 1.3), without what waits in the write-ahead log. */
  const header = readHeader(path);
  const schema = header.readUInt32BE(60);
  if (schema > schemaVersion) return { kind: "newer", schema };
  if (schema > 0 && header.readUInt32BE(68) !== applicationId) {
    return { kind: "unusable", reason: `${path} was written by an unreleased first form, or by another program` };
  }
  return { kind: "ready", bytes };
}

function readHeader(databasePath: string): Buffer {
  const header = Buffer.alloc(100);
  const file = openSync(databasePath, "r");
  try {
    if (readSync(file, header) < header.length) throw new Damaged("the database is cut short");
  } finally {
    closeSync(file);
  }
  return header;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Reading a file that another process has locked exclusively fails, and leaves it as it is. */
function isHeld(path: string): boolean {
  if (!existsSync(path)) return false;
  const lock = new DatabaseSync(path, { readOnly: true });
  try {
    lock.prepare("SELECT COUNT(*) FROM sqlite_schema").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw error;
  } finally {
    lock.close();
  }
}
