/**
 * Remembers what each log stream was last set to, without its token: Tailscale never returns the token, so this is how a
 * start knows that nothing has changed. A keyed digest per log, in a file of the state directory.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { readPrivateFile, writePrivateFile } from "../lib/private-file.ts";
import { memoryPath } from "../journal/index.ts";
import type { LogName, LogStreamTarget } from "./types.ts";

export interface Fingerprints {
  /** Whether this is what the stream was last set to. */
  holds(log: LogName, target: LogStreamTarget): boolean;
  /** @throws {Error} if the file cannot be written. */
  keep(log: LogName, target: LogStreamTarget): void;
  /** @throws {Error} if the file cannot be written. */
  forget(log: LogName): void;
}

/**
 * Fingerprints in a state directory, or in memory if the path says so. The file is read anew each time, since commands write
 * it too. One that is damaged holds nothing.
 */
export function fingerprintsIn(statePath: string): Fingerprints {
  const store = statePath === memoryPath ? inMemory() : fileStore(join(statePath, "log-streams.json"));
  return {
    holds(log, target) {
      const { key, digests } = store.read();
      const kept = digests[log];
      const digest = Buffer.from(digestOf(key, target), "hex");
      return kept !== undefined && kept.length === digest.length && timingSafeEqual(kept, digest);
    },
    keep(log, target) {
      const { key, digests } = store.read();
      store.write({ key, digests: { ...digests, [log]: Buffer.from(digestOf(key, target), "hex") } });
    },
    forget(log) {
      const { key, digests } = store.read();
      if (digests[log] !== undefined) store.write({ key, digests: { ...digests, [log]: undefined } });
    },
  };
}

interface Store {
  read(): Kept;
  write(kept: Kept): void;
}

function inMemory(): Store {
  let kept: Kept = { key: randomBytes(32).toString("hex"), digests: {} };
  return { read: () => kept, write: (next) => void (kept = next) };
}

function fileStore(path: string): Store {
  return { read: () => readFile(path), write: (kept) => writeFile(path, kept) };
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

function readFile(path: string): Kept {
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

function writeFile(path: string, { key, digests }: Kept): void {
  const { network, configuration } = digests;
  const stored = { key, network: network?.toString("hex"), configuration: configuration?.toString("hex") };
  writePrivateFile(path, `${JSON.stringify(stored)}\n`);
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}
