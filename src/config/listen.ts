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
