/** Binds an address and lets go of it: what all servers of this program share. */
import type { ListenAddress } from "../lib/listen.ts";
import { type RunningServer, serve, type ServeOptions } from "../runtime/serve.ts";

/** The address cannot be bound. One line for a person. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  /** As it was written. */
  readonly address: string;
  readonly #why: ReasonAndRemedy;
  constructor(address: string, cause: unknown) {
    const why = reasonOf(cause);
    super(textOf(address, why), { cause });
    this.address = address;
    this.#why = why;
  }

  /** The message with the setting that the address comes from. */
  messageFor(setting: string): string {
    return textOf(this.address, this.#why, setting);
  }
}

interface ReasonAndRemedy {
  readonly reason: string;
  /** What to do; `setting` is the address's. */
  readonly remedy?: (setting: string) => string;
}

export type ListenerOptions = Omit<ServeOptions, "hostname" | "port">;

/**
 * Binds. All addresses are one dual-stack socket; where the machine has no IPv6, IPv4 alone.
 * @throws {ListenError}
 */
export function bind(address: ListenAddress, options: ListenerOptions): RunningServer {
  try {
    if (address.hostname !== undefined) return serve({ ...options, hostname: address.hostname, port: address.port });
    try {
      return serve({ ...options, hostname: "::", port: address.port });
    } catch (error) {
      if (!hasCode(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) throw error;
      return serve({ ...options, hostname: "0.0.0.0", port: address.port });
    }
  } catch (error) {
    throw new ListenError(address.text, error);
  }
}

/**
 * Binds so that a second listener of this process can take the same port. The system would let any process of this user
 * join then, so that the port is free is found out first.
 * @throws {ListenError}
 */
export async function bindShared(address: ListenAddress, options: ListenerOptions): Promise<RunningServer> {
  const probe = bind(address, options);
  await probe.abort();
  return bind({ ...address, port: probe.port }, { ...options, sharesPort: true });
}

/** The runtime also waits for connections on which half a head has come. So long after the last answer, they are closed. */
const lingerMs = 500;

/**
 * Takes no new connection, lets requests end, and closes what is left after the deadline, or as soon as there are
 * only connections without a request. `isBusy`: whether a request is being answered.
 */
export async function finish(server: RunningServer, deadlineMs: number, isBusy: () => boolean): Promise<void> {
  const endsAt = performance.now() + deadlineMs;
  let isEnded = false;
  const ending = server.finish().then(() => {
    isEnded = true;
  });
  let busyAt = performance.now();
  for (;;) {
    const now = performance.now();
    if (isBusy()) busyAt = now;
    const waitMs = Math.min(endsAt, busyAt + lingerMs) - now;
    if (isEnded || waitMs <= 0) break;
    await before(Math.min(waitMs, lingerMs / 10), ending);
  }
  if (!isEnded) await server.abort();
}

/** Waits so long, or until something else has happened. */
export async function before(timeoutMs: number, other: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([late, other]);
  clearTimeout(timer);
}

function textOf(address: string, { reason, remedy }: ReasonAndRemedy, setting?: string): string {
  const begin = `cannot listen on ${address}${setting === undefined ? "" : ` (${setting})`}: ${reason}`;
  return remedy === undefined ? begin : `${begin}. ${remedy(setting ?? "the listen setting")}`;
}

function reasonOf(error: unknown): ReasonAndRemedy {
  if (hasCode(error, "EADDRINUSE"))
    return {
      reason: "another program listens there",
      remedy: (setting) => `Stop it, or set ${setting} to another port`,
    };
  if (hasCode(error, "EACCES", "EPERM"))
    return {
      reason: "not permitted",
      remedy: (setting) =>
        `Ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE, or set ${setting} to a higher port`,
    };
  if (hasCode(error, "EADDRNOTAVAIL", "ENOTFOUND"))
    return {
      reason: "this machine has no such address",
      remedy: (setting) => `Set ${setting} to an address of this machine, or to ":port" for all of them`,
    };
  return { reason: error instanceof Error ? error.message : String(error) };
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
