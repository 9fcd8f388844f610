/**
 * A copy of the last directory of devices, so that names are there at a start, before the API has answered. It lies with
 * what the journal knows about itself; one that is damaged or from another version is none, since the API has it all.
 */
import { Buffer } from "node:buffer";
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../errors.ts";
import type { Device } from "../processors/directory.ts";
import { readMeta, writeMeta } from "./meta.ts";
import { pack, unpackText } from "./pack.ts";

const name = "devices";

/** Of what is kept. */
const version = 1;

/** Packed: over 100,000 devices of 31 bytes each, as measured. A larger directory is not worth the room that records need. */
const maxPackedBytes = 4 * 1024 * 1024;

interface Kept {
  readonly version: typeof version;
  readonly devices: readonly Device[];
}

/** The devices of the last directory, if there is a readable copy. */
export function readDevices(database: DatabaseSync): readonly Device[] | undefined {
  try {
    const packed = readMeta(database, name);
    if (packed === undefined) return undefined;
    const kept = JSON.parse(unpackText(Buffer.from(packed, "base64"))) as Kept;
    return kept.version === version ? kept.devices : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What writes the copy that takes the place of the last one, in the caller's transaction or one of its own.
 * @throws {Unavailable} at once where it is too large.
 */
export function copyOfDevices(database: DatabaseSync, devices: readonly Device[]): () => void {
  const kept: Kept = { version, devices };
  const packed = pack(JSON.stringify(kept));
  if (packed.length > maxPackedBytes) {
    throw new Unavailable(`${devices.length} devices take more than ${maxPackedBytes} bytes`);
  }
  return () => writeMeta(database, name, Buffer.from(packed).toString("base64"));
}
