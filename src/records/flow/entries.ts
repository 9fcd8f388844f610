/**
 * The scanner's inner loop: decodes a traffic array from bytes into columns. Strict like `tokens.ts`: every function returns the
 * offset past what it read, or -1 if it is not in a supported form. Rows past `columns.entries` are scratch.
 */
import { type FlowColumns, maxEntriesOfRecord } from "./columns.ts";
import { scanEndpoint } from "./endpoints.ts";
import {
  closeBrace,
  closeBracket,
  colon,
  comma,
  endOfAny,
  endOfName,
  openBrace,
  openBracket,
  quote,
  zero,
} from "./tokens.ts";

/** Appends the entries of the array at `from`. `traffic`: an index into `trafficTypes`; `view`: over `bytes`. */
export function scanEntries(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  traffic: number,
  columns: FlowColumns,
): number {
  if (to - from < 2 || bytes[from] !== openBracket) return -1;
  if (bytes[from + 1] === closeBracket) return from + 2;
  const mostEntries = (columns.firstEntry[columns.records] as number) + maxEntriesOfRecord;
  let at = from + 1;
  while (columns.entries < mostEntries) {
    columns.beginEntry(traffic);
    const entry = columns.entries;
    at = scanEntry(bytes, view, at, to, columns, entry);
    if (at < 0 || at >= to) return -1;
    columns.entries = entry + 1;
    const next = bytes[at++];
    if (next === closeBracket) return at;
    if (next !== comma) return -1;
  }
  return -1;
}

/** The shortest rest of a record from the start of a member is `"src":""}]}`. No name below is longer. */
const shortestMember = 11;

// Bits of the members seen in an entry, to reject duplicates.
const hasProtocol = 1;
const hasSource = 2;
const hasDestination = 4;
const hasTxPackets = 8;
const hasTxBytes = 16;
const hasRxPackets = 32;
const hasRxBytes = 64;

/** One entry. Tailscale omits members that are zero or empty. */
function scanEntry(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  columns: FlowColumns,
  entry: number,
): number {
  if (to - from < 2 || bytes[from] !== openBrace) return -1;
  if (bytes[from + 1] === closeBrace) return from + 2;
  let had = 0;
  let at = from + 1;
  for (;;) {
    if (to - at < shortestMember || bytes[at] !== quote) return -1;
    const member = memberAt(view, at);
    if ((had & member) !== 0) return -1;
    had |= member;
    switch (member) {
      case hasProtocol:
        at = scanProtocol(bytes, at + 8, to, columns.protocol, entry);
        break;
      case hasSource:
        at = scanEndpoint(bytes, at + 6, to, columns, entry, columns.source, columns.sourcePort, 0);
        break;
      case hasDestination:
        at = scanEndpoint(bytes, at + 6, to, columns, entry, columns.destination, columns.destinationPort, 2);
        break;
      case hasTxPackets:
        at = scanCounter(bytes, at + 9, to, columns.txPackets, entry);
        break;
      case hasTxBytes:
        at = scanCounter(bytes, at + 10, to, columns.txBytes, entry);
        break;
      case hasRxPackets:
        at = scanCounter(bytes, at + 9, to, columns.rxPackets, entry);
        break;
      case hasRxBytes:
        at = scanCounter(bytes, at + 10, to, columns.rxBytes, entry);
        break;
      default:
        at = endOfName(bytes, at, to);
        if (at >= 0) at = endOfAny(bytes, at, to);
    }
    if (at < 0 || at >= to) return -1;
    const next = bytes[at++];
    if (next === closeBrace) return at;
    if (next !== comma) return -1;
  }
}

/** The bit of the known member whose quoted name and colon are at `at`, or 0. Compares four bytes at a time. */
function memberAt(view: DataView, at: number): number {
  switch (view.getInt32(at, true)) {
    case txPackets:
      return isPackets(view, at + 4) ? hasTxPackets : 0;
    case txBytes:
      return isBytes(view, at + 4) ? hasTxBytes : 0;
    case rxPackets:
      return isPackets(view, at + 4) ? hasRxPackets : 0;
    case rxBytes:
      return isBytes(view, at + 4) ? hasRxBytes : 0;
    case source:
      return view.getInt16(at + 4, true) === nameEnd ? hasSource : 0;
    case destination:
      return view.getInt16(at + 4, true) === nameEnd ? hasDestination : 0;
    case protocol:
      return view.getInt32(at + 4, true) === protocolEnd ? hasProtocol : 0;
    default:
      return 0;
  }
}

function isPackets(view: DataView, at: number): boolean {
  return view.getInt32(at, true) === packetsEnd && view.getUint8(at + 4) === colon;
}

function isBytes(view: DataView, at: number): boolean {
  return view.getInt32(at, true) === bytesEnd && view.getInt16(at + 4, true) === nameEnd;
}

// Member names of an entry as little-endian words of four bytes.
const protocol = wordOf('"pro');
const source = wordOf('"src');
const destination = wordOf('"dst');
const txPackets = wordOf('"txP');
const rxPackets = wordOf('"rxP');
const txBytes = wordOf('"txB');
const rxBytes = wordOf('"rxB');
const protocolEnd = wordOf('to":');
const packetsEnd = wordOf('kts"');
const bytesEnd = wordOf("ytes");
const nameEnd = wordOf('":');

function wordOf(text: string): number {
  let word = 0;
  for (let place = 0; place < text.length; place++) word |= text.charCodeAt(place) << (place * 8);
  return word;
}

/** A number from 0 to 255. */
function scanProtocol(bytes: Uint8Array, from: number, to: number, into: Uint8Array, entry: number): number {
  let at = from;
  let number = 0;
  for (; at < to && at - from < 3; at++) {
    const digit = (bytes[at] as number) - zero;
    if (digit < 0 || digit > 9) break;
    number = number * 10 + digit;
  }
  if (at === from || number > 255 || (bytes[from] === zero && at - from > 1)) return -1;
  into[entry] = number;
  return at;
}

/** An integer up to 2^53-1. Nearly all counters have at most eight digits, which fit 32-bit arithmetic. */
function scanCounter(bytes: Uint8Array, from: number, to: number, into: Float64Array, entry: number): number {
  let at = from;
  let number = 0;
  for (; at < to && at - from < 9; at++) {
    const digit = (bytes[at] as number) - zero;
    if (digit < 0 || digit > 9) break;
    number = ((number * 10) | 0) + digit;
  }
  if (at === from || (bytes[from] === zero && at - from > 1)) return -1;
  if (at - from === 9) return scanLargeCounter(bytes, from, to, into, entry);
  into[entry] = number;
  return at;
}

function scanLargeCounter(bytes: Uint8Array, from: number, to: number, into: Float64Array, entry: number): number {
  let at = from;
  let number = 0;
  for (; at < to && at - from < 17; at++) {
    const digit = (bytes[at] as number) - zero;
    if (digit < 0 || digit > 9) break;
    number = number * 10 + digit;
  }
  // 17 digits are always too large, and so is any double that a larger number was rounded to.
  if (number > Number.MAX_SAFE_INTEGER) return -1;
  into[entry] = number;
  return at;
}
