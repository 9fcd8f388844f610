/** Binds an address, or says in one line why it cannot and what to do, and stops serving within a deadline. */
import { waitAtMost } from "../lib/backoff.ts";
import type { ListenAddress } from "../lib/listen.ts";
import { codeOf, messageOf } from "../lib/system-error.ts";
import { type RunningServer, serve, type ServeOptions } from "../runtime/serve.ts";

/** The address cannot be bound. One line for a person. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  constructor(
    /** As configured. */
    readonly address: string,
    override readonly cause: unknown,
  ) {
    super(textOf(address, cause, "", "the listen setting"));
  }

  /** The message, naming the setting that the address comes from. */
  messageFor(setting: string): string {
    return textOf(this.address, this.cause, ` (${setting})`, setting);
  }
}

/** The reason and its remedy, by error code. */
const reasons: Readonly<Record<string, (setting: string) => string>> = {
  EADDRINUSE: (setting) => `the address is already in use. Stop the program that uses it, or change ${setting}`,
  EACCES: (setting) =>
    `not permitted. Ports below 1024 need a privilege: grant CAP_NET_BIND_SERVICE, or set ${setting} to a higher port`,
  EADDRNOTAVAIL: (setting) =>
    `this machine has no such address. Set ${setting} to an address of this machine, or to ":port" for all of them`,
};
const sameAs: Readonly<Record<string, string>> = { EPERM: "EACCES", ENOTFOUND: "EADDRNOTAVAIL" };

function textOf(address: string, cause: unknown, origin: string, setting: string): string {
  const code = codeOf(cause) ?? "";
  const reason = reasons[sameAs[code] ?? code]?.(setting) ?? messageOf(cause);
  return `cannot listen on ${address}${origin}: ${reason}`;
}

export type Listener = ReturnType<typeof bind>;

/**
 * Binds and serves. All addresses together are one dual-stack socket, or IPv4 alone on a machine without IPv6.
 * @throws {ListenError}
 */
export function bind(address: ListenAddress, options: Omit<ServeOptions, "hostname" | "port">) {
  let answering = 0;
  const handle: ServeOptions["handle"] = async (request, connection) => {
    answering++;
    try {
      return await options.handle(request, connection);
    } finally {
      answering--;
    }
  };
  const server = bound(address, (hostname) => serve({ ...options, handle, hostname, port: address.port }));
  return {
    port: server.port,
    /** Stops listening at once, lets requests finish, and closes the rest after `deadlineMs`. */
    async stop(deadlineMs: number): Promise<void> {
      const endsAt = performance.now() + deadlineMs;
      let isEnded = false;
      const ending = server.finish().then(() => (isEnded = true));
      // The runtime also waits for connections with an incomplete request.
      let busyAt = performance.now();
      for (let now = busyAt; now < Math.min(endsAt, busyAt + lingerMs); now = performance.now()) {
        await waitAtMost(ending, Math.min(lingerMs / 10, endsAt - now));
        if (isEnded) return;
        if (answering > 0) busyAt = performance.now();
      }
      await server.abort();
    },
  };
}

/**
 * Binds so that a second listener of this process can bind the same port. The system then lets any process of this user join, so
 * a probe first finds out whether the port is free.
 * @throws {ListenError}
 */
export async function bindShared(address: ListenAddress, options: Parameters<typeof bind>[1]): Promise<Listener> {
  const probe = bind(address, options);
  await probe.stop(0);
  return bind({ ...address, port: probe.port }, { ...options, sharesPort: true });
}

/** Connections without a complete request are closed this long after the last answer. */
const lingerMs = 500;

function bound({ hostname, text }: ListenAddress, on: (hostname: string) => RunningServer): RunningServer {
  try {
    return on(hostname ?? "::");
  } catch (error) {
    const hasNoIpv6 = hostname === undefined && ["EAFNOSUPPORT", "EADDRNOTAVAIL"].includes(codeOf(error) ?? "");
    if (!hasNoIpv6) throw new ListenError(text, error);
    return bound({ hostname: "0.0.0.0", text, port: 0 }, on);
  }
}
