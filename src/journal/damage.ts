/** Tells damage from other trouble: a damaged database is set aside, one that cannot be reached is left as it is. */
import { closeSync, existsSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { DamagedBlob } from "./pack.ts";

/** The database is not what was written, though nothing else says so. */
export class DamagedDatabase extends Error {
  override readonly name = "DamagedDatabase";
}

const sqliteError = 1;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;

/** Whether an error means damage: not I/O error, full, busy or no permission. */
export function isDamage(error: unknown): boolean {
  if (error instanceof DamagedBlob || error instanceof DamagedDatabase) return true;
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return false;
  const primary = error.errcode & 0xff;
  /** A table or column whose name in the schema is damaged is not found. */
  if (primary === sqliteError) return /^no such (table|column)/.test(error.message);
  return primary === sqliteCorrupt || primary === sqliteNotADatabase;
}

/** Whether an error says that there is no room, on the disk or under the limit. */
export function isFullDisk(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && Number(error.errcode) % 256 === sqliteFull;
}

/** Bytes of the header that never change, and what they must be (SQLite's file format, 1.3). */
const fixedHeader: readonly (readonly [offset: number, values: readonly number[]])[] = [
  ...Array.from("SQLite format 3\0", (letter, offset) => [offset, [letter.charCodeAt(0)]] as const),
  [16, [0x10]],
  [17, [0x00]],
  [18, [1, 2]],
  [19, [1, 2]],
  [20, [0]],
  [21, [64]],
  [22, [32]],
  [23, [32]],
  [56, [0]],
  [57, [0]],
  [58, [0]],
  /** No encoding is chosen before the first table. */
  [59, [0, 1]],
];

/** Beside the database: it was found damaged while it was used. Not every damage shows again when it is opened. */
export const damageMark = "-damaged";

/** For the next start. Where it cannot be written, that start has only what it finds itself. */
export function markDamaged(databasePath: string): void {
  try {
    writeFileSync(`${databasePath}${damageMark}`, "", { mode: 0o600 });
  } catch {
    return;
  }
}

/**
 * Looks at the files before SQLite does, which deletes the write-ahead log of a database that is missing or empty, and
 * opens one whose header is damaged read-only.
 * @throws {DamagedDatabase}
 */
export function checkFiles(databasePath: string): void {
  if (existsSync(`${databasePath}${damageMark}`)) throw new DamagedDatabase("it was found damaged while it was used");
  const size = sizeOf(databasePath);
  if (size === 0) {
    if (sizeOf(`${databasePath}-wal`) === 0) return;
    throw new DamagedDatabase("the write-ahead log has lost its database");
  }
  const header = new Uint8Array(60);
  const file = openSync(databasePath, "r");
  try {
    if (readSync(file, header) < header.length) throw new DamagedDatabase("the database is cut short");
  } finally {
    closeSync(file);
  }
  for (const [offset, values] of fixedHeader) {
    if (!values.includes(header[offset] as number)) throw new DamagedDatabase("the database's header is damaged");
  }
}

/**
 * Walks the whole structure, without the contents, which have checksums. 0.27 s for 240 MB in the page cache.
 * @throws {DamagedDatabase}
 */
export function checkStructure(database: DatabaseSync): void {
  const { quick_check: found } = database.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
  if (found !== "ok") throw new DamagedDatabase(found.replaceAll(/\s+/g, " "));
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}
