/** Binds an address, or says in one line why it cannot and what to do. */
import type { Server } from "node:net";
import type { ListenAddress } from "../lib/listen.ts";

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

/**
 * Binds a server. All addresses are one dual-stack socket; on a machine without IPv6, IPv4 alone. Resolves with the port.
 * @throws {ListenError}
 */
export async function bind(server: Server, address: ListenAddress): Promise<number> {
  try {
    if (address.hostname !== undefined) return await listen(server, address.hostname, address.port);
    try {
      return await listen(server, "::", address.port);
    } catch (error) {
      if (!hasCode(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) throw error;
      return await listen(server, "0.0.0.0", address.port);
    }
  } catch (error) {
    throw new ListenError(address.text, error);
  }
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off("error", reject);
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : port);
    });
  });
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
