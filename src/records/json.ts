/** JSON as text: the end of a value, the text of its parts as received, and a canonical text per value. */
import { Refusal } from "../errors.ts";

/** Limits for one value: more than fits in Tailscale's 256 KiB per record. An empty object takes thirty times its text in memory. */
export const valueLimits = { bytes: 16 * 1024 * 1024, parts: 150_000, depth: 1000 } as const;

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
  readonly #maxParts: number;

  constructor(maxParts: number = valueLimits.parts) {
    this.#maxParts = maxParts;
  }

  /** Commas and opening brackets so far, an upper bound on the number of members, elements and scalars. */
  get parts(): number {
    return this.#parts;
  }

  /**
   * The offset past the value that starts or continues at `from`, or -1 if it continues in the next chunk. A number or word
   * ends before white space or punctuation, so never at the end of a chunk.
   * @throws {Refusal} `too_large` for a value beyond `valueLimits`.
   */
  endOf(bytes: Uint8Array, from: number, to: number): number {
    if (this.#kind === "none") this.#begin(bytes[from]);
    const end = this.#kind === "nested" ? this.#endOfNested(bytes, from, to) : endOfScalar(bytes, from, to);
    this.#bytes += (end < 0 ? to : end) - from;
    if (this.#bytes > valueLimits.bytes) throw tooLarge("bytes");
    if (this.#parts > this.#maxParts) throw tooLarge("parts", this.#maxParts);
    if (end >= 0) this.#kind = "none";
    return end;
  }

  #begin(first: number | undefined): void {
    this.#kind = first === openBrace || first === openBracket || first === quote ? "nested" : "scalar";
    this.#depth = 0;
    this.#isInString = false;
    this.#isEscaped = false;
    this.#bytes = 0;
    this.#parts = 0;
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
        if (++this.#depth > valueLimits.depth) throw tooLarge("depth");
      } else if ((byte === closeBrace || byte === closeBracket) && --this.#depth === 0) return at;
    }
    return -1;
  }

  #endOfString(bytes: Uint8Array, from: number, to: number): number {
    let isEscaped = this.#isEscaped;
    for (let at = from; at < to; at++) {
      const byte = bytes[at];
      if (isEscaped) isEscaped = false;
      else if (byte === backslash) isEscaped = true;
      else if (byte === quote) {
        this.#isInString = false;
        this.#isEscaped = false;
        return at + 1;
      }
    }
    this.#isEscaped = isEscaped;
    return -1;
  }
}

function endOfScalar(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    if (byte <= 0x20 || byte === comma || byte === closeBracket || byte === closeBrace || byte === openBrace) return at;
  }
  return -1;
}

function tooLarge(limit: keyof typeof valueLimits, most: number = valueLimits[limit]): Refusal {
  const what = { bytes: "bytes", parts: "members and elements", depth: "levels of nesting" }[limit];
  return new Refusal("too_large", `More than ${most} ${what} in one value (no setting changes this limit)`);
}

/** The offset past the object that starts at `from`; the end of its line if it is truncated or not an object. */
export function endOfObject(text: Uint8Array, from: number): number {
  // Stored records were checked on arrival, polled ones only by their number of entries.
  const boundary = new ValueBoundary(Number.POSITIVE_INFINITY);
  const end = text[from] === openBrace ? boundary.endOf(text, from, text.length) : -1;
  // Stored objects have no line breaks, so one that seems to is truncated.
  const lineEnd = text.subarray(from, end < 0 ? text.length : end).indexOf(newline);
  if (lineEnd >= 0) return from + lineEnd;
  return end < 0 ? text.length : end;
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

/** The text of a member of a valid object, if present; of the last one with that name, as in `JSON.parse`. */
export function memberText(objectText: string, name: string): string | undefined {
  let found: string | undefined;
  for (const [member, value] of members(objectText)) if (member === name) found = value;
  return found;
}

/** The texts of the elements of a valid array, in order. */
export function elementTexts(arrayText: string): string[] {
  const texts: string[] = [];
  let at = skipSpace(arrayText, arrayText.indexOf("[") + 1);
  while (arrayText[at] !== "]" && at < arrayText.length) {
    const end = endOfValue(arrayText, at);
    texts.push(arrayText.slice(at, end));
    at = skipSpace(arrayText, end);
    if (arrayText[at] === ",") at = skipSpace(arrayText, at + 1);
  }
  return texts;
}

/** The same JSON on one line. Line breaks are white space, since JSON strings must escape them. */
export function oneLine(text: string): string {
  return text.includes("\n") || text.includes("\r") ? text.replaceAll(/[\r\n]/g, " ") : text;
}

/** The same JSON without white space between tokens; unchanged if compacting it would take longer than about 10 ms. */
export function compactJson(text: string): string {
  if (text.length > 500_000) return text;
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|\s+/g, (token) => (token.startsWith('"') ? token : ""));
}

/** A canonical text per value, for identities: members sorted by name, no white space; `""` for `undefined`. */
export function canonicalJson(value: unknown): string {
  if (value === undefined) return "";
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(",")}}`;
}

function* members(objectText: string): Generator<readonly [name: string, value: string]> {
  let at = skipSpace(objectText, objectText.indexOf("{") + 1);
  while (objectText[at] === '"') {
    const keyEnd = endOfString(objectText, at);
    const valueStart = skipSpace(objectText, objectText.indexOf(":", keyEnd) + 1);
    const valueEnd = endOfValue(objectText, valueStart);
    yield [JSON.parse(objectText.slice(at, keyEnd)) as string, objectText.slice(valueStart, valueEnd)];
    at = skipSpace(objectText, valueEnd);
    if (objectText[at] === ",") at = skipSpace(objectText, at + 1);
  }
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === quote) return endOfString(text, start);
  if (first !== openBrace && first !== openBracket) return endOfWord(text, start);
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) at = endOfString(text, at) - 1;
    else if (code === openBrace || code === openBracket) depth++;
    else if ((code === closeBrace || code === closeBracket) && --depth === 0) return at + 1;
  }
  return text.length;
}

/** The offset past the closing quote; `start` is at the opening one. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const end = text.indexOf('"', at);
    if (end < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === backslash) backslashes++;
    if (backslashes % 2 === 0) return end + 1;
    at = end + 1;
  }
  return text.length;
}

function endOfWord(text: string, start: number): number {
  let at = start;
  while (at < text.length && !",]} \t\r\n".includes(text.charAt(at))) at++;
  return at;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && " \t\r\n".includes(text.charAt(at))) at++;
  return at;
}

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const newline = 0x0a;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
