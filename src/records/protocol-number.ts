/** IANA protocol numbers as flow records carry them, and the transports that they are exported as. */
import { Defect } from "./defect.ts";

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

const numbers = new Map(Object.entries(names).map(([number, name]) => [name, Number(number)]));

/** The transport's name; `unknown` for 0, the number as text where it has none. */
export function transportName(protocol: number): string {
  return protocol === 0 ? "unknown" : (names[protocol] ?? String(protocol));
}

/**
 * The number from the wire: a number, a quoted number or a name; 0 where absent.
 * @throws {Defect} `invalid_protocol` outside 0–255, `decode_error` for another type.
 */
export function protocolNumber(proto: unknown): number {
  if (proto === undefined || proto === null) return 0;
  if (typeof proto !== "number" && typeof proto !== "string")
    throw new Defect("decode_error", "proto must be a number or a name");
  const number = typeof proto === "number" ? proto : numberOfText(proto);
  if (Number.isInteger(number) && number >= 0 && number <= 255) return number;
  throw new Defect("invalid_protocol", `no such protocol: ${String(proto).slice(0, 20)}`);
}

function numberOfText(text: string): number {
  if (text === "") return 0;
  return /^\d+$/.test(text) ? Number(text) : (numbers.get(text.toLowerCase()) ?? Number.NaN);
}
