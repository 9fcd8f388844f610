/** IP addresses and `address:port` endpoints of flow records, in one canonical form each. */
import { isIPv4, isIPv6 } from "node:net";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { Defect } from "./defect.ts";
import { ipv4Endpoint } from "./ipv4-endpoint.ts";
import type { Address, Endpoint } from "./types.ts";

/** The address that stands for DERP relays in physical traffic (tailcfg.DerpMagicIP); its port is the region. */
export const derpRelayAddress = "127.3.3.40";

/** Distinct address texts remembered; 64 Ki of them take about 10 MB. */
const maxKnownAddresses = 65_536;

/** IPv6 text has at most 45 characters, a zone some more. What is longer is no address, and must not be remembered. */
const maxAddressCharacters = 80;

const knownAddresses = new BoundedCache<string, Address | "invalid">(
  maxKnownAddresses,
  (text) => parse(text) ?? "invalid",
);

/**
 * The address of a text, or nothing. IPv6 becomes RFC 5952 text, an IPv4-mapped address the IPv4 one.
 * The same text gives the same object while it is remembered.
 */
export function parseAddress(text: string): Address | undefined {
  if (text.length > maxAddressCharacters) return undefined;
  const address = knownAddresses.get(text);
  return address === "invalid" ? undefined : address;
}

/**
 * An endpoint `a.b.c.d:port`, `[v6]:port`, or a bare address.
 * @throws {Defect} `invalid_endpoint`
 */
export function parseEndpoint(text: string): Endpoint {
  return ipv4Endpoint(text, parseAddress) ?? anyEndpoint(text);
}

function anyEndpoint(text: string): Endpoint {
  const colon = text.lastIndexOf(":");
  const bracketed = text.charCodeAt(0) === 0x5b;
  if (!bracketed && colon >= 0 && text.indexOf(":") === colon)
    return endpoint(text, text.slice(0, colon), portAt(text, colon + 1));
  if (!bracketed) return endpoint(text, text, 0);
  const closing = text.indexOf("]");
  if (closing === text.length - 1) return endpoint(text, text.slice(1, closing), 0);
  if (closing < 0 || colon !== closing + 1) throw invalid(text);
  return endpoint(text, text.slice(1, closing), portAt(text, colon + 1));
}

function endpoint(text: string, addressText: string, port: number): Endpoint {
  const address = parseAddress(addressText);
  if (address === undefined) throw invalid(text);
  const isCanonical = addressText === address.text && text.length === canonicalLength(address, port);
  return { address, port, text: isCanonical ? text : canonicalText(address, port) };
}

function canonicalLength({ text, family }: Address, port: number): number {
  const digits = port < 10 ? 1 : port < 100 ? 2 : port < 1000 ? 3 : port < 10_000 ? 4 : 5;
  return text.length + (family === "ipv6" ? 3 : 1) + digits;
}

function canonicalText({ text, family }: Address, port: number): string {
  return family === "ipv6" ? `[${text}]:${port}` : `${text}:${port}`;
}

function portAt(text: string, from: number): number {
  if (from === text.length || text.length - from > 5) throw invalid(text);
  let port = 0;
  for (let at = from; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) throw invalid(text);
    port = port * 10 + digit;
  }
  if (port > 65_535) throw invalid(text);
  return port;
}

function invalid(text: string): Defect {
  return new Defect("invalid_endpoint", `not an endpoint: ${text.slice(0, 80)}`);
}

function parse(text: string): Address | undefined {
  if (isIPv4(text)) return ipv4Address(text);
  if (!isIPv6(text)) return undefined;
  const zoneAt = text.indexOf("%");
  const groups = groupsOf(zoneAt < 0 ? text : text.slice(0, zoneAt));
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return ipv4Address(
      groups
        .slice(6)
        .flatMap((group) => [group >> 8, group & 255])
        .join("."),
    );
  }
  const canonical = canonicalIPv6(groups);
  const zone = zoneAt < 0 ? "" : text.slice(zoneAt);
  return {
    text: canonical + zone,
    family: "ipv6",
    isOverlay: canonical.startsWith("fd7a:115c:a1e0:"),
  };
}

function ipv4Address(text: string): Address {
  return { text, family: "ipv4", isOverlay: isCarrierGrade(text) };
}

/** The eight numbers of a valid address; its last two may be written as IPv4. */
function groupsOf(text: string): number[] {
  const lastAt = text.lastIndexOf(":") + 1;
  const last = text.slice(lastAt);
  const hexadecimal = last.includes(".") ? text.slice(0, lastAt) + groupsOfIPv4(last) : text;
  const [head, tail] = hexadecimal.split("::").map(numbersOf);
  if (head === undefined || tail === undefined) return numbersOf(hexadecimal);
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

function numbersOf(groups: string): number[] {
  return groups === "" ? [] : groups.split(":").map((group) => Number.parseInt(group, 16));
}

function groupsOfIPv4(text: string): string {
  const [a, b, c, d] = text.split(".").map(Number) as [number, number, number, number];
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** RFC 5952: the first of the longest runs of two or more zeros is left out. Not by `URL`, which refuses some valid addresses. */
function canonicalIPv6(groups: readonly number[]): string {
  let zerosAt = -1;
  let zeros = 1;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (groups[end] === 0) end++;
    if (end - at <= zeros) continue;
    zerosAt = at;
    zeros = end - at;
  }
  const texts = groups.map((group) => group.toString(16));
  if (zerosAt < 0) return texts.join(":");
  return `${texts.slice(0, zerosAt).join(":")}::${texts.slice(zerosAt + zeros).join(":")}`;
}

/** 100.64.0.0/10, from which Tailscale gives IPv4 addresses. */
function isCarrierGrade(ipv4: string): boolean {
  if (!ipv4.startsWith("100.")) return false;
  const second = Number(ipv4.slice(4, ipv4.indexOf(".", 4)));
  return second >= 64 && second <= 127;
}
