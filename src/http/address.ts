/** Addresses to listen on, as an operator writes them. */
import { isIP } from "node:net";
import { ConfigError } from "../errors.ts";

export interface ListenAddress {
  /** As written. */
  readonly text: string;
  /** Absent: every address of this machine, IPv6 and IPv4. */
  readonly hostname: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

/**
 * `":8088"`, `"127.0.0.1:8088"`, `"[::1]:8088"`, `"localhost:8088"`.
 * @throws {ConfigError} with one line that says what is allowed.
 */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\][]*)\]|([^:\][/\s]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = digits === undefined ? Number.NaN : Number(digits);
  const isGood = port <= 65_535 && (bracketed === undefined || isIP(bracketed) === 6) && isHost(plain ?? "");
  if (!isGood) throw new ConfigError([`cannot listen on "${text}": write ":8088", "127.0.0.1:8088" or "[::1]:8088"`]);
  return { text, hostname: bracketed ?? (plain === "" ? undefined : plain), port };
}

/** Whether only programs on this machine can reach it. */
export function isLoopback(hostname: string | undefined): boolean {
  if (hostname === undefined) return false;
  const bare = hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  return (
    bare === "localhost" ||
    bare.endsWith(".localhost") ||
    bare === "::1" ||
    (isIP(bare) === 4 && bare.startsWith("127.")) ||
    bare.startsWith("::ffff:127.")
  );
}

function isHost(name: string): boolean {
  const looksNumeric = /^[\d.]+$/.test(name);
  return looksNumeric ? isIP(name) === 4 : true;
}
