/** Secrets that are kept in a file of their own. */
import { closeSync, openSync, readSync } from "node:fs";
import { systemReason } from "./system-reason.ts";

const maxBytes = 64 * 1024;

/** The text of the file without white space at its ends, or why there is none. Never throws. */
export function readSecretFile(path: string): { readonly secret: string } | { readonly complaint: string } {
  const buffer = Buffer.alloc(maxBytes + 1);
  let length: number;
  try {
    const file = openSync(path, "r");
    try {
      length = readSync(file, buffer);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { complaint: `${JSON.stringify(path)} cannot be read: ${systemReason(error)}` };
  }
  if (length > maxBytes) return { complaint: `${JSON.stringify(path)} is larger than 64 KiB, which is no secret` };
  const secret = buffer.toString("utf8", 0, length).trim();
  if (secret === "") return { complaint: `${JSON.stringify(path)} is empty` };
  return { secret };
}
