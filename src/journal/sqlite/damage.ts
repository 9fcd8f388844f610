/** Tells damage from other trouble, looks at the files before SQLite does, and watches them while they are used. */
import { closeSync, existsSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Damaged } from "../packing.ts";
import { walLimitBytes } from "./schema.ts";

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
  if (!("errcode" in error) || typeof error.errcode !== "number") return false;
  const primary = error.errcode & 0xff;
  /** A table or column whose name in the schema is damaged is not found. */
  if (primary === sqliteError) return /^no such (table|column)/.test(error.message);
  return primary === sqliteCorrupt || primary === sqliteNotADatabase;
}

/** Whether an error says that there is no space, on the disk or under the limit. */
export function isFullDisk(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && Number(error.errcode) % 256 === sqliteFull;
}

/** Where numbers stand in the header, big-endian (SQLite's file format, 1.3). */
const headerNumbers = { user_version: 60, application_id: 68 } as const;

/** A number of the header as it is in the file, without what waits in the write-ahead log. No connection may be open. */
export function headerNumber(databasePath: string, name: keyof typeof headerNumbers): number {
  const header = readHeader(databasePath);
  return new DataView(header.buffer).getUint32(headerNumbers[name]);
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

/** For the next start. If it cannot be written, that start has only what it finds itself. */
export function markDamaged(databasePath: string, reason: string): void {
  try {
    writeFileSync(`${databasePath}${damageMark}`, `${reason}\n`, { mode: 0o600 });
  } catch {
    return;
  }
}

/**
 * Looks at the files before SQLite does, which deletes the write-ahead log of a database that is missing or empty, and
 * opens one whose header is damaged read-only.
 * @throws {Damaged}
 */
export function checkFiles(databasePath: string): void {
  if (existsSync(`${databasePath}${damageMark}`)) throw new Damaged("it was found damaged while it was used");
  if (sizeOf(databasePath) === 0) {
    if (sizeOf(`${databasePath}-wal`) === 0) return;
    throw new Damaged("the write-ahead log has lost its database");
  }
  const header = readHeader(databasePath);
  for (const [offset, values] of fixedHeader) {
    if (!values.includes(header[offset] as number)) throw new Damaged("the database's header is damaged");
  }
}

function readHeader(databasePath: string): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(100);
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

/** What somebody did to the files of an open database. `writer`: another process writes to it, and they are as they should be. */
export interface Interference {
  readonly kind: "database" | "log" | "log_cut" | "writer";
  readonly reason: string;
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
  #found: Interference | undefined;

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

  /** What is wrong, from the first time on that something was. */
  check(): Interference | undefined {
    this.#found ??= this.#look();
    return this.#found;
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

  #look(): Interference | undefined {
    const file = statSync(this.#path, { throwIfNoEntry: false });
    if (file?.ino !== this.#databaseFile)
      return { kind: "database", reason: `${this.#path} is gone or has been replaced` };
    if (file.size < Math.min(this.#databaseBytes, this.#shrinksTo))
      return { kind: "database", reason: `${this.#path} has been cut short` };
    const log = statSync(`${this.#path}-wal`, { throwIfNoEntry: false });
    if (log?.ino !== this.#logFile) return { kind: "log", reason: `${this.#path}-wal is gone or has been replaced` };
    /** SQLite itself cuts a longer one back to the limit. */
    if (log.size < Math.min(this.#logBytes, walLimitBytes))
      return { kind: "log_cut", reason: `${this.#path}-wal has been cut short` };
    this.#databaseBytes = file.size;
    this.#logBytes = log.size;
    if (this.#readVersion() !== this.#version) {
      return { kind: "writer", reason: `another process writes to ${this.#path}: only one may use a state directory` };
    }
    return undefined;
  }

  #readVersion(): number {
    return (this.#dataVersion.get() as { data_version: number }).data_version;
  }
}
