/** What a log stream at Tailscale is to be, and how far what is there is from it. */
import type { Config } from "../config/schema.ts";
import type { Fingerprints } from "./fingerprint.ts";
import { isSameAddress, publicAddress } from "./public-address.ts";
import type { Compression, LogName, LogStream, LogStreamTarget } from "./types.ts";

export const logNames: readonly LogName[] = ["network", "configuration"];

/** Shown in Tailscale's console beside the address. The receiver looks at the token alone. */
const user = "tailscale2otel";

/**
 * What is put: `streaming.public_url` with `streaming.path` where it has no path of its own, and zstd, unless
 * `streaming.decompress` takes one form only.
 */
export function logStreamTargetOf({ streaming }: Pick<Config, "streaming">): LogStreamTarget {
  return {
    url: publicAddress(streaming.public_url, streaming.path),
    user,
    token: streaming.token,
    compressionFormat: compressionOf(streaming.decompress),
  };
}

/** The logs that are wanted. */
export function wantedLogsOf({ collectors }: Pick<Config, "collectors">): readonly LogName[] {
  const isWanted = { network: collectors.flowlogs.enabled, configuration: collectors.auditlogs.enabled };
  return logNames.filter((log) => isWanted[log]);
}

/**
 * `as_put`: nothing is to be done. `changed`: it is our address with another token, user or compression, or one that we did
 * not put. `foreign`: it goes elsewhere. `absent`: there is none.
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

function compressionOf(decompress: Config["streaming"]["decompress"]): Compression {
  return decompress === "auto" ? "zstd" : decompress;
}
