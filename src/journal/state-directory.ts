/** The state directory: made if it is missing, private to its owner, owned by one process at a time, with room in reserve. */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../errors.ts";
import { reasonOf } from "./packing.ts";

export interface StateDirectory {
  readonly path: string;
  /** The journal's database file. */
  readonly databasePath: string;
  /** Whether everything in it is deleted when the process ends. */
  readonly isTemporary: boolean;
  /** Gives it up; removes a temporary one. */
  release(): void;
}

/** Stands for a private temporary directory that is deleted at the end. */
export const memoryPath = ":memory:";

/** Files in a state directory. */
export const lockName = "lock.db";
export const databaseName = "journal.db";

const temporaryPrefix = "tailscale2otel-memory-";

/** A process that was killed holds its lock until its last write has ended. */
const lockWaitMs = 1000;

/** A temporary directory without a lock is one that is being made, unless it is older. */
const unlockedGraceMs = 60_000;

/**
 * Takes the directory for this process.
 * @throws {Unavailable} if it cannot be made or written, is not ours alone, or another process holds it.
 */
export function takeStateDirectory(path: string): StateDirectory {
  const isTemporary = path === memoryPath;
  if (isTemporary) removeAbandoned();
  const directory = isTemporary ? mkdtempSync(join(tmpdir(), temporaryPrefix)) : path;
  if (!isTemporary) makePrivate(directory);
  const lock = takeLock(directory);
  return {
    path: directory,
    databasePath: join(directory, databaseName),
    isTemporary,
    release() {
      lock.close();
      if (isTemporary) rmSync(directory, { recursive: true, force: true });
    },
  };
}

/**
 * Why a directory must not hold state, if so: flow logs are sensitive, and who may write there could put links in the place
 * of our files.
 */
export function whyNotPrivate(path: string): string | undefined {
  const { uid, mode } = statSync(path);
  const own = process.getuid?.();
  if (own !== undefined && uid !== own) {
    return `${path} belongs to another user (uid ${uid}, this process has ${own}): choose a directory of this user's, or a new one inside it`;
  }
  if (process.platform !== "win32" && (mode & 0o002) !== 0) {
    return `everybody may write to ${path}: choose a directory of this user's alone, or a new one inside it`;
  }
  return undefined;
}

function makePrivate(directory: string): void {
  let why: string | undefined;
  try {
    const made = mkdirSync(directory, { recursive: true, mode: 0o700 });
    /** The process's umask applies to what `mkdir` makes. What was there keeps its mode. */
    if (made !== undefined) chmodSync(directory, 0o700);
    why = whyNotPrivate(directory);
  } catch (error) {
    throw new Unavailable(`cannot use the state directory ${directory}: ${whyNotMade(error)}`);
  }
  if (why !== undefined) throw new Unavailable(`cannot use the state directory: ${why} (state.path)`);
}

function whyNotMade(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EEXIST") return "it is a file, not a directory: set state.path to a directory";
  if (code === "ENOTDIR") return "a part of the path is not a directory: set state.path to another directory";
  return `${reasonOf(error)}; set state.path to a directory that this user may write`;
}

/** SQLite says only that it cannot open its file. */
function whyNotLocked(directory: string, error: unknown): string {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return reasonOf(error);
  } catch {
    return "this user may not write there: chmod u+w it, or set state.path to another directory";
  }
}

/** SQLite's own lock on a file of its own: it goes with the process, however that ends. */
function takeLock(directory: string): DatabaseSync {
  try {
    return lockExclusively(join(directory, lockName), lockWaitMs);
  } catch (error) {
    if (!isBusy(error))
      throw new Unavailable(`cannot use the state directory ${directory}: ${whyNotLocked(directory, error)}`);
  }
  /** SQLite says "busy" also if the file system has no locks to give. */
  throw new Unavailable(
    `another process uses the state directory ${directory}, or its file system cannot lock files: stop that process, or set state.path to another directory, on a local disk`,
  );
}

function lockExclusively(path: string, waitMs: number): DatabaseSync {
  const lock = new DatabaseSync(path);
  try {
    lock.exec(`PRAGMA busy_timeout = ${waitMs}`);
    chmodSync(path, 0o600);
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

export function isBusy(error: unknown): boolean {
  return /locked|busy/i.test(reasonOf(error));
}

/** Temporary directories of processes that were killed: their locks are free. */
function removeAbandoned(): void {
  const own = process.getuid?.();
  for (const name of readdirSync(tmpdir()).filter((one) => one.startsWith(temporaryPrefix))) {
    const directory = join(tmpdir(), name);
    try {
      const found = lstatSync(directory);
      if (!found.isDirectory() || (own !== undefined && found.uid !== own)) continue;
      const hasLock = statSync(join(directory, lockName), { throwIfNoEntry: false }) !== undefined;
      if (hasLock) lockExclusively(join(directory, lockName), 0).close();
      else if (Date.now() - found.mtimeMs < unlockedGraceMs) continue;
      rmSync(directory, { recursive: true, force: true });
    } catch {
      /** In use, or not ours to remove. */
      continue;
    }
  }
}

const blockBytes = 1024 * 1024;

/** With less than this the disk counts as full, and with that much beside the ballast it has recovered. */
const fullBelowBytes = 2 * blockBytes;

/** Disk space that is given up when the disk is full, so that the way out of "full" never needs any: cursor, snapshot and deletion go on. */
export class Ballast {
  readonly #path: string;
  readonly #bytes: number;
  #isHeld: boolean;

  /** A file of that size at that path; with 0 bytes there is none. */
  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
    this.#isHeld = bytes === 0;
  }

  /** Whether the space is reserved. While it is not, nothing new must be accepted. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Bytes that must be free for the ballast to be taken, beside a few that the database needs. */
  get neededBytes(): number {
    return this.#bytes + fullBelowBytes;
  }

  /** Gives the space up if the disk has none left. Whether it did. */
  giveUp(): boolean {
    if (this.#bytes === 0 || !this.#isHeld || this.freeBytes() >= fullBelowBytes) return false;
    rmSync(this.#path, { force: true });
    this.#isHeld = false;
    return true;
  }

  /** Reserves the space again, as soon as there is enough of it. */
  take(): void {
    if (this.#isHeld) return;
    const found = lstatSync(this.#path, { throwIfNoEntry: false });
    this.#isHeld = found?.isFile() === true && found.nlink === 1 && found.size === this.#bytes;
    if (this.#isHeld || this.freeBytes() < this.neededBytes) return;
    try {
      /** Removes a link, not what it leads to. */
      rmSync(this.#path, { force: true });
      this.#write();
      this.#isHeld = true;
    } catch {
      rmSync(this.#path, { force: true });
    }
  }

  /** A disk that does not answer is not full, but gone. */
  freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(dirname(this.#path));
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  /** Exclusively and never through a link. A full disk makes writes short, without an error. */
  #write(): void {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants;
    const file = openSync(this.#path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      const block = new Uint8Array(blockBytes);
      for (let left = this.#bytes; left > 0; left -= blockBytes) {
        const wanted = Math.min(left, blockBytes);
        if (writeSync(file, block, 0, wanted) < wanted) throw new Error("the disk is full");
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }
}
