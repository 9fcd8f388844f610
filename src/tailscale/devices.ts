/** Devices of the tailnet: from the API's answer to those of the directory, and the copy that is stored for the next start. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { ApiDevice } from "./answers.ts";
import type { Device } from "../processors/names.ts";
import { parseAddress } from "../records/address.ts";

/** Those with a node id; without one nothing could ever refer to it. Addresses that do not parse are left out. */
export function directoryDevices(devices: readonly ApiDevice[]): readonly Device[] {
  return devices.flatMap(({ nodeId = "", name = "", addresses, os = "", user = "", tags }) =>
    nodeId === ""
      ? []
      : [
          {
            nodeId,
            label: name.split(".", 1)[0] ?? "",
            addresses: (addresses ?? []).flatMap((text) => parseAddress(text)?.text ?? []),
            os,
            user,
            tags: [...new Set((tags ?? []).map((tag) => tag.trim()))].filter((tag) => tag !== "").toSorted(),
          },
        ],
  );
}

/** Of the stored copy's form. */
const version = 1;

/** Over 100,000 devices of 31 bytes each, as measured. A larger directory is not worth the room that records need. */
const maxStoredBytes = 4 * 1024 * 1024;

/** What a copy may inflate to: a bound for one that somebody has tampered with. */
const maxInflatedBytes = 256 * 1024 * 1024;

const compression = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** The copy of a directory, to be stored under a name in the journal. @throws {RangeError} if it would be too large. */
export function encodeDevices(devices: readonly Device[]): Uint8Array {
  const stored = zstdCompressSync(Buffer.from(JSON.stringify({ version, devices })), compression);
  if (stored.length > maxStoredBytes)
    throw new RangeError(`${devices.length} devices take more than ${maxStoredBytes} bytes`);
  return stored;
}

/** The devices of a copy; nothing if it is damaged or of another version, since the API has them all. */
export function decodeDevices(stored: Uint8Array): readonly Device[] | undefined {
  try {
    const text = zstdDecompressSync(stored, { maxOutputLength: maxInflatedBytes }).toString("utf8");
    const copy = JSON.parse(text) as { readonly version: number; readonly devices: readonly Device[] };
    return copy.version === version ? copy.devices : undefined;
  } catch {
    return undefined;
  }
}
