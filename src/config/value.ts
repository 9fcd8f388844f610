/** One value: from what somebody wrote to the form it has in `Config`, or what is wrong with it. */
import { Value } from "@sinclair/typebox/value";
import { formatBytes, parseBytes } from "../lib/bytes.ts";
import { formatDuration, parseDuration } from "../lib/duration.ts";
import { nearest } from "../lib/suggest.ts";
import { parseListen } from "./listen.ts";
import type { Setting } from "./walk.ts";

/** What came of reading a value. `instead` is a value that would do, as TOML. */
export type Reading = { readonly value: unknown } | Complaint;

export interface Complaint {
  /** Without a full stop; never contains a secret. */
  readonly complaint: string;
  readonly allowed: string;
  readonly instead: string;
}

/** Reads the text of a variable or a flag. */
export function readText(setting: Setting, text: string): Reading {
  switch (setting.kind) {
    case "boolean":
      return readTyped(setting, booleanTexts.get(text.trim().toLowerCase()) ?? text);
    case "integer":
      return readTyped(setting, /^-?\d[\d_]*$/.test(text.trim()) ? Number(text.trim().replaceAll("_", "")) : text);
    case "list":
      return readTyped(
        setting,
        text.split(",").flatMap((item) => (item.trim() === "" ? [] : [item.trim()])),
      );
    default:
      return readTyped(setting, text);
  }
}

/** Reads a value as TOML gives it. */
export function readTyped(setting: Setting, written: unknown): Reading {
  const value = convert(setting, written);
  if (value === undefined || !Value.Check(setting.schema, value)) return complain(setting, written);
  return { value };
}

/** Reads one entry of a map. */
export function readEntry(setting: Setting, name: string, written: unknown): Reading {
  const complaint = entryComplaint(setting, name, written);
  if (complaint === undefined) return { value: written };
  return { complaint, allowed: allowedEntries(setting), instead: '"text"' };
}

/** What may stand there, for a person. */
export function allowedValues(setting: Setting): string {
  const { minimum, maximum } = setting.schema as { minimum?: number; maximum?: number };
  switch (setting.kind) {
    case "boolean":
      return "true or false";
    case "bytes":
      return `a number of bytes, or text such as "64MiB"; ${span(minimum, maximum, formatBytes)}`;
    case "choice":
      return setting.choices.map((word) => JSON.stringify(word)).join(", ");
    case "directory":
      return 'the path of a directory, or ":memory:"';
    case "duration":
      return `a duration such as "500ms", "30s", "5m", "24h" or "7d"; ${span(minimum, maximum, formatDuration)}`;
    case "file":
      return "the path of a file";
    case "integer":
      return `a whole number; ${span(minimum, maximum, String)}`;
    case "list":
      return setting.choices.length === 0
        ? "a list of texts"
        : `a list of ${setting.choices.map((word) => JSON.stringify(word)).join(", ")}`;
    case "listen":
      return '"host:port", "[v6]:port" or ":port", with a port up to 65535';
    case "map":
      return allowedEntries(setting);
    case "route":
      return "a path that begins with /, without a query";
    case "secret":
      return "printable ASCII without spaces";
    case "text":
      return "one line of text";
    case "url":
      return "an address that begins with http:// or https://";
  }
}

const booleanTexts: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false],
]);

/** `undefined` where the value has not even the right form. */
function convert(setting: Setting, written: unknown): unknown {
  switch (setting.kind) {
    case "duration":
      if (written === 0) return 0;
      return typeof written === "string" ? parseDuration(written) : undefined;
    case "bytes":
      return typeof written === "string" ? parseBytes(written) : written;
    case "listen":
      return typeof written === "string" && parseListen(written) !== undefined ? written : undefined;
    case "url":
      return typeof written === "string" && isHttpUrl(written) ? written : undefined;
    case "file":
    case "directory":
      return typeof written === "string" && !written.includes("\0") ? written : undefined;
    default:
      return written;
  }
}

function isHttpUrl(text: string): boolean {
  if (text === "") return true;
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

function complain(setting: Setting, written: unknown): Complaint {
  return {
    complaint: `${shown(setting, written)} cannot be used here`,
    allowed: allowedValues(setting),
    instead: insteadOf(setting, written),
  };
}

/** A value that would do and is near to what was written. */
function insteadOf(setting: Setting, written: unknown): string {
  const isNumber = typeof written === "number" || (typeof written === "string" && /^\d+$/.test(written));
  if (setting.kind === "duration" && isNumber) {
    const seconds = `${written}s`;
    if (Value.Check(setting.schema, parseDuration(seconds))) return JSON.stringify(seconds);
  }
  if (setting.kind === "choice" && typeof written === "string") {
    return JSON.stringify(nearest(written, setting.choices) ?? setting.default);
  }
  if (setting.kind === "boolean" && typeof written === "string") {
    if (/^(yes|on|y)$/i.test(written)) return "true";
    if (/^(no|off|n)$/i.test(written)) return "false";
  }
  if (setting.kind === "listen" && typeof written !== "object" && /^\d+$/.test(String(written))) {
    if (parseListen(`:${written}`) !== undefined) return `":${written}"`;
  }
  if (
    setting.kind === "url" &&
    typeof written === "string" &&
    /^[a-z0-9.-]+(:\d+)?(\/[a-z0-9/._-]*)?$/i.test(written)
  ) {
    return JSON.stringify(`http://${written}`);
  }
  if (setting.kind === "list") {
    const items = Array.isArray(written) ? written : [written];
    if (items.some((item) => typeof item !== "string")) return setting.example ?? setting.written;
    if (setting.choices.length === 0) return JSON.stringify(items);
    return JSON.stringify(items.map((item) => nearest(String(item), setting.choices) ?? setting.choices[0]));
  }
  return setting.example ?? setting.written;
}

/** What was written, unless it could hold a secret. */
function shown(setting: Setting, written: unknown): string {
  if (setting.isSecret) return "what is written (not shown)";
  if (typeof written === "string") {
    if (setting.kind === "url" && /[@?]/.test(written)) return "what is written (not shown)";
    return JSON.stringify(written.length > 60 ? `${written.slice(0, 60)}…` : written);
  }
  if (written instanceof Date) return "a date";
  if (Array.isArray(written)) return "a list";
  if (typeof written === "object" && written !== null) return "a table";
  return String(written);
}

/** Set by the exporter itself; another value would contradict the body. */
const ownHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "transfer-encoding",
]);

function entryComplaint(setting: Setting, name: string, written: unknown): string | undefined {
  if (typeof written !== "string") return "the value is not text";
  if (setting.entry === "header") {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}$/.test(name)) return "this cannot be the name of a header";
    if (ownHeaders.has(name.toLowerCase())) return "this header is set by the program";
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(written)) return "the value holds a character that no header can carry";
    return undefined;
  }
  if (name === "" || name.length > 200) return "a name has 1 to 200 characters";
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(written) ? "the value holds a control character" : undefined;
}

function allowedEntries(setting: Setting): string {
  return setting.entry === "header" ? "names of headers with a text each" : "names with a text each";
}

function span(minimum: number | undefined, maximum: number | undefined, write: (value: number) => string): string {
  const from = `from ${write(minimum ?? 0)}`;
  return maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? `${from} on` : `${from} to ${write(maximum)}`;
}
