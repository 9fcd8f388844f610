/** JSON as bytes: the end of a value, its parts as they were received, and one canonical text per value. */
import { randomBytes } from "node:crypto";
import { Refusal } from "../errors.ts";
import type { JsonObject } from "./types.ts";

/**
 * Limits for one value: more than fits in Tailscale's 256 KiB per record. Processing a value cannot be paused, and must take less
 * than 50 ms. An empty object takes thirty times its text in memory, and `JSON.parse` takes ten times as long for an escape
 * sequence as for a plain character, and for a new name as for a known one.
 */
export const valueLimits = {
  bytes: 4 * 1024 * 1024,
  parts: 150_000,
  names: 20_000,
  depth: 1000,
  escapes: 1_000_000,
} as const;

type Limits = Readonly<Partial<Record<keyof typeof valueLimits, number>>>;

/**
 * Finds the end of a JSON value in bytes that arrive in chunks, by counting brackets outside strings. It does not validate.
 * Can be reused for the next value.
 */
export class ValueBoundary {
  #kind: "none" | "nested" | "scalar" = "none";
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #bytes = 0;
  #parts = 0;
  #escapes = 0;
  #names: DistinctNames | undefined;
  readonly #limits: Limits;
  readonly #maxNames: number;

  /** Limits that are absent do not apply. */
  constructor(limits: Limits = valueLimits) {
    this.#limits = limits;
    this.#maxNames = limits.names ?? Number.POSITIVE_INFINITY;
  }

  /** Commas and opening brackets so far, an upper bound on the number of members, elements and scalars. */
  get parts(): number {
    return this.#parts;
  }

  /**
   * The offset past the value that starts or continues at `from`, or -1 if it continues in the next chunk. A number or word
   * ends before white space or punctuation, so never at the end of a chunk.
   * @throws {Refusal} `too_large` for a value beyond its limits.
   */
  endOf(bytes: Uint8Array, from: number, to: number): number {
    if (this.#kind === "none") this.#begin(bytes[from]);
    const end = this.#kind === "nested" ? this.#endOfNested(bytes, from, to) : endOfScalar(bytes, from, to);
    this.#bytes += (end < 0 ? to : end) - from;
    this.#check("bytes", this.#bytes);
    this.#check("parts", this.#parts);
    this.#check("names", this.#names?.count ?? 0);
    this.#check("escapes", this.#escapes);
    if (end >= 0) this.#kind = "none";
    return end;
  }

  #check(limit: keyof Limits, reached: number): void {
    const most = this.#limits[limit];
    if (most === undefined || reached <= most) return;
    throw new Refusal(
      "too_large",
      `More than ${most} ${limitWords[limit]} in one value (no setting changes this limit)`,
    );
  }

  #begin(first: number | undefined): void {
    this.#kind = first === openBrace || first === openBracket || first === quote ? "nested" : "scalar";
    this.#depth = 0;
    this.#isInString = false;
    this.#isEscaped = false;
    this.#bytes = 0;
    this.#parts = 0;
    this.#escapes = 0;
    this.#names = undefined;
  }

  #endOfNested(bytes: Uint8Array, from: number, to: number): number {
    let at = from;
    while (at < to) {
      if (this.#isInString) {
        at = this.#endOfString(bytes, at, to);
        if (at < 0) return -1;
        if (this.#depth === 0) return at;
        continue;
      }
      const byte = bytes[at++];
      if (byte === quote) this.#isInString = true;
      else if (byte === comma) this.#parts++;
      else if (byte === openBrace || byte === openBracket) {
        this.#parts++;
        this.#check("depth", ++this.#depth);
      } else if (byte === colon && this.#parts > this.#maxNames) {
        this.#names ??= new DistinctNames();
        this.#names.add(bytes, from, at - 1);
      } else if ((byte === closeBrace || byte === closeBracket) && --this.#depth === 0) return at;
    }
    return -1;
  }

  #endOfString(bytes: Uint8Array, from: number, to: number): number {
    let isEscaped = this.#isEscaped;
    let escapes = 0;
    let at = from;
    for (; at < to; at++) {
      const byte = bytes[at];
      if (isEscaped) isEscaped = false;
      else if (byte === backslash) {
        isEscaped = true;
        escapes++;
      } else if (byte === quote) {
        this.#isInString = false;
        break;
      }
    }
    this.#isEscaped = isEscaped;
    this.#escapes += escapes;
    return this.#isInString ? -1 : at + 1;
  }
}

function endOfScalar(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    if (byte <= 0x20 || byte === comma || byte === closeBracket || byte === closeBrace || byte === openBrace) return at;
  }
  return -1;
}

const limitWords: Readonly<Record<keyof Limits, string>> = {
  bytes: "bytes",
  parts: "members and elements",
  names: "different names of members",
  depth: "levels of nesting",
  escapes: "escape sequences",
};

/** Counts distinct names by a seeded hash of their last bytes. Collisions and very long names make the count slightly too low. */
class DistinctNames {
  count = 0;
  readonly #seen = new Uint8Array(1 << 15);

  /** The name before the colon at `end`. */
  add(bytes: Uint8Array, from: number, end: number): void {
    let hash = nameSeed;
    let quotes = 0;
    for (let at = end - 1; at >= from && quotes < 2 && end - at <= 64; at--) {
      const byte = bytes[at] as number;
      if (byte === quote) quotes++;
      hash = Math.imul(hash ^ byte, 0x0100_0193);
    }
    hash ^= hash >>> 15;
    const bit = 1 << (hash & 7);
    const slot = (hash >>> 3) & 0x7fff;
    if (((this.#seen[slot] as number) & bit) !== 0) return;
    this.#seen[slot] = (this.#seen[slot] as number) | bit;
    this.count++;
  }
}

const nameSeed = randomBytes(4).readInt32LE();

/** The value of a member of a valid object, if present; of the last one with that name, as in `JSON.parse`. */
export function memberOf(object: Uint8Array, name: string): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  let at = skipSpace(object, object.indexOf(openBrace) + 1);
  while (object[at] === quote) {
    const nameEnd = endOfValue(object, at);
    const from = skipSpace(object, object.indexOf(colon, nameEnd) + 1);
    const to = endOfValue(object, from);
    if (isNamed(object.subarray(at, nameEnd), name)) found = object.subarray(from, to);
    at = skipSeparator(object, to);
  }
  return found;
}

/** The elements of a valid array, in order. */
export function* elementsOf(array: Uint8Array): Generator<Uint8Array> {
  for (let at = skipSpace(array, array.indexOf(openBracket) + 1); at < array.length && array[at] !== closeBracket;) {
    const end = endOfValue(array, at);
    yield array.subarray(at, end);
    at = skipSeparator(array, end);
  }
}

/** The offset past the object that starts at `from`; the end of its line if it is truncated or not an object. */
export function endOfObject(text: Uint8Array, from: number): number {
  const end = text[from] === openBrace ? endOfValue(text, from) : text.length;
  // Stored objects have no line breaks, so one that seems to is truncated.
  const lineEnd = text.subarray(from, end).indexOf(newline);
  return lineEnd < 0 ? end : from + lineEnd;
}

/** The ends of all objects in a text, separated by at most one byte of white space. */
export function endsOfObjects(text: Uint8Array): number[] {
  const ends: number[] = [];
  for (let from = 0; from < text.length;) {
    const end = endOfObject(text, from);
    ends.push(end);
    from = text[end] === openBrace ? end : end + 1;
  }
  return ends;
}

/** The lines of a text; none if it is empty. */
export function linesOf(text: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let from = 0; from < text.length;) {
    const found = text.indexOf(newline, from);
    const end = found < 0 ? text.length : found;
    lines.push(text.subarray(from, end));
    from = end + 1;
  }
  return lines;
}

/** The same JSON on one line. Line breaks are white space, since JSON strings must escape them. */
export function oneLine(json: Uint8Array): Uint8Array {
  if (!json.includes(newline) && !json.includes(carriageReturn)) return json;
  return json.map((byte) => (byte === newline || byte === carriageReturn ? 0x20 : byte));
}

/** The same JSON without white space between tokens; unchanged if compacting it would take longer than about 10 ms. */
export function compactJson(text: string): string {
  if (text.length > 500_000) return text;
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|\s+/g, (token) => (token.startsWith('"') ? token : ""));
}

/** A canonical text per value, for identities: members sorted by name, no white space; `""` for `undefined`. */
export function canonicalJson(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  let text = "";
  for (const name of Object.keys(value).sort())
    text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${canonicalJson((value as JsonObject)[name])}`;
  return `{${text}}`;
}

/** The end of the value that starts at `from`. Its limits were checked when it arrived. */
function endOfValue(bytes: Uint8Array, from: number): number {
  const end = new ValueBoundary({}).endOf(bytes, from, bytes.length);
  return end < 0 ? bytes.length : end;
}

function isNamed(quoted: Uint8Array, name: string): boolean {
  const text = decoder.decode(quoted);
  return text === `"${name}"` || (text.includes("\\") && JSON.parse(text) === name);
}

function skipSeparator(bytes: Uint8Array, from: number): number {
  const at = skipSpace(bytes, from);
  return bytes[at] === comma ? skipSpace(bytes, at + 1) : at;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === newline || bytes[at] === carriageReturn || bytes[at] === 0x09) at++;
  return at;
}

const decoder = new TextDecoder();

const newline = 0x0a;
const carriageReturn = 0x0d;
const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
