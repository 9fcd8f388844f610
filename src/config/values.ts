/** One value: read from what somebody wrote, and shown without its secrets. */
import { Value } from "@sinclair/typebox/value";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "../lib/units.ts";
import { nearest } from "../lib/text.ts";
import { parseListen } from "../lib/listen.ts";
import type { Setting } from "./setting.ts";

/** A value in the form that it has in `Config`, or why there is none. */
export type Reading = { readonly value: unknown } | Invalid;

export interface Invalid {
  /** Such as `invalid duration "ten"`; never contains a secret. */
  readonly message: string;
  /** What is allowed. */
  readonly allowed: string;
  /** A valid value near to what was written, as TOML. */
  readonly example: string;
}

/** Reads the text of a variable or a flag. */
export function readText(setting: Setting, text: string): Reading {
  const trimmed = text.trim();
  switch (setting.kind) {
    case "boolean":
      return readTyped(setting, booleans.get(trimmed.toLowerCase()) ?? text);
    case "integer":
      return readTyped(setting, /^-?\d[\d_]*$/.test(trimmed) ? Number(trimmed.replaceAll("_", "")) : text);
    case "list":
      return readTyped(
        setting,
        trimmed.split(",").flatMap((item) => (item.trim() === "" ? [] : [item.trim()])),
      );
    default:
      return readTyped(setting, text);
  }
}

/** Reads a value as TOML gives it. */
export function readTyped(setting: Setting, written: unknown): Reading {
  const value = convert(setting, written);
  if (value !== undefined && Value.Check(setting.schema, value)) return { value };
  return {
    message: `invalid ${nouns[setting.kind] ?? setting.kind}${shown(setting, written)}`,
    allowed: allowedValues(setting),
    example: exampleNear(setting, written) ?? setting.example ?? setting.written,
  };
}

/** Reads one entry of a map. */
export function readEntry(setting: Setting, name: string, written: unknown): Reading {
  const message = whyInvalidEntry(setting, name, written);
  return message === undefined ? { value: written } : { message, allowed: allowedValues(setting), example: '"text"' };
}

/** A value of `Config` as it would be written in TOML, without secrets. */
export function displayValue(setting: Setting, value: unknown): string {
  if (setting.isSecret) return value === "" ? '""' : redacted;
  switch (setting.kind) {
    case "bytes":
      return Number(value) > 0 ? JSON.stringify(formatBytes(Number(value))) : String(value);
    case "duration":
      return JSON.stringify(formatDuration(Number(value)));
    case "url":
      return JSON.stringify(displayUrl(String(value)));
    default:
      return JSON.stringify(value);
  }
}

export const redacted = "[redacted]";

/** A URL without its credentials and without its query, which can be one. */
export function displayUrl(text: string): string {
  if (text === "" || !URL.canParse(text)) return text;
  const { username, password, search } = new URL(text);
  const bare = username + password === "" ? text : text.replace(/\/\/[^/?#]*@/, `//${redacted}@`);
  return search === "" ? bare : bare.replace(/\?[^#]*/, `?${redacted}`);
}

/** What is allowed, in words. */
function allowedValues(setting: Setting): string {
  const { minimum, maximum } = setting.schema as { minimum?: number; maximum?: number };
  const range = (format: (value: number) => string): string => {
    if (minimum === Number.MIN_SAFE_INTEGER) return "";
    if (maximum === Number.MAX_SAFE_INTEGER) return ` of at least ${format(minimum ?? 0)}`;
    return ` from ${format(minimum ?? 0)} to ${format(maximum ?? 0)}`;
  };
  switch (setting.kind) {
    case "boolean":
      return "true or false";
    case "bytes":
      return `a size${range(formatBytes)}`;
    case "choice":
      return oneOf(setting.choices);
    case "directory":
      return 'the path of a directory, or ":memory:"';
    case "duration":
      return `a duration${range(formatDuration)}`;
    case "file":
      return "the path of a file";
    case "integer":
      return `a whole number${range(String)}`;
    case "list":
      return `a list of ${setting.choices.length === 0 ? "texts" : oneOf(setting.choices)}`;
    case "listen":
      return '"host:port", "[v6]:port" or ":port"';
    case "map":
      return setting.entry === "header" ? "header names with a text each" : "names with a text each";
    case "route":
      return "a path that begins with /, without a query";
    case "secret":
      return "printable ASCII without spaces";
    case "text":
      return "one line of text";
    case "url":
      return "a URL that begins with http:// or https://";
  }
}

/** `"a", "b" or "c"`. */
function oneOf(words: readonly string[]): string {
  const quoted = words.map((word) => JSON.stringify(word));
  return `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
}

const nouns: Partial<Record<Setting["kind"], string>> = {
  bytes: "size",
  choice: "value",
  integer: "number",
  listen: "address",
  map: "table",
  route: "path",
  url: "URL",
};

const booleans: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false],
]);

/** `undefined` if the value does not even have the right form. */
function convert(setting: Setting, written: unknown): unknown {
  if (setting.kind === "duration" && written === 0) return 0;
  if (setting.kind === "bytes" && typeof written !== "string") return written;
  const read = converters[setting.kind];
  if (read === undefined) return written;
  return typeof written === "string" ? read(written) : undefined;
}

const converters: Partial<Record<Setting["kind"], (text: string) => unknown>> = {
  duration: parseDuration,
  bytes: parseBytes,
  listen: (text) => (parseListen(text) === undefined ? undefined : text),
  // The URL parser itself takes `https:///host` and `https:host`.
  url: (text) => (text === "" || (/^https?:\/\/[^/?#]/i.test(text) && URL.canParse(text)) ? text : undefined),
  file: withoutNull,
  directory: withoutNull,
};

function withoutNull(path: string): string | undefined {
  return path.includes("\0") ? undefined : path;
}

/** A valid value near to what was written, as TOML. */
function exampleNear(setting: Setting, written: unknown): string | undefined {
  const text = Array.isArray(written) || typeof written === "object" ? "" : String(written);
  switch (setting.kind) {
    case "duration":
      return /^\d+$/.test(text) && Value.Check(setting.schema, parseDuration(`${text}s`)) ? `"${text}s"` : undefined;
    case "choice":
      return JSON.stringify(nearest(text, setting.choices) ?? setting.default);
    case "boolean":
      return /^(yes|on|y)$/i.test(text) ? "true" : /^(no|off|n)$/i.test(text) ? "false" : undefined;
    case "listen":
      return /^\d+$/.test(text) && parseListen(`:${text}`) !== undefined ? `":${text}"` : undefined;
    case "url":
      return /^[a-z0-9.-]+(:\d+)?(\/[a-z0-9/._-]*)?$/i.test(text) ? JSON.stringify(`http://${text}`) : undefined;
    case "list": {
      const items = Array.isArray(written) ? written : [written];
      if (items.some((item) => typeof item !== "string")) return undefined;
      if (setting.choices.length === 0) return JSON.stringify(items);
      return JSON.stringify(items.map((item) => nearest(String(item), setting.choices) ?? setting.choices[0]));
    }
    default:
      return undefined;
  }
}

/** What was written, unless it could hold a secret. */
function shown(setting: Setting, written: unknown): string {
  if (setting.isSecret || (setting.kind === "url" && /[@?]/.test(String(written)))) return " (not shown)";
  if (typeof written === "string")
    return ` ${JSON.stringify(written.length > 60 ? `${written.slice(0, 60)}…` : written)}`;
  if (written instanceof Date) return ": a date";
  if (Array.isArray(written)) return setting.kind === "list" ? "" : ": a list";
  return typeof written === "object" && written !== null ? ": a table" : ` ${String(written)}`;
}

/** Set by the exporter itself; another value would contradict the body. */
const ownHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "transfer-encoding",
]);

function whyInvalidEntry(setting: Setting, name: string, written: unknown): string | undefined {
  if (typeof written !== "string") return "the value is not text";
  if (setting.entry === "header") {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}$/.test(name)) return "invalid header name";
    if (ownHeaders.has(name.toLowerCase())) return "this header is set by the program";
    return /^[\t\x20-\x7e\x80-\xff]*$/.test(written)
      ? undefined
      : "the value contains a character that headers cannot have";
  }
  if (name === "" || name.length > 200) return "a name has 1 to 200 characters";
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(written) ? "the value contains a control character" : undefined;
}
