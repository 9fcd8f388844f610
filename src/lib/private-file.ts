/** Small files that only their owner may read, replaced whole: a crash leaves the one before, or the new one. */
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

/** The text, or nothing if there is no such file. @throws {Error} if it cannot be read. */
export function readPrivateFile(path: string): string | undefined {
  const read = readRegularFile(path);
  if ("text" in read) return read.text;
  if (read.code === "ENOENT") return undefined;
  throw new Error(`cannot read ${path}: ${read.reason}`);
}

/**
 * On disk when it returns, mode 0600. It belongs to the owner of its directory, so that what root writes can be read by the
 * user that the service runs as. The directory is created if it is missing.
 * @throws {Error} if it cannot be written; the file before stays as it was.
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

/** A new directory of that prefix for its owner alone. @throws {Error} with what to do if there is no place for it. */
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
    // Not `writeSync`: a disk that becomes full makes that write a part, without an error.
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Puts on disk which names a directory holds: after a rename, a synced file alone may still be found under the old one.
 * Windows has no such call for directories; NTFS journals renames itself.
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
