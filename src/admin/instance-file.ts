/** `instance.json` in the state directory tells commands of the same user the running instance's address and admin token. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { memoryPath } from "../journal/index.ts";
import type { Clock } from "../lib/clock.ts";
import { attempt, type Logger } from "../lib/logger.ts";
import { readPrivateFile, writePrivateFile } from "../lib/private-file.ts";
import { messageOf } from "../lib/system-error.ts";
import { isObject } from "../records/members.ts";

/** The content of the file. */
export interface InstanceRecord {
  readonly pid: number;
  readonly version: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** URL of the admin listener for a program on the same machine. */
  readonly admin: string;
  /** Absent if none is required. */
  readonly token?: string;
  /** PEM certificates of an https listener, newest first: a server with another one is not this instance. */
  readonly certificates?: readonly string[];
}

/** How the listener is reached. An empty token means that none is required. */
export interface Announced {
  readonly admin: string;
  readonly token: string;
  /** Empty for plain HTTP. */
  readonly certificates: readonly string[];
}

export type InstanceFile = ReturnType<typeof createInstanceFile>;

export function instanceFilePath(statePath: string): string {
  return join(statePath, "instance.json");
}

/** For the process that holds the lock of the state directory. In-memory state has no file. */
export function createInstanceFile(
  statePath: string,
  { version, clock, logger }: { readonly version: string; readonly clock: Clock; readonly logger: Logger },
) {
  const isInMemory = statePath === memoryPath;
  const path = instanceFilePath(statePath);
  const startedAt = new Date(clock()).toISOString();
  return {
    /** Writes the file atomically, readable only by its owner. A failure is logged: commands then need `--url` or `admin.*`. */
    write({ admin, token, certificates }: Announced): void {
      if (isInMemory) return;
      const record: InstanceRecord = {
        pid: process.pid,
        version,
        startedAt,
        admin,
        ...(token === "" ? {} : { token }),
        ...(certificates.length === 0 ? {} : { certificates }),
      };
      try {
        writePrivateFile(path, `${JSON.stringify(record)}\n`);
      } catch (error) {
        logger.warn("other commands find this instance only with --url or admin.listen and admin.token", {
          reason: messageOf(error),
        });
      }
    },
    /** Removes the file of this process, or one left by a process that was killed. */
    remove(): void {
      if (!isInMemory) void attempt("cannot remove the instance file", logger, () => rmSync(path, { force: true }));
    },
  };
}

/** The content of the file; `undefined` if there is none or it is unusable, since it is only a convenience. */
export function readInstanceFile(statePath: string): InstanceRecord | undefined {
  if (statePath === memoryPath) return undefined;
  try {
    const record: unknown = JSON.parse(readPrivateFile(instanceFilePath(statePath)) ?? "null");
    return isRecord(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is InstanceRecord {
  if (!isObject(value)) return false;
  const { pid, admin, token = "", certificates = [] } = value;
  if (!Array.isArray(certificates)) return false;
  const areTexts = [admin, token, ...certificates].every((one) => typeof one === "string");
  return typeof pid === "number" && areTexts && /^https?:\/\/\S+$/.test(String(admin));
}
