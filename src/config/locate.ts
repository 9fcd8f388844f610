/** Finds the line of each key in a TOML text that has been parsed already, since the parser keeps no positions. */
import { parse } from "smol-toml";

/** Line numbers, from 1, by the parts of the key. */
export interface KeyLines {
  /** The line of the key, else of the nearest table around it, else 1. */
  lineOf(path: readonly string[]): number;
}

/**
 * Reads tables, dotted keys, inline tables and arrays. The text must be valid TOML: this looks only for where a key
 * begins, and skips over values.
 */
export function locateKeys(toml: string): KeyLines {
  const lines = new Map<string, number>();
  const scan: Scan = { toml, at: 0, lines, counted: { to: 0, line: 1 } };
  let table: readonly string[] = [];
  for (skipBlank(scan); scan.at < toml.length; skipBlank(scan)) {
    if (toml[scan.at] === "[") {
      scan.at += toml[scan.at + 1] === "[" ? 2 : 1;
      table = readKey(scan, []);
      while (toml[scan.at] === "]") scan.at++;
    } else {
      readAssignment(scan, table);
    }
  }
  return {
    lineOf(path) {
      for (let depth = path.length; depth > 0; depth--) {
        const line = lines.get(nameOf(path.slice(0, depth)));
        if (line !== undefined) return line;
      }
      return 1;
    },
  };
}

interface Scan {
  readonly toml: string;
  at: number;
  readonly lines: Map<string, number>;
  /** Lines are asked for from top to bottom, so counting goes on from the last one. */
  readonly counted: { to: number; line: number };
}

function nameOf(path: readonly string[]): string {
  return JSON.stringify(path);
}

function readAssignment(scan: Scan, table: readonly string[]): void {
  const path = readKey(scan, table);
  scan.at++;
  skipValue(scan, path);
}

/** Reads a key of one or more parts, notes the line of each, and stops after it and its blanks. */
function readKey(scan: Scan, table: readonly string[]): readonly string[] {
  const path = [...table];
  for (;;) {
    skipSpace(scan);
    const start = scan.at;
    const quote = scan.toml[start];
    if (quote === '"' || quote === "'") skipString(scan);
    else while (/[A-Za-z0-9_-]/.test(scan.toml[scan.at] ?? "")) scan.at++;
    // A text that is no key after all: step on, so that the scan ends.
    if (scan.at === start) scan.at++;
    path.push(plainKey(scan.toml.slice(start, scan.at)));
    const name = nameOf(path);
    if (!scan.lines.has(name)) scan.lines.set(name, lineAt(scan, start));
    skipSpace(scan);
    if (scan.toml[scan.at] !== ".") return path;
    scan.at++;
  }
}

/** The parser itself takes the quotes and escapes off. */
function plainKey(written: string): string {
  if (!written.startsWith('"') && !written.startsWith("'")) return written;
  return Object.keys(parse(`${written} = 0`))[0] ?? written;
}

function skipValue(scan: Scan, path: readonly string[]): void {
  skipSpace(scan);
  const first = scan.toml[scan.at];
  if (first === '"' || first === "'") return skipString(scan);
  if (first === "[") return skipList(scan, "]", () => skipValue(scan, path));
  if (first === "{") return skipList(scan, "}", () => readAssignment(scan, path));
  while (scan.at < scan.toml.length && !/[,\]}#\n]/.test(scan.toml[scan.at] ?? "")) scan.at++;
}

function skipList(scan: Scan, end: string, skipItem: () => void): void {
  scan.at++;
  for (;;) {
    skipBlank(scan);
    const next = scan.toml[scan.at];
    if (next === undefined) return;
    if (next === end) {
      scan.at++;
      return;
    }
    const start = scan.at;
    if (next !== ",") skipItem();
    // A comma; or a text that is no value after all.
    if (scan.at === start) scan.at++;
  }
}

function skipString(scan: Scan): void {
  const quote = scan.toml[scan.at] ?? "";
  const long = quote.repeat(3);
  const fence = scan.toml.startsWith(long, scan.at) ? long : quote;
  scan.at += fence.length;
  while (scan.at < scan.toml.length && !scan.toml.startsWith(fence, scan.at)) {
    scan.at += quote === '"' && scan.toml[scan.at] === "\\" ? 2 : 1;
  }
  scan.at += fence.length;
  // A long string may end in up to two quotes of its own.
  if (fence === long) while (scan.toml[scan.at] === quote) scan.at++;
}

function skipSpace(scan: Scan): void {
  while (scan.toml[scan.at] === " " || scan.toml[scan.at] === "\t") scan.at++;
}

/** Spaces, line ends and comments. */
function skipBlank(scan: Scan): void {
  for (;;) {
    const next = scan.toml[scan.at];
    if (next === "#") while (scan.at < scan.toml.length && scan.toml[scan.at] !== "\n") scan.at++;
    else if (next !== undefined && /\s/.test(next)) scan.at++;
    else return;
  }
}

function lineAt({ toml, counted }: Scan, index: number): number {
  for (let at = toml.indexOf("\n", counted.to); at !== -1 && at < index; at = toml.indexOf("\n", at + 1)) {
    counted.line++;
    counted.to = at + 1;
  }
  return counted.line;
}
