/**
 * Remembers what was last put as a log stream, without its token: Tailscale never tells the token back, so this is how a
 * start knows that nothing has changed. A keyed digest for each log, in a file of the state directory.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { readPrivateFile, writePrivateFile } from "../lib/private-file.ts";
import type { LogName, LogStreamTarget } from "./types.ts";

export interface Fingerprints {
  /** Whether this is what was put last. */
  holds(log: LogName, target: LogStreamTarget): boolean;
  /** @throws {Error} where the file cannot be written. */
  keep(log: LogName, target: LogStreamTarget): void;
  /** @throws {Error} where the file cannot be written. */
  forget(log: LogName): void;
}

/** Reads the file anew each time, since commands write it too. One that is damaged holds nothing. */
export function fingerprintsIn(stateDirectory: string): Fingerprints {
  const path = join(stateDirectory, "log-streams.json");
  return {
    holds(log, target) {
      const { key, digests } = read(path);
      const kept = digests[log];
      const digest = Buffer.from(digestOf(key, target), "hex");
      return kept !== undefined && kept.length === digest.length && timingSafeEqual(kept, digest);
    },
    keep(log, target) {
      const { key, digests } = read(path);
      write(path, { key, digests: { ...digests, [log]: Buffer.from(digestOf(key, target), "hex") } });
    },
    forget(log) {
      const { key, digests } = read(path);
      if (digests[log] !== undefined) write(path, { key, digests: { ...digests, [log]: undefined } });
    },
  };
}

interface Kept {
  /** Hexadecimal. */
  readonly key: string;
  readonly digests: { readonly [Log in LogName]?: Buffer | undefined };
}

function digestOf(key: string, { url, user, token, compressionFormat }: LogStreamTarget): string {
  return createHmac("sha256", Buffer.from(key, "hex"))
    .update(JSON.stringify([url, user, token, compressionFormat]))
    .digest("hex");
}

function read(path: string): Kept {
  let stored: unknown;
  try {
    stored = JSON.parse(readPrivateFile(path) ?? "null");
  } catch {
    stored = null;
  }
  const { key, network, configuration } = { ...(stored as Record<string, unknown> | null) };
  if (!isDigest(key)) return { key: randomBytes(32).toString("hex"), digests: {} };
  return {
    key,
    digests: {
      ...(isDigest(network) && { network: Buffer.from(network, "hex") }),
      ...(isDigest(configuration) && { configuration: Buffer.from(configuration, "hex") }),
    },
  };
}

function write(path: string, { key, digests }: Kept): void {
  const { network, configuration } = digests;
  const stored = { key, network: network?.toString("hex"), configuration: configuration?.toString("hex") };
  writePrivateFile(path, `${JSON.stringify(stored)}\n`);
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}
