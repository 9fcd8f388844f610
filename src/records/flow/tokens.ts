/**
 * JSON tokens from bytes, in a strict subset of JSON: no white space, no escapes, ASCII only. Whatever is accepted here,
 * `JSON.parse` accepts with the same meaning. Every function returns the offset past the token, or -1 if it is not in the
 * subset, and never reads at or past `to`.
 */
import { parseRfc3339 } from "../../lib/rfc3339.ts";

export const quote = 0x22;
export const comma = 0x2c;
export const dot = 0x2e;
export const zero = 0x30;
export const colon = 0x3a;
export const openBracket = 0x5b;
export const closeBracket = 0x5d;
export const openBrace = 0x7b;
export const closeBrace = 0x7d;

/** A string; `from` is at the opening quote. */
export function endOfString(bytes: Uint8Array, from: number, to: number): number {
  if (from >= to || bytes[from] !== quote) return -1;
  for (let at = from + 1; at < to; at++) {
    const byte = bytes[at] as number;
    if (byte === quote) return at + 1;
    if (byte < 0x20 || byte > 0x7e || byte === backslash) return -1;
  }
  return -1;
}

/** A member name and its colon; `from` is at the opening quote. */
export function endOfName(bytes: Uint8Array, from: number, to: number): number {
  const end = endOfString(bytes, from, to);
  return end >= 0 && end < to && bytes[end] === colon ? end + 1 : -1;
}

/** Any value up to `maxSkippedDepth` levels deep, skipped but validated. */
export function endOfAny(bytes: Uint8Array, from: number, to: number, depth = 0): number {
  if (from >= to) return -1;
  switch (bytes[from]) {
    case quote:
      return endOfString(bytes, from, to);
    case openBrace:
      return endOfNested(bytes, from, to, depth, closeBrace);
    case openBracket:
      return endOfNested(bytes, from, to, depth, closeBracket);
    case 0x74:
      return endOfWord(bytes, from, to, wordTrue);
    case 0x66:
      return endOfWord(bytes, from, to, wordFalse);
    case 0x6e:
      return endOfWord(bytes, from, to, wordNull);
    default:
      return endOfNumber(bytes, from, to);
  }
}

/** The index in `names` of the member name that `endOfName` found to end at `end`, or -1. `from` is at the opening quote. */
export function placeOfName(bytes: Uint8Array, from: number, end: number, names: readonly Uint8Array[]): number {
  const length = end - from - 3;
  for (let place = 0; place < names.length; place++) {
    const name = names[place] as Uint8Array;
    if (name.length === length && startsWith(bytes, from + 1, name)) return place;
  }
  return -1;
}

/** Names as bytes, for `placeOfName`. */
export function bytesOfNames(names: readonly string[]): readonly Uint8Array[] {
  return names.map((name) => new TextEncoder().encode(name));
}

/** Parses times of the form `"YYYY-MM-DDTHH:MM:SS[.f{1,9}]Z"`, including quotes. Caches the last day. */
export class TimeReader {
  #day = -1;
  #secondsOfDay = 0;

  /** Writes epoch seconds and nanoseconds at `row`. */
  read(bytes: Uint8Array, from: number, to: number, seconds: Float64Array, nanos: Int32Array, row: number): number {
    if (to - from < shortestTime || bytes[from] !== quote || !hasSeparators(bytes, from + 1)) return -1;
    const century = twoDigits(bytes, from + 1);
    const year = twoDigits(bytes, from + 3);
    const month = twoDigits(bytes, from + 6);
    const day = twoDigits(bytes, from + 9);
    const hour = twoDigits(bytes, from + 12);
    const minute = twoDigits(bytes, from + 15);
    const second = twoDigits(bytes, from + 18);
    if ((century | year | month | day | hour | minute | second) < 0) return -1;
    if (hour > 23 || minute > 59 || second > 59) return -1;
    if (!this.#isDay(century * 1_000_000 + year * 10_000 + month * 100 + day)) return -1;
    let at = from + 20;
    let fraction = 0;
    if (bytes[at] === dot) {
      const first = ++at;
      for (let scale = 100_000_000; at < to && at - first < 9; at++, scale /= 10) {
        const digit = (bytes[at] as number) - zero;
        if (digit < 0 || digit > 9) break;
        fraction += digit * scale;
      }
      if (at === first) return -1;
    }
    if (to - at < 2 || bytes[at] !== letterZ || bytes[at + 1] !== quote) return -1;
    seconds[row] = this.#secondsOfDay + hour * 3600 + minute * 60 + second;
    nanos[row] = fraction;
    return at + 2;
  }

  #isDay(day: number): boolean {
    if (day === this.#day) return true;
    const text = String(day).padStart(8, "0");
    const time = parseRfc3339(`${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}T00:00:00Z`);
    if (time === undefined) return false;
    this.#day = day;
    this.#secondsOfDay = time[0];
    return true;
  }
}

/** Deeper values are left to the reader. */
const maxSkippedDepth = 32;

const shortestTime = '"2026-11-02T09:15:00Z"'.length;
const letterT = 0x54;
const letterZ = 0x5a;
const hyphen = 0x2d;
const backslash = 0x5c;
const [wordTrue, wordFalse, wordNull] = bytesOfNames(["true", "false", "null"]) as [Uint8Array, Uint8Array, Uint8Array];

function startsWith(bytes: Uint8Array, at: number, text: Uint8Array): boolean {
  for (let place = 0; place < text.length; place++) if (bytes[at + place] !== text[place]) return false;
  return true;
}

function endOfWord(bytes: Uint8Array, from: number, to: number, word: Uint8Array): number {
  return to - from >= word.length && startsWith(bytes, from, word) ? from + word.length : -1;
}

function endOfNumber(bytes: Uint8Array, from: number, to: number): number {
  let at = bytes[from] === hyphen ? from + 1 : from;
  if (at >= to) return -1;
  at = bytes[at] === zero ? at + 1 : endOfDigits(bytes, at, to);
  if (at >= 0 && at < to && bytes[at] === dot) at = endOfDigits(bytes, at + 1, to);
  if (at < 0 || at >= to || ((bytes[at] as number) | 0x20) !== 0x65) return at;
  const sign = at + 1 < to ? bytes[at + 1] : undefined;
  return endOfDigits(bytes, sign === hyphen || sign === 0x2b ? at + 2 : at + 1, to);
}

/** At least one digit. */
function endOfDigits(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && (bytes[at] as number) >= zero && (bytes[at] as number) <= zero + 9) at++;
  return at === from ? -1 : at;
}

/** An object or an array; `close` is its closing bracket. */
function endOfNested(bytes: Uint8Array, from: number, to: number, depth: number, close: number): number {
  if (depth === maxSkippedDepth || from + 1 >= to) return -1;
  if (bytes[from + 1] === close) return from + 2;
  for (let at = from + 1; ;) {
    if (close === closeBrace) at = endOfName(bytes, at, to);
    if (at >= 0) at = endOfAny(bytes, at, to, depth + 1);
    if (at < 0 || at >= to) return -1;
    if (bytes[at] === close) return at + 1;
    if (bytes[at++] !== comma) return -1;
  }
}

function hasSeparators(bytes: Uint8Array, at: number): boolean {
  return (
    bytes[at + 4] === hyphen &&
    bytes[at + 7] === hyphen &&
    bytes[at + 10] === letterT &&
    bytes[at + 13] === colon &&
    bytes[at + 16] === colon
  );
}

/** The number of two digits, or -1. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - zero;
  const ones = (bytes[at + 1] as number) - zero;
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones;
}
