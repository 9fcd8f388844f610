/** The state directory: made if it is missing, private to its owner, and owned by one process at a time. */
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** The lock's file in a state directory. */
export const lockName = "lock.db";

/** The database's file in a state directory. */
export const databaseName = "journal.db";

const temporaryPrefix = "tailscale2otel-memory-";

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
    throw new Unavailable(
      `cannot use the state directory ${directory}: ${reasonOf(error)}; set state.path to a directory that this user may write`,
    );
  }
  if (why !== undefined) throw new Unavailable(`cannot use the state directory: ${why} (state.path)`);
}

/** SQLite's own lock on a file of its own: it goes with the process, however that ends. */
function takeLock(directory: string): DatabaseSync {
  const path = join(directory, lockName);
  try {
    return lockExclusively(path);
  } catch (error) {
    if (!isBusy(error)) throw new Unavailable(`cannot use the state directory ${directory}: ${reasonOf(error)}`);
  }
  if (!hasLocks(directory)) {
    throw new Unavailable(
      `the file system of the state directory ${directory} cannot lock files: set state.path to a directory on a local disk`,
    );
  }
  throw new Unavailable(
    `another process uses the state directory ${directory}: stop it, or give this one its own state.path`,
  );
}

function lockExclusively(path: string): DatabaseSync {
  const lock = new DatabaseSync(path);
  try {
    chmodSync(path, 0o600);
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** SQLite says "busy" also if the system has no locks to give (ENOLCK): then a file that nobody else knows is busy too. */
function hasLocks(directory: string): boolean {
  const path = join(directory, `${lockName}-probe-${process.pid}`);
  try {
    lockExclusively(path).close();
    return true;
  } catch (error) {
    return !isBusy(error);
  } finally {
    rmSync(path, { force: true });
  }
}

export function isBusy(error: unknown): boolean {
  return /locked|busy/i.test(reasonOf(error));
}

/** Temporary directories of processes that were killed: their locks are free. */
function removeAbandoned(): void {
  const own = process.getuid?.();
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(temporaryPrefix)) continue;
    const directory = join(tmpdir(), name);
    try {
      const found = lstatSync(directory);
      if (!found.isDirectory() || (own !== undefined && found.uid !== own)) continue;
      const hasLock = statSync(join(directory, lockName), { throwIfNoEntry: false }) !== undefined;
      if (hasLock) lockExclusively(join(directory, lockName)).close();
      else if (Date.now() - found.mtimeMs < unlockedGraceMs) continue;
      rmSync(directory, { recursive: true, force: true });
    } catch {
      /** In use, or not ours to remove. */
      continue;
    }
  }
}
