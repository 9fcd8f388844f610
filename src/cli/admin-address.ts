/** Where the admin listener of an instance is, and its token: from `--url`, from the file of the running instance, or from `admin.*`. */
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
  /** Without a slash at the end. */
  readonly url: string;
  /** Empty: none is known. */
  readonly token: string;
  /** Written by the instance itself, not by a person. */
  readonly isRecorded: boolean;
  /**
   * In PEM form: only these are trusted, whatever names they have, because the address is one of this machine. None: one for
   * the host of the URL is, as always.
   */
  readonly certificates: readonly string[];
}

export interface AdminAddresses {
  /** Most likely first; none if there is no listener with a fixed port. */
  readonly addresses: readonly AdminAddress[];
  /** For standard error: why the file of an instance is ignored. */
  readonly remark?: string;
  /** Why there is none, although there is a port: no instance runs. */
  readonly problem?: string;
}

/** `given`: the value of `--url`, which alone counts then. @throws {UsageError} if it is no address. */
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
  // Of several tailnets, the instance holds the state of each.
  const [{ config: first }] = tailnetConfigs(config);
  const held = first.state.path;
  const isDown = record === undefined ? inspectJournal(held).kind === "ready" : hasEnded(record, held);
  const remark =
    record === undefined || !isDown
      ? {}
      : {
          remark: `ignoring ${instanceFilePath(state.path)}: the instance that wrote it (pid ${record.pid}) has ended`,
        };
  // Whoever listens there then, on this machine, is a stranger who must not get the token.
  if (isDown && !isNamedNow && port !== 0 && admin.token !== "")
    return { addresses: [], ...remark, problem: `no instance is using ${state.path}` };
  if (recorded === undefined || isDown) return { addresses: configured, ...remark };
  const others = configured.filter(({ url }) => !isSamePlace(url, recorded.url));
  return { addresses: isNamedNow ? [...others, recorded] : [recorded, ...others] };
}

/**
 * The system releases the lock of the state directory however the instance ends. Only its user can see that: for others, such as
 * root, the process counts, whose number may be another's by now.
 */
function hasEnded({ pid }: InstanceRecord, statePath: string): boolean {
  const { kind } = inspectJournal(statePath, "moved or not");
  return kind !== "in_use" && (kind !== "unusable" || !isRunning(pid, statePath));
}

/** Whether such a process runs, for the owner of the state or for root. */
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
