/** IANA protocol numbers in flow records, and the transport names under which they are exported. */
import type { LeftOutReason } from "./columns.ts";

/** Protocols with a name; 99 is Tailscale's own TSMP, 255 a fragment. */
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

/** True if the name is one that `transportName` returns, as opposed to the name of an IANA service. */
export function isTransport(name: string): boolean {
  return name === "unknown" || numbers.has(name) || /^\d+$/.test(name);
}

/**
 * Decodes `proto`: a number, a quoted number, or a name in any case; 0 if absent. An unknown name is returned in lower case, as
 * `{ name }`. For an invalid value, the reason: `invalid_protocol` if it is outside 0–255 or not a name, `invalid_entry` for
 * another type.
 */
export function protocolOf(proto: unknown): number | LeftOutReason | { readonly name: string } {
  if (proto === undefined || proto === null || proto === "") return 0;
  if (typeof proto !== "number" && typeof proto !== "string") return "invalid_entry";
  if (typeof proto === "string" && /^[a-z][\w.+-]{0,62}$/i.test(proto)) {
    const name = proto.toLowerCase();
    return numbers.get(name) ?? { name };
  }
  const number = typeof proto === "number" ? proto : /^\d+$/.test(proto) ? Number(proto) : Number.NaN;
  return Number.isInteger(number) && number >= 0 && number <= 255 ? number + 0 : "invalid_protocol";
}

/** Every name that Tailscale's own parser accepts (`ipproto.Proto.UnmarshalText`), and the names above. */
const numbers = new Map<string, number>([
  ...Object.entries(names).map(([number, name]) => [name, Number(number)] as const),
  ["egp", 8],
  ["icmpv4", 1],
  ["icmpv6", 58],
  ["igp", 9],
  ["ip-in-ip", 4],
  ["ipv4", 4],
]);
