/** Binds an address and lets go of it: what all servers of this program share. */
import { type RunningServer, serve, type ServeOptions } from "../runtime/serve.ts";
import type { ListenAddress } from "./address.ts";

/** The address cannot be bound. One line for a person. */
export class ListenError extends Error {
  override readonly name = "ListenError";
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
    throw new ListenError(`cannot listen on ${address.text}: ${causeOf(error)}`, { cause: error });
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

/** Lets requests in flight end, and closes what is left after the deadline. */
export async function finish(server: RunningServer, deadlineMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), deadlineMs);
  });
  const ended = await Promise.race([server.finish(), late]);
  clearTimeout(timer);
  if (ended === "late") await server.abort();
}

function causeOf(error: unknown): string {
  if (hasCode(error, "EADDRINUSE")) return "another program listens there already";
  if (hasCode(error, "EACCES", "EPERM")) return "not permitted (ports below 1024 need a privilege)";
  if (hasCode(error, "EADDRNOTAVAIL", "ENOTFOUND")) return "this machine has no such address";
  return error instanceof Error ? error.message : String(error);
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
