/**
 * Decodes the endpoints of entries from bytes into columns, in the one form that Tailscale writes. Strict like `tokens.ts`:
 * every function returns the offset past what it read, or -1 for any other form.
 */
import { addressIpv4, addressIpv6, type FlowColumns } from "./columns.ts";
import { closeBracket, colon, dot, openBracket, quote, zero } from "./tokens.ts";

/** `"a.b.c.d:port"`, `"[v6]:port"`, or `""` for an absent endpoint. `shift`: bit offset of its tag in `ends`. */
export function scanEndpoint(
  bytes: Uint8Array,
  from: number,
  to: number,
  columns: FlowColumns,
  entry: number,
  addresses: Uint32Array,
  ports: Uint16Array,
  shift: number,
): number {
  if (to - from < 2 || bytes[from] !== quote) return -1;
  const first = bytes[from + 1];
  if (first === quote) return from + 2;
  let at: number;
  if (first === openBracket) {
    at = scanIpv6(bytes, from + 2, to);
    if (at < 0) return -1;
    columns.ends[entry] = (columns.ends[entry] as number) | (addressIpv6 << shift);
    addresses[entry] = addIpv6(columns);
  } else {
    at = scanIpv4(bytes, from + 1, to, addresses, entry);
    if (at < 0) return -1;
    columns.ends[entry] = (columns.ends[entry] as number) | (addressIpv4 << shift);
  }
  return scanPort(bytes, at, to, ports, entry);
}

/** `a.b.c.d:`, without leading zeros. */
function scanIpv4(bytes: Uint8Array, from: number, to: number, into: Uint32Array, entry: number): number {
  if (to - from < longestIpv4) return -1;
  let number = 0;
  let at = from;
  for (let part = 0; part < 4; part++) {
    let octet = (bytes[at++] as number) - zero;
    if (octet < 0 || octet > 9) return -1;
    let next = (bytes[at++] as number) - zero;
    if (octet > 0 && next >= 0 && next <= 9) {
      octet = octet * 10 + next;
      next = (bytes[at++] as number) - zero;
      if (next >= 0 && next <= 9) {
        octet = octet * 10 + next;
        next = (bytes[at++] as number) - zero;
      }
    }
    if (octet > 255 || next !== (part < 3 ? dot : colon) - zero) return -1;
    number = (number << 8) | octet;
  }
  into[entry] = number;
  return at;
}

/** Length of `255.255.255.255:`. After a shorter address the rest of the record always has the missing bytes. */
const longestIpv4 = 16;

/** Digits and the closing quote, without leading zeros. */
function scanPort(bytes: Uint8Array, from: number, to: number, into: Uint16Array, entry: number): number {
  let at = from;
  let port = 0;
  for (; at < to && at - from < 5; at++) {
    const digit = (bytes[at] as number) - zero;
    if (digit < 0 || digit > 9) break;
    port = port * 10 + digit;
  }
  if (at === from || port > 65_535 || (bytes[from] === zero && at - from > 1)) return -1;
  if (at >= to || bytes[at] !== quote) return -1;
  into[entry] = port;
  return at + 1;
}

/** The groups of the last IPv6 address. */
const groups = new Uint16Array(8);

/** An IPv6 address (RFC 4291, 2.2) through `]:`, into `groups`. Zones, embedded IPv4 and mapped IPv4 are not supported. */
function scanIpv6(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  let count = 0;
  /** Number of groups before the `::`; -1 if there is none yet. */
  let gap = -1;
  if (isGap(bytes, at, to)) {
    gap = 0;
    at += 2;
  }
  while (at < to && bytes[at] !== closeBracket) {
    const group = at;
    let number = 0;
    for (; at < to && at - group < 4; at++) {
      const digit = hexadecimal(bytes[at] as number);
      if (digit < 0) break;
      number = (number << 4) | digit;
    }
    if (at === group || count === 8) return -1;
    groups[count++] = number;
    if (isGap(bytes, at, to)) {
      if (gap >= 0) return -1;
      gap = count;
      at += 2;
    } else if (at < to && bytes[at] === colon) {
      at++;
      if (at < to && bytes[at] === closeBracket) return -1;
    } else if (at < to && bytes[at] !== closeBracket) return -1;
  }
  if (to - at < 2 || bytes[at + 1] !== colon || !spreadGroups(count, gap) || isMapped()) return -1;
  return at + 2;
}

function isGap(bytes: Uint8Array, at: number, to: number): boolean {
  return to - at >= 2 && bytes[at] === colon && bytes[at + 1] === colon;
}

/** Expands the `::`, which stands for at least one group of zeros. */
function spreadGroups(count: number, gap: number): boolean {
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  groups.copyWithin(gap + 8 - count, gap, count);
  groups.fill(0, gap, gap + 8 - count);
  return true;
}

/** ::ffff:0:0/96, which is IPv4. */
function isMapped(): boolean {
  return groups[5] === 0xffff && (groups[0] || groups[1] || groups[2] || groups[3] || groups[4]) === 0;
}

function addIpv6(columns: FlowColumns): number {
  return columns.addIpv6(wordAt(0), wordAt(2), wordAt(4), wordAt(6));
}

function wordAt(group: number): number {
  return ((groups[group] as number) << 16) | (groups[group + 1] as number);
}

function hexadecimal(byte: number): number {
  const digit = byte - zero;
  if (digit >= 0 && digit <= 9) return digit;
  const letter = (byte | 0x20) - 0x61;
  return letter >= 0 && letter <= 5 ? letter + 10 : -1;
}
