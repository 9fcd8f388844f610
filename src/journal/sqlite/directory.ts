/**
 * The state directory: private to its owner, locked by one process at a time, with disk space in reserve. Files are created
 * exclusively and never through a link, and the mode of existing files is never changed.
 */
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import { createTemporaryDirectory } from "../../lib/private-file.ts";
import { memoryPath } from "../journal.ts";
import { reasonOf } from "../batch.ts";

export interface StateDirectory {
  readonly path: string;
  readonly databasePath: string;
  readonly lockPath: string;
  /** A temporary directory, deleted when the process ends. */
  readonly isTemporary: boolean;
  /** Unlocks it, and deletes a temporary one. */
  release(): void;
}

const lockName = "lock.db";
export const databaseName = "journal.db";
export const lastRowName = "last-row";

/** Files that must belong to this user if they exist. SQLite and `open` would follow links to other files. */
const fileNames = [lockName, databaseName, `${databaseName}-wal`, `${databaseName}-shm`, lastRowName, "rescued.db"];

/** Path of the complete copy of what was saved of a damaged database, until it replaces the database. */
export function rescuedPath(databasePath: string): string {
  return join(dirname(databasePath), "rescued.db");
}

const temporaryPrefix = "tailscale2otel-memory-";

/** Set on directories that everyone may write to, such as `/tmp`. */
const stickyBit = 0o1000;

/** A killed process keeps its lock until its last write ends. */
const lockWaitMs = 1000;

/** A temporary directory younger than this may still be waiting for its lock file. */
const unlockedGraceMs = 60_000;

/**
 * Creates the directory if necessary and locks it for this process.
 * @throws {Error} with what to do if it cannot be used.
 */
export function takeStateDirectory(configuredPath: string): StateDirectory {
  const isTemporary = configuredPath === memoryPath;
  if (isTemporary) removeAbandoned();
  const path = isTemporary ? createTemporaryDirectory(temporaryPrefix) : configuredPath;
  const problem = stateDirectoryProblem(path);
  if (problem !== undefined) throw new Unavailable(`cannot use the state directory: ${textOf(problem)}`);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const reason = reasonOf(error);
    throw new Unavailable(
      `cannot create the state directory ${path}: ${reason}. Create it for this user, or set another state.path`,
    );
  }
  const databasePath = join(path, databaseName);
  const lockPath = join(path, lockName);
  const lock = takeLock(path, lockPath);
  return {
    path,
    databasePath,
    lockPath,
    isTemporary,
    release() {
      lock.close();
      if (isTemporary) rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Why a directory or a file in it cannot be used, and what the operator can do about it, as sentences. */
export interface DirectoryProblem {
  readonly reason: string;
  readonly remedy: string;
}

/**
 * Why a directory cannot hold state, as `run` would find it, without creating or changing anything. Flow logs are sensitive, and
 * other users with write access could replace the files with links.
 */
export function stateDirectoryProblem(path: string): DirectoryProblem | undefined {
  if (path === memoryPath) return undefined;
  try {
    const { existing, stats } = nearestExisting(resolve(path));
    if (!stats.isDirectory()) return problemOf(`${existing} is not a directory`, "Set state.path to a directory.");
    if (existing !== resolve(path)) {
      if (isWritable(existing)) return undefined;
      return problemOf(
        `${path} cannot be created, since this user may not write to ${existing}`,
        "Create it for this user, or set another state.path.",
      );
    }
    const owner = ownerProblem(path, stats);
    if (owner !== undefined) return owner;
    if (process.platform !== "win32" && (stats.mode & 0o002) !== 0)
      return problemOf(
        `${path} is writable by everyone`,
        (stats.mode & stickyBit) === 0
          ? `Run: chmod o-w ${path}`
          : "Set state.path to a new directory inside it, or to one that is private to this user.",
      );
    if (!isWritable(path))
      return problemOf(`this user may not write to ${path}`, "Run chmod u+rwx on it, or set another state.path.");
    return fileNames.map((name) => fileProblem(join(path, name))).find((problem) => problem !== undefined);
  } catch (error) {
    return unreadable(path, error);
  }
}

/** The nearest existing path: the path itself or a directory above it, or a file that is in the way. */
function nearestExisting(path: string): { readonly existing: string; readonly stats: Stats } {
  for (let existing = path; ; existing = dirname(existing)) {
    try {
      return { existing, stats: statSync(existing) };
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if ((code !== "ENOENT" && code !== "ENOTDIR") || existing === dirname(existing)) throw error;
    }
  }
}

function problemOf(reason: string, remedy: string): DirectoryProblem {
  return { reason, remedy };
}

export function unreadable(path: string, error: unknown): DirectoryProblem {
  return problemOf(`${path} cannot be read: ${reasonOf(error)}`, "Set another state.path.");
}

function textOf({ reason, remedy }: DirectoryProblem): string {
  return `${reason}. ${remedy}`;
}

function ownerProblem(path: string, { uid }: Stats): DirectoryProblem | undefined {
  const own = process.getuid?.();
  if (own === undefined || uid === own) return undefined;
  return problemOf(
    `${path} belongs to another user (uid ${uid}, this process has ${own})`,
    "Run this as that user, or set another state.path.",
  );
}

function fileProblem(path: string): DirectoryProblem | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (!found.isFile() || found.nlink !== 1)
    return problemOf(
      `${path} is a link or no regular file`,
      "Put the file that it points to in its place, or delete it if there is none.",
    );
  return ownerProblem(path, found);
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Creates a file for its owner alone. @throws {Error} if there is anything at that path, even a dangling link. */
export function openExclusively(path: string): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = constants;
  return openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
}

/** Creates an empty file unless it exists. @throws {Unavailable} if it is a link or belongs to another user. */
export function createPrivately(path: string): void {
  try {
    closeSync(openExclusively(path));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    const problem = fileProblem(path);
    if (problem !== undefined) throw new Unavailable(textOf(problem));
  }
}

/** True if a process has locked the directory. Reading a locked file fails and does not change it. */
export function isLocked(directory: string): boolean {
  const path = join(directory, lockName);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return false;
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

/** Locks a separate file with SQLite's own lock, which the system releases however the process ends. */
function takeLock(directory: string, path: string): DatabaseSync {
  try {
    return lockExclusively(path, lockWaitMs);
  } catch (error) {
    if (!isBusy(error)) throw new Unavailable(`cannot lock the state directory ${directory}: ${reasonOf(error)}`);
  }
  const why = canLock(directory)
    ? `another process uses the state directory ${directory}: stop it, or set another state.path`
    : `the file system of the state directory ${directory} cannot lock files: set state.path to a directory on a local disk`;
  throw new Unavailable(why);
}

/** SQLite reports ENOLCK as "busy" too, so locking a file that nobody else uses tells them apart. */
function canLock(directory: string): boolean {
  const path = join(directory, `lock-probe-${process.pid}.db`);
  try {
    lockExclusively(path, 0).close();
    return true;
  } catch {
    return false;
  } finally {
    rmSync(path, { force: true });
  }
}

function lockExclusively(path: string, waitMs: number): DatabaseSync {
  createPrivately(path);
  const lock = new DatabaseSync(path);
  try {
    lock.exec(`PRAGMA busy_timeout = ${waitMs}`);
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

function isBusy(error: unknown): boolean {
  return /locked|busy/i.test(reasonOf(error));
}

function temporaryDirectories(): readonly string[] {
  try {
    return readdirSync(tmpdir())
      .filter((name) => name.startsWith(temporaryPrefix))
      .map((name) => join(tmpdir(), name));
  } catch {
    return [];
  }
}

/** Deletes the temporary directories of killed processes, whose locks nobody holds. */
function removeAbandoned(): void {
  for (const directory of temporaryDirectories()) {
    try {
      const found = lstatSync(directory);
      if (!found.isDirectory() || ownerProblem(directory, found) !== undefined) continue;
      const hasLock = lstatSync(join(directory, lockName), { throwIfNoEntry: false }) !== undefined;
      if (hasLock) lockExclusively(join(directory, lockName), 0).close();
      else if (Date.now() - found.mtimeMs < unlockedGraceMs) continue;
      rmSync(directory, { recursive: true, force: true });
    } catch {
      /** In use, or not deletable by this user. */
      continue;
    }
  }
}
