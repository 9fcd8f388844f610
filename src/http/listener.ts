/** Binds an address, or says in one line why it cannot and what to do. */
import type { Server } from "node:net";
import type { ListenAddress } from "../lib/listen.ts";

/** The address cannot be bound. One line for a person. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  constructor(
    /** As it was written. */
    readonly address: string,
    override readonly cause: unknown,
  ) {
    super(textOf(address, cause, "", "the listen setting"));
  }

  /** The message, naming the setting of the address. */
  messageFor(setting: string): string {
    return textOf(this.address, this.cause, ` (${setting})`, setting);
  }
}

/** By error code: the reason and its remedy. */
const reasons: Readonly<Record<string, (setting: string) => string>> = {
  EADDRINUSE: (setting) => `another program listens there. Stop it, or set ${setting} to another port`,
  EACCES: (setting) =>
    `not permitted. Ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE, or set ${setting} to a higher port`,
  EADDRNOTAVAIL: (setting) =>
    `this machine has no such address. Set ${setting} to an address of this machine, or to ":port" for all of them`,
};
const sameAs: Readonly<Record<string, string>> = { EPERM: "EACCES", ENOTFOUND: "EADDRNOTAVAIL" };

function textOf(address: string, cause: unknown, origin: string, setting: string): string {
  const code = codeOf(cause);
  const reason = reasons[sameAs[code] ?? code]?.(setting) ?? (cause instanceof Error ? cause.message : String(cause));
  return `cannot listen on ${address}${origin}: ${reason}`;
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
      if (!["EAFNOSUPPORT", "EADDRNOTAVAIL"].includes(codeOf(error))) throw error;
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

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
