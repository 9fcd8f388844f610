/** Addresses to listen on, as they are written in settings. */
import { isIP } from "node:net";

export interface ListenAddress {
  /** As written. */
  readonly text: string;
  /** Without brackets. Absent: every address of this machine, IPv6 and IPv4. */
  readonly hostname: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

/** `host:port`, `[v6]:port` or `:port`; `undefined` where the text is none of them. */
export function parseListen(text: string): ListenAddress | undefined {
  const match = /^(?:\[([^\][]*)\]|([^:\][/\s]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain = "", digits] = match;
  const port = Number(digits);
  const isHost = bracketed === undefined ? !/^[\d.]+$/.test(plain) || isIP(plain) === 4 : isIP(bracketed) === 6;
  if (!isHost || port > 65_535) return undefined;
  return { text, hostname: bracketed ?? (plain === "" ? undefined : plain), port };
}

/** Whether only programs on this machine can reach it. */
export function isLoopback(hostname: string | undefined): boolean {
  if (hostname === undefined) return false;
  const name = hostname.toLowerCase();
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1") return true;
  return (isIP(name) === 4 && name.startsWith("127.")) || name.startsWith("::ffff:127.");
}

/** Whether only one of the two can be bound. Port 0 is a free port each time. */
export function isSameListen(one: string, other: string): boolean {
  const [first, second] = [parseListen(one), parseListen(other)];
  if (first === undefined || second === undefined || first.port === 0) return false;
  return first.port === second.port && nameOf(first) === nameOf(second);
}

function nameOf({ hostname = "" }: ListenAddress): string {
  const isAll = hostname === "0.0.0.0" || hostname === "::";
  return isAll ? "" : hostname.toLowerCase();
}
