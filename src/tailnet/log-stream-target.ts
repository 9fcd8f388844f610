/** What a log stream at Tailscale should be, how far the present one is from it, and what was last set. */
import { createHmac, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Config } from "../config/index.ts";
import { memoryPath } from "../journal/index.ts";
import { openPrivateFile } from "../lib/private-file.ts";
import { isObject } from "../records/members.ts";
import type { LogName, LogStream, LogStreamTarget } from "../tailscale/index.ts";

export const logNames: readonly LogName[] = ["network", "configuration"];

/** `streaming.public_url`, and zstd unless `streaming.decompress` forces another compression. */
export function logStreamTargetOf({ streaming }: Pick<Config, "streaming">): LogStreamTarget {
  return {
    url: publicAddress(streaming.public_url, streaming.path),
    // Shown beside the address in Tailscale's admin console. The receiver checks only the token.
    user: "tailscale2otel",
    token: streaming.token,
    compressionFormat: streaming.decompress === "auto" ? "zstd" : streaming.decompress,
  };
}

/** The logs whose collectors are enabled. */
export function wantedLogsOf({ collectors }: Pick<Config, "collectors">): readonly LogName[] {
  const isWanted = { network: collectors.flowlogs.enabled, configuration: collectors.auditlogs.enabled };
  return logNames.filter((log) => isWanted[log]);
}

/** The address that Tailscale sends to: `publicUrl`, with the receiver's path if it has none. */
export function publicAddress(publicUrl: string, receiverPath: string): string {
  const url = new URL(publicUrl);
  if (url.pathname === "/") url.pathname = receiverPath;
  return url.href;
}

/** Whether two addresses are equal apart from the host's case, default ports and a slash at the end. */
export function isSameAddress(one: string, other: string): boolean {
  return normal(one) === normal(other);
}

function normal(text: string): string {
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  url.pathname = url.pathname.replace(/\/+$/, "");
  return url.href;
}

/**
 * `as_put`: as it should be. `changed`: our address, but the token, user or compression may differ. `foreign`: it points
 * elsewhere. `absent`: there is none.
 */
export type LogStreamVerdict = "as_put" | "changed" | "foreign" | "absent";

export function judgeLogStream(
  log: LogName,
  present: LogStream | undefined,
  target: LogStreamTarget,
  fingerprints: Pick<Fingerprints, "holds">,
): LogStreamVerdict {
  if (present === undefined) return "absent";
  if (present.destinationType !== "splunk" || !isSameAddress(present.url, target.url)) return "foreign";
  const isAlike = present.user === target.user && present.compressionFormat === target.compressionFormat;
  return isAlike && fingerprints.holds(log, target) ? "as_put" : "changed";
}

/**
 * What each log was last set to, as a keyed digest: Tailscale never returns the token, so this is how a start knows that
 * nothing has changed.
 */
export interface Fingerprints {
  /** Whether this is what the log was last set to. */
  holds(log: LogName, target: LogStreamTarget): boolean;
  /** @throws {Error} if the file cannot be written. */
  keep(log: LogName, target: LogStreamTarget): void;
  /** @throws {Error} if the file cannot be written. */
  forget(log: LogName): void;
}

/** In the state directory, or in memory. The file is read each time, since commands write it too; a damaged one is empty. */
export function fingerprintsIn(statePath: string): Fingerprints {
  const file = openPrivateFile(statePath === memoryPath ? undefined : join(statePath, "log-streams.json"));

  function read(): Stored {
    try {
      const stored: unknown = JSON.parse(file.read() ?? "null");
      if (isObject(stored) && /^[0-9a-f]{64}$/.test(String(stored["key"]))) return stored as unknown as Stored;
    } catch {}
    return { key: randomBytes(32).toString("hex") };
  }

  return {
    holds(log, target) {
      const stored = read();
      return stored[log] === digestOf(stored.key, target);
    },
    keep(log, target) {
      const stored = read();
      file.write(`${JSON.stringify({ ...stored, [log]: digestOf(stored.key, target) })}\n`);
    },
    forget(log) {
      const stored = read();
      if (stored[log] !== undefined) file.write(`${JSON.stringify({ ...stored, [log]: undefined })}\n`);
    },
  };
}

/** A key and digests, hexadecimal. */
type Stored = { readonly key: string } & { readonly [Log in LogName]?: unknown };

function digestOf(key: string, { url, user, token, compressionFormat }: LogStreamTarget): string {
  const text = JSON.stringify([url, user, token, compressionFormat]);
  return createHmac("sha256", Buffer.from(key, "hex")).update(text).digest("hex");
}
