/** Puts on disk which names a directory holds: after a rename, a synced file alone may still be found under the old one. */
import { closeSync, fsyncSync, openSync } from "node:fs";

/** @throws {Error} where the directory cannot be read or synced. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
