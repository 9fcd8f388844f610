/**
 * The tailnet's devices, read from the API at an interval, with a stored copy for the next start. The latest answer counts: a
 * deleted device has no name, and an address has the name of its current device.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { Buffer } from "node:buffer";
import { Unavailable } from "../errors.ts";
import type { Journal } from "../journal/index.ts";
import { messageOf } from "../lib/system-error.ts";
import type { Device } from "../processors/directory.ts";
import { parseAddress } from "../records/address.ts";
import type { ApiDevice, Failure, TailscaleApi } from "../tailscale/index.ts";
import { createScrape, type ScrapeDeps } from "../tailscale/scrape.ts";

export interface DevicesDeps extends ScrapeDeps {
  readonly api: Pick<TailscaleApi, "devices">;
  /** Stores the copy. */
  readonly journal: Pick<Journal, "readState" | "writeState">;
  /** Receives the devices whenever they change. */
  readonly use: (devices: readonly Device[]) => void;
}

/** Takes about 100 MB of memory. */
const defaultMaxDevices = 100_000;

/** The name of the copy in the journal's state. */
const stateName = "devices";

export function createDeviceRefresh(
  { intervalMs, maxDevices = defaultMaxDevices }: { readonly intervalMs: number; readonly maxDevices?: number },
  { api, journal, use, ...deps }: DevicesDeps,
) {
  const { logger } = deps;
  let usedText: string | undefined;
  /** The last text that was stored, or that cannot be stored. */
  let storedText: string | undefined;

  async function update(answer: readonly Device[]): Promise<void> {
    const devices = answer.slice(0, maxDevices);
    const text = JSON.stringify(devices);
    if (text !== usedText) {
      usedText = text;
      use(devices);
      if (answer.length > maxDevices)
        logger.warn("the tailnet has more devices than this program keeps; the others have no name", {
          kept: maxDevices,
        });
    }
    if (text === storedText) return;
    try {
      await journal.writeState(stateName, encodeDevices(devices));
    } catch (error) {
      logger.warn("cannot store the tailnet's devices for the next start", { reason: messageOf(error) });
      // If the journal is unavailable or full, the copy is stored later.
      if (error instanceof Unavailable) return;
    }
    storedText = text;
  }

  const what = "read the tailnet's devices (names come from the last copy, or from the records)";
  const scrape = createScrape(
    {
      collector: "devices",
      what,
      intervalMs,
      async read(signal) {
        const devices = directoryDevices(await api.devices(maxDevices + 1));
        if (!signal.aborted) await update(devices);
        return "current";
      },
    },
    deps,
  );

  return {
    /** Uses the stored copy, if there is one, and starts reading from the API. */
    start(): void {
      const stored = journal.readState(stateName);
      const devices = stored === undefined ? undefined : decodeDevices(stored);
      if (devices !== undefined) {
        usedText = storedText = JSON.stringify(devices);
        use(devices);
      }
      scrape.start();
    },
    /** Why the devices could not be read at the last attempt. */
    get failure(): Partial<Failure> {
      return scrape.status;
    },
    /** May be called before `start`, and twice. An answer that arrives later is not used. */
    stop: (): void => void scrape.stop(0),
  };
}

/** Omits devices without a node id, since nothing could refer to them, and addresses that do not parse. */
export function directoryDevices(devices: readonly ApiDevice[]): readonly Device[] {
  return devices.flatMap(({ nodeId = "", name = "", addresses, os = "", user = "", tags }): readonly Device[] => {
    if (nodeId === "") return [];
    const label = name.split(".", 1)[0] ?? "";
    const parsed = (addresses ?? []).flatMap((text) => parseAddress(text)?.text ?? []);
    const named = [...new Set((tags ?? []).map((tag) => tag.trim()))].filter((tag) => tag !== "").toSorted();
    return [{ nodeId, label, addresses: parsed, os, user, tags: named }];
  });
}

/** The version of the copy's format. */
const version = 1;

/** Enough for over 100,000 devices of 31 bytes each, as measured. A larger copy is not worth the space that records need. */
const maxStoredBytes = 4 * 1024 * 1024;

/** Limit of a decompressed copy, in case somebody has tampered with it. */
const maxInflatedBytes = 256 * 1024 * 1024;

/** @throws {RangeError} if the copy would be too large. */
export function encodeDevices(devices: readonly Device[]): Uint8Array {
  const params = { [constants.ZSTD_c_compressionLevel]: 1 };
  const stored = zstdCompressSync(Buffer.from(JSON.stringify({ version, devices })), { params });
  if (stored.length > maxStoredBytes)
    throw new RangeError(`${devices.length} devices take more than ${maxStoredBytes} bytes`);
  return stored;
}

/** `undefined` if the copy is damaged or of another version: the API has all devices. */
export function decodeDevices(stored: Uint8Array): readonly Device[] | undefined {
  try {
    const text = zstdDecompressSync(stored, { maxOutputLength: maxInflatedBytes }).toString("utf8");
    const copy = JSON.parse(text) as { readonly version: number; readonly devices: readonly Device[] };
    return copy.version === version ? copy.devices : undefined;
  } catch {
    return undefined;
  }
}
