/** The state directory: made if it is missing, private to its owner, and owned by one process at a time. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../errors.ts";

export interface StateDirectory {
  readonly path: string;
  /** The journal's database file. */
  readonly databasePath: string;
  /** Whether everything in it goes when the process ends. */
  readonly isTemporary: boolean;
  /** Gives it up; removes a temporary one. */
  release(): void;
}

/** Stands for a private temporary directory that is deleted at the end. */
export const memoryPath = ":memory:";

/**
 * Takes the directory for this process.
 * @throws {Unavailable} when it cannot be made or written, or another process holds it.
 */
export function takeStateDirectory(path: string): StateDirectory {
  const isTemporary = path === memoryPath;
  const directory = isTemporary ? mkdtempSync(join(tmpdir(), "tailscale2otel-")) : path;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (!isTemporary) chmodSync(directory, 0o700);
  } catch (error) {
    throw new Unavailable(
      `cannot use the state directory ${directory}: ${reasonOf(error)}; set state.path to a directory that this user may write`,
    );
  }
  const lock = takeLock(directory);
  return {
    path: directory,
    databasePath: join(directory, "journal.db"),
    isTemporary,
    release() {
      lock.close();
      if (isTemporary) rmSync(directory, { recursive: true, force: true });
    },
  };
}

/**
 * Whether the file at that path is still the one that it is now. SQLite goes on writing to a file that was deleted or
 * replaced: what is accepted then would be gone at the next start.
 */
export function placeCheck(path: string): () => boolean {
  const { ino } = statSync(path);
  return () => statSync(path, { throwIfNoEntry: false })?.ino === ino;
}

/** SQLite's own lock on a file of its own: it goes with the process, however that ends. */
function takeLock(directory: string): DatabaseSync {
  const path = join(directory, "lock.db");
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(path);
    chmodSync(path, 0o600);
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock?.close();
    const reason = reasonOf(error);
    if (/locked|busy/i.test(reason)) {
      throw new Unavailable(
        `another process uses the state directory ${directory}: stop it, or give this one its own state.path`,
      );
    }
    throw new Unavailable(`cannot use the state directory ${directory}: ${reason}`);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
