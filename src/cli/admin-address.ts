/**
 * Finds the address and token of an instance's admin listener: from `--url`, the file of the running instance, or `admin.*`.
 */
import { statSync } from "node:fs";
import process from "node:process";
import { instanceFilePath, type InstanceRecord, readInstanceFile } from "../admin/instance-file.ts";
import { type Inspection, tailnetConfigs, usesTls } from "../config/index.ts";
import { leafOf } from "../http/tls.ts";
import { inspectJournal } from "../journal/index.ts";
import { codeOf } from "../lib/system-error.ts";
import { isLoopback, parseListen, urlOfListen } from "../lib/listen.ts";
import { readRegularFile } from "../lib/regular-file.ts";
import { option, urlOf } from "./flags.ts";

export const urlFlag = {
  url: option("address", "Admin listener of the instance. (Default: that of the instance with this state directory)"),
} as const;

export interface AdminAddress {
  /** Without a trailing slash. */
  readonly url: string;
  /** Empty if none is known. */
  readonly token: string;
  /** True if recorded by the instance itself, not configured. */
  readonly isRecorded: boolean;
  /**
   * PEM certificates. If there are any, only they are trusted, for any host name, because the address is on this machine.
   * Otherwise the certificate is verified as usual.
   */
  readonly certificates: readonly string[];
}

export interface AdminAddresses {
  /** Most likely first; empty if no listener has a fixed port. */
  readonly addresses: readonly AdminAddress[];
  /** For standard error: why an instance's file is ignored. */
  readonly remark?: string;
  /** Why there are no addresses although there is a port: no instance runs. */
  readonly problem?: string;
}

/** `given`: the value of `--url`, which then replaces all other sources. @throws {UsageError} if it is not a URL. */
export function adminAddresses(
  given: string | undefined,
  inspection: Pick<Inspection, "config" | "origins">,
): AdminAddresses {
  const { config, origins } = inspection;
  const { admin, state } = config;
  const record = readInstanceFile(state.path);
  const recorded: AdminAddress | undefined = record && {
    url: record.admin,
    token: record.token ?? "",
    isRecorded: true,
    certificates: record.certificates ?? [],
  };
  if (given !== undefined) {
    const url = urlOf(given).href.replace(/\/+$/, "");
    const known = recorded !== undefined && isSamePlace(url, recorded.url) ? recorded : undefined;
    const token = admin.token === "" ? (known?.token ?? "") : admin.token;
    return { addresses: [{ url, token, isRecorded: false, certificates: known?.certificates ?? [] }] };
  }
  const port = admin.enabled ? (parseListen(admin.listen)?.port ?? 0) : 0;
  const scheme = usesTls(admin.tls) ? "https" : "http";
  const configured: readonly AdminAddress[] =
    port === 0
      ? []
      : [
          {
            url: urlOfListen(admin.listen, scheme),
            token: admin.token,
            isRecorded: false,
            certificates: certificatesIn(admin.tls.cert_file),
          },
        ];
  const isNamedNow = ["flag", "environment"].includes(origins.get("admin.listen")?.from ?? "");
  // With several tailnets, the instance locks the state of each.
  const [{ config: first }] = tailnetConfigs(config);
  const held = first.state.path;
  const isDown = record === undefined ? inspectJournal(held).kind === "ready" : hasEnded(record, held);
  const remark =
    record === undefined || !isDown
      ? {}
      : {
          remark: `ignoring ${instanceFilePath(state.path)}: the instance that wrote it (pid ${record.pid}) has ended`,
        };
  // Anything listening there now is another program on this machine, which must not get the token.
  if (isDown && !isNamedNow && port !== 0 && admin.token !== "")
    return { addresses: [], ...remark, problem: `no instance is using ${state.path}` };
  if (recorded === undefined || isDown) return { addresses: configured, ...remark };
  const others = configured.filter(({ url }) => !isSamePlace(url, recorded.url));
  return { addresses: isNamedNow ? [...others, recorded] : [recorded, ...others] };
}

/**
 * The system releases the lock of the state directory however the instance ends, but only its user can check the lock. For
 * others, such as root, the process id decides, although it may have been reused.
 */
function hasEnded({ pid }: InstanceRecord, statePath: string): boolean {
  const { kind } = inspectJournal(statePath, "moved or not");
  return kind !== "in_use" && (kind !== "unusable" || !isRunning(pid, statePath));
}

/** True if the process exists and belongs to the state's owner or to root. */
function isRunning(pid: number, statePath: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false;
  }
  const uidOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.uid;
  const uid = uidOf(`/proc/${pid}`);
  return uid === undefined || uid === 0 || uid === uidOf(statePath);
}

/** The server's own certificate in a file, if it can be read. */
function certificatesIn(file: string): readonly string[] {
  const read = file === "" ? undefined : readRegularFile(file);
  if (read === undefined || !("text" in read)) return [];
  try {
    return [leafOf(read.text)];
  } catch {
    return [];
  }
}

function isSamePlace(one: string, other: string): boolean {
  const [first, second] = [new URL(one), new URL(other)];
  const isHere = ({ hostname }: URL): boolean => isLoopback(hostname.replace(/^\[(.*)\]$/, "$1"));
  return first.port === second.port && (first.hostname === second.hostname || (isHere(first) && isHere(second)));
}
