/**
 * A slow, obvious parser of HEC bodies, as the oracle for the fast one: walks the whole text by the JSON grammar (RFC 8259) to
 * find the values, then parses each with `JSON.parse`.
 */
import { isUtf8 } from "node:buffer";

export type SlowReading =
  | { readonly kind: "empty" }
  | { readonly kind: "values"; readonly texts: readonly string[] }
  | { readonly kind: "damaged"; readonly index: number };

export function readBodySlowly(bytes: Uint8Array): SlowReading {
  let valid = bytes.byteLength;
  while (!isUtf8(bytes.subarray(0, valid))) valid--;
  const text = new TextDecoder().decode(bytes.subarray(0, valid));
  const texts: string[] = [];
  const isWhole = walkBody(text, texts) && valid === bytes.byteLength;
  if (!isWhole) return { kind: "damaged", index: texts.length };
  if (text.trim() === "") return { kind: "empty" };
  for (const value of texts) JSON.parse(value);
  return { kind: "values", texts };
}

/** Adds each value; returns whether the whole text is valid. */
function walkBody(text: string, into: string[]): boolean {
  let at = space(text, 0);
  while (at < text.length) {
    if (text.startsWith('{"logs":[', at)) {
      const end = walkWrapper(text, at, into);
      if (end === undefined) return false;
      at = space(text, end);
    } else if (text[at] === "{") {
      const end = valueEnd(text, at);
      if (end === undefined) return false;
      into.push(text.slice(at, end));
      at = space(text, end);
    } else if (text[at] === "[") {
      const end = walkArray(text, at, into);
      if (end === undefined) return false;
      at = space(text, end);
    } else return false;
  }
  return true;
}

/** A wrapper stands for its list; its other members only have to be valid JSON. */
function walkWrapper(text: string, start: number, into: string[]): number | undefined {
  const end = walkArray(text, text.indexOf("[", start), into);
  if (end === undefined) return undefined;
  const next = space(text, end);
  if (text[next] === "}") return next + 1;
  if (text[next] !== "," || text[space(text, next + 1)] === "}") return undefined;
  const others = valueEnd(`{${text.slice(next + 1)}`, 0);
  return others === undefined ? undefined : next + others;
}

function walkArray(text: string, start: number, into: string[]): number | undefined {
  let at = space(text, start + 1);
  if (text[at] === "]") return at + 1;
  for (;;) {
    const end = valueEnd(text, at);
    if (end === undefined) return undefined;
    // Only the next character shows that a number or literal is complete.
    if (end === text.length && !'}]"'.includes(text[end - 1] ?? "")) return undefined;
    if (!'}]"'.includes(text[end - 1] ?? "") && !/[\0-\u0020,\]{}]/.test(text[end] ?? "")) return undefined;
    into.push(text.slice(at, end));
    at = space(text, end);
    if (text[at] === "]") return at + 1;
    if (text[at] !== ",") return undefined;
    at = space(text, at + 1);
  }
}

const spacePattern = /[ \t\r\n]*/y;
const stringPattern = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
const scalarPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

function match(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}

function space(text: string, at: number): number {
  return match(spacePattern, text, at) ?? at;
}

function valueEnd(text: string, at: number): number | undefined {
  const first = text[at];
  if (first === '"') return match(stringPattern, text, at);
  if (first !== "{" && first !== "[") return match(scalarPattern, text, at);
  const close = first === "{" ? "}" : "]";
  let next = space(text, at + 1);
  if (text[next] === close) return next + 1;
  for (;;) {
    if (first === "{") {
      const key = match(stringPattern, text, next);
      if (key === undefined) return undefined;
      next = space(text, key);
      if (text[next] !== ":") return undefined;
      next = space(text, next + 1);
    }
    const end = valueEnd(text, next);
    if (end === undefined) return undefined;
    next = space(text, end);
    if (text[next] === close) return next + 1;
    if (text[next] !== ",") return undefined;
    next = space(text, next + 1);
  }
}
