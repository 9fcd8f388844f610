/** Small files that only their owner may read, replaced atomically: a crash leaves the previous file or the new one. */
import { randomBytes } from "node:crypto";
import {
  chownSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileErrorReason } from "./system-error.ts";
import { readRegularFile } from "./regular-file.ts";

/** The text, or `undefined` if there is no such file. @throws {Error} if it cannot be read. */
export function readPrivateFile(path: string): string | undefined {
  const read = readRegularFile(path);
  if ("text" in read) return read.text;
  if (read.code === "ENOENT") return undefined;
  throw new Error(`cannot read ${path}: ${read.reason}`);
}

/**
 * Writes a file with mode 0600; it is on disk when this returns. It belongs to the owner of its directory, so that the service's
 * user can read what root writes. The directory is created if it is missing.
 * @throws {Error} if it cannot be written; the previous file is unchanged.
 */
export function writePrivateFile(path: string, text: string): void {
  const directory = dirname(path);
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    try {
      writeSynced(temporary, text);
      const { uid, gid } = statSync(directory);
      if (statSync(temporary).uid !== uid) chownSync(temporary, uid, gid);
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    syncDirectory(directory);
  } catch (error) {
    const reason = fileErrorReason(error);
    throw reason === undefined ? error : new Error(`cannot write ${path}: ${reason}`, { cause: error });
  }
}

/** Creates a directory with that prefix, only for its owner. @throws {Error} with a remedy if it cannot be created. */
export function createTemporaryDirectory(prefix: string): string {
  try {
    return mkdtempSync(join(tmpdir(), prefix));
  } catch (error) {
    const reason = fileErrorReason(error) ?? String(error);
    const remedy = "Set TMPDIR to a directory that this user may write to.";
    throw new Error(`cannot create a temporary directory in ${tmpdir()}: ${reason}. ${remedy}`, { cause: error });
  }
}

function writeSynced(path: string, text: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    // Not `writeSync`: if the disk becomes full, it writes a part without an error.
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Syncs the names in a directory to disk: after a rename, a file that is synced alone may still have its old name. Windows has no
 * such call for directories; NTFS journals renames itself.
 * @throws {Error} if the directory cannot be read or synced.
 */
export function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
