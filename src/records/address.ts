/** IP addresses: parsing of every valid form, and formatting as canonical text. */
import { isIPv4, isIPv6 } from "node:net";

/** 127.3.3.40, the address that stands for DERP relays in physical traffic (tailcfg.DerpMagicIP); its port is the region. */
export const derpRelayIpv4 = 0x7f030328;

export interface Address {
  /** Canonical text: RFC 5952 for IPv6, a mapped IPv4 address as IPv4. */
  readonly text: string;
  readonly family: "ipv4" | "ipv6";
  /** In the ranges from which Tailscale assigns node addresses: 100.64.0.0/10 and fd7a:115c:a1e0::/48. */
  readonly isOverlay: boolean;
}

/** Parses an address; undefined if the text is not one. An IPv6 zone is kept as written. */
export function parseAddress(text: string): Address | undefined {
  const ipv4 = parseIpv4(text);
  if (ipv4 !== undefined) return { text: ipv4Text(ipv4), family: "ipv4", isOverlay: isOverlayIpv4(ipv4) };
  const zoneAt = text.indexOf("%");
  // The zone must be valid as well.
  if (zoneAt >= 0 && groupsOf(text) === undefined) return undefined;
  const words = new Uint32Array(4);
  if (!parseIpv6Words(zoneAt < 0 ? text : text.slice(0, zoneAt), words, 0)) return undefined;
  const zone = zoneAt < 0 ? "" : text.slice(zoneAt);
  return { text: ipv6Text(words, 0) + zone, family: "ipv6", isOverlay: isOverlayIpv6(words, 0) };
}

/** An IPv4 or IPv4-mapped IPv6 address as an unsigned 32-bit number; undefined for any other text. */
export function parseIpv4(text: string): number | undefined {
  if (!text.includes(":")) return isIPv4(text) ? numberOfIpv4(text) : undefined;
  const groups = groupsOf(text);
  if (groups === undefined || !isMapped(groups)) return undefined;
  return (groups[6] as number) * 0x1_0000 + (groups[7] as number);
}

/**
 * Writes an IPv6 address as four words at `at`, most significant first. Returns false and writes nothing for any other text,
 * an address with a zone, or an IPv4-mapped address.
 */
export function parseIpv6Words(text: string, into: Uint32Array, at: number): boolean {
  if (!text.includes(":") || text.includes("%")) return false;
  const groups = groupsOf(text);
  if (groups === undefined || isMapped(groups)) return false;
  for (let word = 0; word < 4; word++)
    into[at + word] = (groups[word * 2] as number) * 0x1_0000 + (groups[word * 2 + 1] as number);
  return true;
}

/** An unsigned 32-bit number as `a.b.c.d`. */
export function ipv4Text(ipv4: number): string {
  return `${ipv4 >>> 24}.${(ipv4 >>> 16) & 255}.${(ipv4 >>> 8) & 255}.${ipv4 & 255}`;
}

/** The four words at `at` as RFC 5952 text: `::` replaces the first of the longest runs of two or more zero groups. */
export function ipv6Text(words: Uint32Array, at: number): string {
  const groups: number[] = [];
  for (let word = at; word < at + 4; word++)
    groups.push((words[word] as number) >>> 16, (words[word] as number) & 0xffff);
  let zerosAt = -1;
  let zeros = 1;
  for (let group = 0; group < 8; group++) {
    let end = group;
    while (groups[end] === 0) end++;
    if (end - group <= zeros) continue;
    zerosAt = group;
    zeros = end - group;
  }
  const texts = groups.map((group) => group.toString(16));
  if (zerosAt < 0) return texts.join(":");
  return `${texts.slice(0, zerosAt).join(":")}::${texts.slice(zerosAt + zeros).join(":")}`;
}

/** In 100.64.0.0/10, from which Tailscale assigns IPv4 addresses. */
export function isOverlayIpv4(ipv4: number): boolean {
  return ipv4 >>> 22 === 0x191;
}

/** In fd7a:115c:a1e0::/48, from which Tailscale assigns IPv6 addresses. */
export function isOverlayIpv6(words: Uint32Array, at: number): boolean {
  return words[at] === 0xfd7a_115c && (words[at + 1] as number) >>> 16 === 0xa1e0;
}

/** IPv6 text has at most 45 characters, plus a zone. */
const maxIpv6Characters = 80;

/** The number of a valid IPv4 text. `split` would be five times slower. */
function numberOfIpv4(text: string): number {
  let number = 0;
  let part = 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit >= 0) part = part * 10 + digit;
    else {
      number = number * 256 + part;
      part = 0;
    }
  }
  return number * 256 + part;
}

/** The eight groups of an IPv6 text, without its zone; the last two may be written as IPv4. Undefined for any other text. */
function groupsOf(text: string): number[] | undefined {
  if (text.length > maxIpv6Characters || !isIPv6(text)) return undefined;
  const zoneAt = text.indexOf("%");
  const plain = zoneAt < 0 ? text : text.slice(0, zoneAt);
  const lastAt = plain.lastIndexOf(":") + 1;
  const last = plain.slice(lastAt);
  const hexadecimal = last.includes(".") ? plain.slice(0, lastAt) + groupsOfIpv4(last) : plain;
  const [head, tail] = hexadecimal.split("::").map(numbersOf);
  if (head === undefined || tail === undefined) return numbersOf(hexadecimal);
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** ::ffff:0:0/96 */
function isMapped(groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
}

function numbersOf(groups: string): number[] {
  return groups === "" ? [] : groups.split(":").map((group) => Number.parseInt(group, 16));
}

function groupsOfIpv4(text: string): string {
  const ipv4 = numberOfIpv4(text);
  return `${(ipv4 >>> 16).toString(16)}:${(ipv4 & 0xffff).toString(16)}`;
}
