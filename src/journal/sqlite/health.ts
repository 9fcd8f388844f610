/**
 * Decides if the database may be written: detects other processes that change its files, stops the journal for good once they or
 * the database are damaged, and holds disk space in reserve for recovering from a full disk.
 */
import { closeSync, fsyncSync, lstatSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { LogFields, Logger } from "../../lib/logger.ts";
import { reasonOf } from "../batch.ts";
import { openExclusively, rescuedPath, type StateDirectory } from "./directory.ts";
import { salvage } from "./recovery.ts";
import { errorCode, isDamage } from "./errors.ts";
import { prepare, type Statements, type StorageOptions, walLimitBytes } from "./tables.ts";

const sqliteFull = 13;

/** Overwrites both copies of the index's header. */
const indexHeader = new Uint8Array(136);

interface WatchedFile {
  readonly path: string;
  readonly inode: number;
  bytes: number;
}

export interface HealthDeps {
  readonly database: DatabaseSync;
  readonly directory: StateDirectory;
  readonly storage: StorageOptions;
  readonly ballast: Ballast;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Called once, when the database must not be written any more. */
  readonly onDamage: () => void;
}

export class Health {
  readonly #deps: HealthDeps;
  readonly #files: Readonly<Record<"database" | "log" | "index" | "lock", WatchedFile>>;
  readonly #sql: Statements<"version" | "size">;
  readonly #version: number;
  #stopped: string | undefined;
  isClosed = false;
  /** Why the last write failed, unless ballast was released for it. Nothing is accepted until a write succeeds. */
  failure: string | undefined;

  /** Create it after the first transaction, when all the files exist. */
  constructor(deps: HealthDeps) {
    this.#deps = deps;
    const { databasePath: path, lockPath } = deps.directory;
    this.#sql = prepare(deps.database, {
      version: "SELECT data_version AS value FROM pragma_data_version",
      size: "SELECT page_count * page_size AS value FROM pragma_page_count, pragma_page_size",
    });
    this.#version = this.#read("version");
    const [log, index] = [`${path}-wal`, `${path}-shm`];
    this.#files = { database: watched(path), log: watched(log), index: watched(index), lock: watched(lockPath) };
  }

  /** Size of the write-ahead log at the last check. */
  get logBytes(): number {
    return this.#files.log.bytes;
  }

  /** The journal itself has truncated the write-ahead log. */
  logTruncated(): void {
    this.#files.log.bytes = 0;
  }

  /** The files may belong to another process from now on, so they are no longer checked or written. */
  close(): void {
    this.isClosed = true;
    this.#stopped ??= "the journal is closed";
  }

  /**
   * Why the database must not be written, if so. Interference or damage is permanent, because what is committed afterwards would
   * be lost; a failed check of the files is repeated by the next call. What was committed before can still be read through the
   * open connection.
   */
  unfit(): string | undefined {
    if (this.#stopped !== undefined) return this.#stopped;
    try {
      const found = this.#interference();
      if (found === undefined) return undefined;
      const message =
        "another process changed the journal's files: no more records are accepted. Stop the other process, then restart this one";
      this.#stop(found.reason, message, found.isWhole ? "whole" : "changed");
      return found.reason;
    } catch (error) {
      this.failed(error);
      return this.#stopped ?? `the journal's files cannot be checked: ${reasonOf(error)}`;
    }
  }

  /** Call before reading. @throws {Unavailable} if the journal is closed. */
  mustBeOpen(): void {
    this.unfit();
    if (this.isClosed) throw new Unavailable("the journal is closed");
  }

  /** Call with every database error. Never throws. */
  failed(error: unknown): void {
    const { logger, directory, ballast } = this.#deps;
    const path = directory.databasePath;
    if (this.isClosed) return;
    if (isDamage(error)) {
      if (this.#stopped !== undefined) return;
      const message =
        "the journal is damaged: no more records are accepted. Restart to use everything that can still be read";
      this.#stop(`${path} is damaged: ${reasonOf(error)}`, message, "damaged");
    } else if (errorCode(error) === sqliteFull) {
      const message = "the disk of the state directory is full: nothing is accepted until there is room";
      if (ballast.release()) logger.error(message, { path });
      else if (ballast.isHeld) this.failure = `the last write failed: ${reasonOf(error)}`;
    } else if (errorCode(error) !== undefined) {
      this.failure = `the last write failed: ${reasonOf(error)}`;
    }
  }

  /**
   * What another process did to the files, if anything. `isWhole`: database and log are intact. SQLite continues to write to a
   * file that was deleted or replaced, and what is accepted then would be gone at the next start. Takes some `stat` calls and a
   * pragma: about 15 µs. Database and log are never opened here, because closing them would drop SQLite's locks.
   */
  #interference(): { readonly reason: string; readonly isWhole: boolean } | undefined {
    const { database, log, index, lock } = this.#files;
    /** The index comes first: SQLite has mapped it, and using a truncated mapping would crash the process. */
    const ofIndex = changeOf(index, () => Number.POSITIVE_INFINITY);
    if (ofIndex?.endsWith("truncated")) rebuildIndex(index);
    /** SQLite itself truncates the log to the limit, and shrinks the database when pages are returned to the disk. */
    const ofData = changeOf(log, () => walLimitBytes) ?? changeOf(database, () => this.#read("size"));
    if (ofData !== undefined) return { reason: ofData, isWhole: false };
    const other = ofIndex ?? changeOf(lock, () => 0);
    if (other !== undefined) return { reason: other, isWhole: true };
    if (this.#read("version") === this.#version) return undefined;
    const reason = `another process writes to ${database.path}: only one may use a state directory`;
    return { reason, isWhole: true };
  }

  #read(name: "version" | "size"): number {
    return (this.#sql[name].get() as { value: number }).value;
  }

  #stop(reason: string, message: string, files: "whole" | "changed" | "damaged"): void {
    this.#stopped = reason;
    const outcome = files === "whole" ? { saved: "everything: it is still in the database" } : this.#rescue(files);
    this.#deps.logger.error(message, { reason, ...outcome });
    this.#deps.onDamage();
  }

  /** The connection may still read data that no file holds any more, and not all damage is found again when a file is opened. */
  #rescue(files: "changed" | "damaged"): LogFields {
    const { database, directory, storage, clock } = this.#deps;
    const { path, databasePath } = directory;
    const now = clock();
    try {
      const salvaged = salvage(database, databasePath, { ...storage, now, writtenAt: now });
      return {
        saved: `what could still be read, in ${rescuedPath(databasePath)}: the next start uses it`,
        ...salvaged,
      };
    } catch (error) {
      const saved = `nothing, because no copy could be written: ${reasonOf(error)}`;
      if (files === "damaged")
        return { saved, remedy: `make sure that files can be written in ${path}, then start again` };
      const lost = "records that were accepted but not delivered, unless the files are put back";
      return { saved, lost, remedy: `put the files back in ${path} if you have them, then start again` };
    }
  }
}

function watched(path: string): WatchedFile {
  const { ino: inode, size: bytes } = lstatSync(path);
  return { path, inode, bytes };
}

/** What happened to a file since the last call. It may shrink to `mayShrinkTo` bytes. */
function changeOf(file: WatchedFile, mayShrinkTo: () => number): string | undefined {
  const found = lstatSync(file.path, { throwIfNoEntry: false });
  if (found?.ino !== file.inode) return `${file.path} is gone or has been replaced`;
  if (found.size < file.bytes && found.size < mayShrinkTo()) return `${file.path} has been truncated`;
  file.bytes = found.size;
  return undefined;
}

/** Invalidates the header, so that SQLite rebuilds the index from the log. */
function rebuildIndex({ path, bytes }: WatchedFile): void {
  truncateSync(path, bytes);
  const file = openSync(path, "r+");
  writeSync(file, indexHeader, 0, indexHeader.length, 0);
  closeSync(file);
}

const blockBytes = 1024 * 1024;

/** A disk with less free space than this counts as full. */
const fullBelowBytes = 2 * blockBytes;

/** Disk space that is released when the disk is full, so that cursor, snapshot and deletion can still be written. */
export class Ballast {
  readonly #directory: string;
  readonly #path: string;
  readonly #bytes: number;
  /** True while the space is reserved. Otherwise nothing new may be accepted. */
  isHeld: boolean;

  /** With 0 bytes, no file is created. */
  constructor(directory: string, bytes: number) {
    this.#directory = directory;
    this.#path = join(directory, "ballast");
    this.#bytes = bytes;
    this.isHeld = bytes === 0;
  }

  /** How much disk space is free, and how much must be for the ballast to be reserved. */
  get room(): string {
    const mebibytes = (bytes: number) => Math.floor(bytes / 2 ** 20);
    return `${mebibytes(this.#freeBytes)}MiB are free, ${mebibytes(this.#bytes + fullBelowBytes)}MiB are needed`;
  }

  /** Reserves the space at start. @throws {Unavailable} if the disk is too small for a new journal. */
  reserveFirst(isNew: boolean, logger: Logger): void {
    this.reserve();
    if (this.isHeld && (this.#bytes > 0 || this.#hasRoom)) return;
    const message = `the disk of the state directory ${this.#directory} is too small: ${this.room}`;
    if (isNew) throw new Unavailable(message);
    logger.error(`${message}; nothing is accepted until there is room`);
  }

  /** Reserves the space if the disk has enough. A link in its place is removed, not followed. */
  reserve(): void {
    if (this.isHeld) return;
    const found = lstatSync(this.#path, { throwIfNoEntry: false });
    this.isHeld = found?.isFile() === true && found.nlink === 1 && found.size === this.#bytes;
    if (this.isHeld || !this.#hasRoom) return;
    try {
      rmSync(this.#path, { force: true });
      this.#write();
      this.isHeld = true;
    } catch {
      rmSync(this.#path, { force: true });
    }
  }

  /** Releases the space if the disk is full. Returns true if it did. */
  release(): boolean {
    if (this.#bytes === 0 || !this.isHeld || this.#freeBytes >= fullBelowBytes) return false;
    rmSync(this.#path, { force: true });
    this.isHeld = false;
    return true;
  }

  get #hasRoom(): boolean {
    return this.#freeBytes >= this.#bytes + fullBelowBytes;
  }

  /** Infinite if the disk does not answer, because it is then missing rather than full. */
  get #freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.#directory);
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  #write(): void {
    const file = openExclusively(this.#path);
    try {
      const block = new Uint8Array(blockBytes);
      for (let left = this.#bytes; left > 0; left -= blockBytes) {
        const wanted = Math.min(left, blockBytes);
        /** A full disk shortens writes without an error. */
        if (writeSync(file, block, 0, wanted) < wanted) throw new Error("the disk is full");
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }
}
