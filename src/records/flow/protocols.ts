/** IANA protocol numbers as flow records carry them, and the transports that they are exported as. */
import type { LeftOutReason } from "./columns.ts";

/** Numbers with a name of their own; 99 is Tailscale's rejection notice (TSMP), 255 a fragment. */
const names: Readonly<Record<number, string>> = {
  1: "icmp",
  2: "igmp",
  6: "tcp",
  17: "udp",
  33: "dccp",
  47: "gre",
  50: "esp",
  51: "ah",
  58: "ipv6-icmp",
  89: "ospf",
  99: "tsmp",
  132: "sctp",
  255: "fragment",
};

/** The transport's name; `unknown` for 0, the number as text if it has none. */
export function transportName(protocol: number): string {
  return protocol === 0 ? "unknown" : (names[protocol] ?? String(protocol));
}

/**
 * The number from the wire: a number, a quoted number or a name; 0 if absent. Otherwise why the entry is left out:
 * `invalid_protocol` outside 0–255, `invalid_entry` for another type.
 */
export function protocolNumber(proto: unknown): number | LeftOutReason {
  if (proto === undefined || proto === null) return 0;
  if (typeof proto !== "number" && typeof proto !== "string") return "invalid_entry";
  const number = typeof proto === "number" ? proto : numberOfText(proto);
  return Number.isInteger(number) && number >= 0 && number <= 255 ? number + 0 : "invalid_protocol";
}

const numbers = new Map(Object.entries(names).map(([number, name]) => [name, Number(number)]));

function numberOfText(text: string): number {
  if (text === "") return 0;
  return /^\d+$/.test(text) ? Number(text) : (numbers.get(text.toLowerCase()) ?? Number.NaN);
}
