/** Reads a whole file that a user named, without blocking: opening a pipe or reading a device could otherwise take forever. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { devNull } from "node:os";
import { codeOf, fileErrorReason } from "./system-error.ts";
import { formatBytes } from "./units.ts";

/** A file's text, or why there is none. `code`: the system's error code; `EINVAL` if it is not a regular file. */
export type FileRead =
  { readonly text: string; readonly stats: Stats } | { readonly reason: string; readonly code: string };

/** Enough for certificates, keys and configuration files. */
export const maxFileBytes = 1024 * 1024;

/**
 * Never throws. `pipeWaitMs`: how long the writer of a pipe may take while the whole process waits; without it, a pipe is refused
 * like any special file except the null device.
 */
export function readRegularFile(path: string, maxBytes = maxFileBytes, pipeWaitMs = 0): FileRead {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(file);
      const isPipe = stats.isFIFO() && pipeWaitMs > 0;
      const isReadable = stats.isFile() || stats.isDirectory() || isPipe || path === devNull;
      if (!isReadable) return { reason: "it is not a regular file", code: "EINVAL" };
      const endsAt = performance.now() + pipeWaitMs;
      const buffer = Buffer.alloc(maxBytes + 1);
      let length = 0;
      for (let read: number | undefined = -1; read !== 0 && length <= maxBytes; length += read ?? 0) {
        read = readAvailable(file, buffer.subarray(length));
        if (read !== undefined) continue;
        if (performance.now() >= endsAt) return { reason: "the writer of the pipe takes too long", code: "ETIMEDOUT" };
        Atomics.wait(sleeper, 0, 0, 10);
      }
      if (length > maxBytes) return { reason: `it is larger than ${formatBytes(maxBytes)}`, code: "EFBIG" };
      if (length === 0 && isPipe) return { reason: "the pipe is empty", code: "EINVAL" };
      return { text: buffer.toString("utf8", 0, length), stats };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { reason: fileErrorReason(error) ?? String(error), code: codeOf(error) ?? "" };
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** `undefined` if a pipe has no data yet. */
function readAvailable(file: number, buffer: Buffer): number | undefined {
  try {
    return readSync(file, buffer, 0, buffer.length, null);
  } catch (error) {
    if (codeOf(error) === "EAGAIN") return undefined;
    throw error;
  }
}
