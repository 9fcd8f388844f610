/** Inspects a state directory for what a start would find, from the headers and notes in it, without opening or locking anything. */
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { Unavailable } from "../../errors.ts";
import { readPrivateFile, writePrivateFile } from "../../lib/private-file.ts";
import { Damaged } from "../batch.ts";
import { type JournalInspection, memoryPath } from "../journal.ts";
import {
  databaseName,
  type DirectoryProblem,
  isLocked,
  rescuedPath,
  stateDirectoryProblem,
  unreadable,
} from "./directory.ts";
import { applicationId, schemaVersion } from "./tables.ts";

/** Reports what a start would find in that state directory. Nothing is created, locked or changed. */
export function inspectJournal(
  path: string,
  where: "must be here" | "moved or not" = "must be here",
): JournalInspection {
  if (path === memoryPath) return { kind: "memory" };
  const problem = stateDirectoryProblem(path);
  if (problem !== undefined) return { kind: "unusable", ...problem };
  try {
    const moved = where === "must be here" ? movedProblem(path) : undefined;
    if (moved !== undefined) return { kind: "unusable", ...moved };
    if (isLocked(path)) return { kind: "in_use" };
    const databasePath = join(path, databaseName);
    if (existsSync(rescuedPath(databasePath))) throw new Damaged("what could be read of it waits for the next start");
    const header = readHeader(databasePath);
    if (header === undefined) return { kind: "new" };
    /** Offsets from section 1.3 of SQLite's file format. Changes in the log are not included. */
    const schema = header.readUInt32BE(60);
    if (schema > schemaVersion) return { kind: "newer", schema };
    if (schema > 0 && header.readUInt32BE(68) !== applicationId)
      return {
        kind: "unusable",
        reason: `${databasePath} was written by an unreleased first form, or by another program`,
        remedy: "Set state.path to a new directory.",
      };
    return { kind: "ready", bytes: sizeOf(databasePath) };
  } catch (error) {
    if (error instanceof Damaged) return { kind: "damaged", reason: error.message };
    return { kind: "unusable", ...unreadable(path, error) };
  }
}

/**
 * The database's header; undefined if there is no database. SQLite deletes the write-ahead log of a missing or empty database,
 * and opens one with damaged format numbers read-only. @throws {Damaged}
 */
export function readHeader(databasePath: string): Buffer | undefined {
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
  /** 1: rollback journal; 2: write-ahead log. */
  const isKnown = [18, 19].every((at) => header[at] === 1 || header[at] === 2);
  if (header.toString("latin1", 0, 16) !== "SQLite format 3\0" || !isKnown)
    throw new Damaged("the database's header is damaged");
  return header;
}

export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Name of the note that the journal was moved to a database: without it, an instance could continue here with old counters. */
const movedName = "moved-to";

export function noteMoved(directory: string, to: string): void {
  writePrivateFile(join(directory, movedName), `${to}\n`);
}

/** Where the journal was moved to, as text; undefined if it was not moved. */
export function notedMove(directory: string): string | undefined {
  return readPrivateFile(join(directory, movedName))?.trim();
}

/** Why the journal may not be used here, and what to do; undefined if it was not moved. */
export function movedProblem(directory: string): DirectoryProblem | undefined {
  const to = notedMove(directory);
  return to === undefined
    ? undefined
    : {
        reason: `the journal in ${directory} was moved to ${to}`,
        remedy: `Set state.url to use it there. If the move was not finished, run it again; to go back, delete ${join(directory, movedName)} while nothing was received there.`,
      };
}

/** @throws {Unavailable} if the journal was moved. */
export function refuseMoved(directory: string): void {
  const problem = movedProblem(directory);
  if (problem !== undefined) throw new Unavailable(`${problem.reason}. ${problem.remedy}`);
}
