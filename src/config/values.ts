/** Parses values as users write them, and shows them without secrets. */
import { Value } from "@sinclair/typebox/value";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "../lib/units.ts";
import { nearest } from "../lib/text.ts";
import { parseListen } from "../lib/listen.ts";
import { readRegularFile } from "../lib/regular-file.ts";
import { assignment, type Finding, type Origin } from "./diagnosis.ts";
import type { Given } from "./layers.ts";
import type { Setting } from "./setting.ts";

/** A value in the form stored in `Config`, or why it is invalid. */
export type Reading = { readonly value: unknown } | Invalid;

export interface Invalid {
  /** For example `invalid duration "ten"`; never contains a secret. */
  readonly message: string;
  /** What is allowed. */
  readonly allowed: string;
  /** A valid value close to what was written, as TOML. */
  readonly example: string;
}

/** The values of one setting. */
export interface Slot {
  value?: { readonly read: unknown; readonly origin: Origin };
  secretFile?: { readonly path: string; readonly origin: Origin } | undefined;
  /** Entries of a map in order of first appearance; header names in lower case. */
  readonly entries: Map<string, { readonly name: string; readonly text: string; readonly origin: Origin }>;
}

/** Puts a value into its slot, or returns why it is invalid. */
export function assign(
  slot: Slot,
  given: Given,
  resolvePath: (path: string, origin: Origin) => string,
): Invalid | undefined {
  const { setting, part, origin, written, form } = given;
  if (part === "secretFile") {
    if (typeof written !== "string")
      return { message: "invalid path", allowed: "a path", example: '"/run/secrets/token"' };
    slot.secretFile = written === "" ? undefined : { path: resolvePath(written, origin), origin };
  } else if (part === "value") {
    const reading = form === "text" ? readText(setting, String(written)) : readTyped(setting, written);
    if ("message" in reading) return reading;
    const isPath = setting.kind === "file" && reading.value !== "";
    slot.value = { read: isPath ? resolvePath(String(reading.value), origin) : reading.value, origin };
  } else {
    const reading = readEntry(setting, part.entry, written);
    if ("message" in reading) return reading;
    const name = entryName(slot, given, part.entry);
    const entry = { name, text: String(reading.value), origin };
    slot.entries.set(setting.entry === "header" ? name.toLowerCase() : name, entry);
  }
  return undefined;
}

/** Names of variables have no lower case, dots or dashes, so they are matched loosely with the entries so far. */
function entryName(slot: Slot, { setting, origin, form }: Given, written: string): string {
  if (origin.from !== "environment" || form !== "text") return written;
  const loose = (name: string): string => name.toLowerCase().replace(/[._-]/g, "-");
  const known = [...slot.entries.values()].find((entry) => loose(entry.name) === loose(written));
  if (known !== undefined) return known.name;
  return /[a-z.-]/.test(written)
    ? written
    : written.toLowerCase().replaceAll("_", setting.entry === "header" ? "-" : ".");
}

/** A secret is set as text or as the path of a file; setting both is a problem. */
export function readSecret(slot: Slot, setting: string): Finding | undefined {
  if (slot.secretFile === undefined) return undefined;
  const { path, origin } = slot.secretFile;
  const problem = { severity: "error", origin, key: `${setting}_file` } as const;
  if (slot.value !== undefined && slot.value.read !== "") {
    return { ...problem, message: `${setting} is set too`, remedy: `Remove one of ${setting} and ${setting}_file.` };
  }
  const read = readSecretFile(path);
  if ("reason" in read) {
    const remedy =
      "Name a regular file that this program can read and that contains only the secret: printable ASCII without spaces.";
    return { ...problem, message: read.reason, remedy };
  }
  slot.value = { read: read.secret, origin: { ...origin, secretFile: path } };
  return undefined;
}

const maxSecretBytes = 64 * 1024;

/** A secret from its own file, trimmed, or why it cannot be read. */
function readSecretFile(path: string): { readonly secret: string } | { readonly reason: string } {
  const read = readRegularFile(path, maxSecretBytes);
  if ("reason" in read) return { reason: `cannot read ${JSON.stringify(path)}: ${read.reason}` };
  const secret = read.text.trim();
  if (secret === "") return { reason: `${JSON.stringify(path)} is empty` };
  return /^[\x21-\x7e]+$/.test(secret) ? { secret } : { reason: `invalid secret in ${JSON.stringify(path)}` };
}

export function findingOf(
  { setting, part, origin, isStandard }: Given,
  invalid: Invalid | undefined,
): Finding | undefined {
  if (invalid === undefined) return undefined;
  const { message, allowed, example } = invalid;
  const key = setting.key + (part === "value" ? "" : part === "secretFile" ? "_file" : `.${part.entry}`);
  if (isStandard === true && origin.from === "environment") {
    const remedy = `Use ${allowed}, or set ${setting.key}.`;
    return { severity: "warning", key: origin.variable, message: `${message}, so the variable is ignored`, remedy };
  }
  const name = typeof part === "object" ? part.entry : key.slice(key.lastIndexOf(".") + 1);
  const remedy = `Use ${allowed}, for example ${assignment(origin, name, example)}.`;
  return { severity: "error", origin, key, message, remedy };
}

/** Parses the text of a variable or a flag. */
export function readText(setting: Setting, text: string): Reading {
  const trimmed = text.trim();
  switch (setting.kind) {
    case "boolean":
      return readTyped(setting, /^(?:true|1)$/i.test(trimmed) || (/^(?:false|0)$/i.test(trimmed) ? false : text));
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

/** Reads a value from TOML. */
export function readTyped(setting: Setting, written: unknown): Reading {
  const value = convert(setting, written);
  if (value !== undefined && Value.Check(setting.schema, value)) return { value };
  const isBare = (setting.kind === "secret" || setting.kind === "text") && /^(?:number|boolean)$/.test(typeof written);
  return {
    message: `invalid ${kinds[setting.kind].noun}${shown(setting, written)}`,
    allowed: isBare ? "text: put it in quotes" : kinds[setting.kind].allowed(setting),
    example: exampleNear(setting, written),
  };
}

/** Reads one entry of a map. */
export function readEntry(setting: Setting, name: string, written: unknown): Reading {
  const message = whyInvalidEntry(setting, name, written);
  return message === undefined
    ? { value: written }
    : { message, allowed: kinds[setting.kind].allowed(setting), example: '"text"' };
}

/** A value of `Config` as written in TOML, without secrets. */
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

/** A URL without its credentials and query, which can be secret. */
export function displayUrl(text: string): string {
  if (text === "" || !URL.canParse(text)) return text;
  const { username, password, search } = new URL(text);
  const bare = username + password === "" ? text : text.replace(/\/\/[^/?#]*@/, `//${redacted}@`);
  return search === "" ? bare : bare.replace(/\?[^#]*/, `?${redacted}`);
}

interface KindRules {
  /** As in `invalid URL "x"`. */
  readonly noun: string;
  /** What is allowed, in words. */
  readonly allowed: (setting: Setting) => string;
  /** Converts text to the form stored in `Config`, if that differs or the schema cannot validate it. */
  readonly read?: (text: string) => unknown;
  /** A valid value close to an invalid text, as TOML. */
  readonly near?: (text: string, setting: Setting) => string | undefined;
}

const isPath = (text: string): string | undefined => (text.includes("\0") ? undefined : text);

const kinds: Readonly<Record<Setting["kind"], KindRules>> = {
  boolean: {
    noun: "boolean",
    allowed: () => "true or false",
    near: (text) => (/^(yes|on|y)$/i.test(text) ? "true" : /^(no|off|n)$/i.test(text) ? "false" : undefined),
  },
  bytes: { noun: "size", allowed: (setting) => `a size${rangeOf(setting, formatBytes)}`, read: parseBytes },
  choice: {
    noun: "value",
    allowed: ({ choices }) => oneOf(choices),
    near: (text, setting) => JSON.stringify(nearest(text, setting.choices) ?? setting.default),
  },
  directory: { noun: "directory", allowed: () => 'the path of a directory, or ":memory:"', read: isPath },
  duration: {
    noun: "duration",
    allowed: (setting) => `a duration${rangeOf(setting, formatDuration)}`,
    read: parseDuration,
    near: (text, { schema }) =>
      /^\d+$/.test(text) && Value.Check(schema, parseDuration(`${text}s`)) ? `"${text}s"` : undefined,
  },
  file: { noun: "file", allowed: () => "the path of a file", read: isPath },
  integer: { noun: "number", allowed: (setting) => `a whole number${rangeOf(setting, String)}` },
  list: { noun: "list", allowed: ({ choices }) => `a list of ${choices.length === 0 ? "texts" : oneOf(choices)}` },
  listen: {
    noun: "address",
    allowed: () => '"host:port", "[v6]:port" or ":port"',
    read: (text) => (parseListen(text) === undefined ? undefined : text),
    near: (text, { default: initial }) =>
      parseListen(/^\d+$/.test(text) ? `:${text}` : "") && `"${/^127[^:]*/.exec(String(initial)) ?? ""}:${text}"`,
  },
  map: { noun: "table", allowed: ({ entry }) => `${entry === "header" ? "header names" : "names"} with a text each` },
  route: { noun: "path", allowed: () => "a path that begins with /, without a query" },
  secret: { noun: "secret", allowed: () => "printable ASCII without spaces" },
  text: { noun: "text", allowed: ({ key }) => (key === "state.schema" ? "a-z, 0-9 and _" : "one line of text") },
  url: {
    noun: "URL",
    allowed: () => "a URL that begins with http:// or https://",
    // The URL parser accepts `https:///host` and `https:host`.
    read: (text) => (text === "" || (/^https?:\/\/[^/?#]/i.test(text) && URL.canParse(text)) ? text : undefined),
    near: (text) =>
      /^[a-z0-9.-]+(:\d+)?(\/[a-z0-9/._-]*)?$/i.test(text) ? JSON.stringify(`http://${text}`) : undefined,
  },
};

function rangeOf({ schema }: Setting, format: (value: number) => string): string {
  const { minimum = 0, maximum = 0 } = schema as { minimum?: number; maximum?: number };
  if (minimum === Number.MIN_SAFE_INTEGER) return "";
  if (maximum === Number.MAX_SAFE_INTEGER) return ` of at least ${format(minimum)}`;
  return ` from ${format(minimum)} to ${format(maximum)}`;
}

/** `"a", "b" or "c"`. */
function oneOf(words: readonly string[]): string {
  const quoted = words.map((word) => JSON.stringify(word));
  return `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
}

/** `undefined` if the value has the wrong form. */
function convert({ kind }: Setting, written: unknown): unknown {
  if (kind === "duration" && written === 0) return 0;
  const { read } = kinds[kind];
  if (read === undefined || (kind === "bytes" && typeof written !== "string")) return written;
  return typeof written === "string" ? read(written) : undefined;
}

/** A valid value close to what was written, as TOML. */
function exampleNear(setting: Setting, written: unknown): string {
  const { choices, example: fallback = setting.written } = setting;
  if (setting.kind !== "list") {
    const near = typeof written === "object" ? undefined : kinds[setting.kind].near?.(String(written), setting);
    return near ?? fallback;
  }
  const items = Array.isArray(written) ? written : [written];
  if (items.some((item) => typeof item !== "string")) return fallback;
  const known = choices.length === 0 ? items : items.flatMap((item) => nearest(String(item), choices) ?? []);
  return known.length === 0 ? fallback : JSON.stringify([...new Set(known)]);
}

/** The value as written, unless it could contain a secret. */
function shown(setting: Setting, written: unknown): string {
  const isAddress = setting.kind === "url" && typeof written === "string";
  if (setting.isSecret || (isAddress && /[@?]/.test(written))) return " (not shown)";
  if (typeof written === "string") return ` ${quote(written)}`;
  if (written instanceof Date) return ": a date";
  if (Array.isArray(written)) {
    if (setting.kind !== "list") return ": a list";
    const unknown = written.find((item) => typeof item === "string" && !setting.choices.includes(item));
    return setting.choices.length === 0 || unknown === undefined ? "" : `: unknown item ${quote(unknown)}`;
  }
  return typeof written === "object" && written !== null ? ": a table" : ` ${String(written)}`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** Headers set by the exporter itself; another value would contradict the body. */
const ownHeader = /^(?:connection|content-(?:encoding|length|type)|transfer-encoding)$/i;

function whyInvalidEntry(setting: Setting, name: string, written: unknown): string | undefined {
  if (typeof written !== "string") return "the value is not text";
  if (setting.entry === "header") {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}$/.test(name)) return "invalid header name";
    if (ownHeader.test(name)) return "this header is set by the program";
    return /^[\t\x20-\x7e\x80-\xff]*$/.test(written)
      ? undefined
      : "the value contains a character that headers cannot have";
  }
  if (name === "" || name.length > 200) return "a name has 1 to 200 characters";
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(written) ? "the value contains a control character" : undefined;
}
