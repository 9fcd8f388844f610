/** Reads the flags of a command strictly, since citty ignores unknown ones and keeps the last of several; and what several commands read alike. */
import type { ArgDef, ArgsDef } from "citty";
import type { ConfigSources } from "../config/index.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { parseDuration } from "../lib/units.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";
import { nearest } from "../lib/text.ts";
import type { Host } from "./terminal.ts";

/** The command line was not understood. Exit code 64. `command`: whose help to point to; the program's own if empty. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  constructor(
    message: string,
    readonly command = "",
  ) {
    super(message);
  }
}

export interface Flags {
  /** The values of each flag, in order; a switch has `"true"`. Positional words are under the name that the command gives them. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** The same in the one form that cannot be misread: `--name=value`, and the words. */
  readonly rawArgs: string[];
}

/** A flag with a value; `hint` stands for it in the help. */
export const option = (hint: string, description: string) =>
  ({ type: "string", valueHint: hint, description }) as const;

/** A flag without a value. */
export const toggle = (description: string) => ({ type: "boolean", description }) as const;

/** Where settings come from. */
export const configFlags = {
  config: option("path", "The configuration file, instead of $TS2OTEL_CONFIG and the usual places."),
  set: option("key=value", "One setting; overrides file and environment. Can be repeated."),
} as const;

export const jsonFlag = { json: toggle("Print JSON instead of text.") } as const;

/** All that may be given more than once, whatever the command. */
const repeatable = new Set(["set", "ids"]);

export function sourcesOf({ values }: Pick<Flags, "values">, host: Host): ConfigSources {
  const configPath = values.get("config")?.[0];
  return {
    ...(configPath === undefined ? {} : { configPath }),
    assignments: values.get("set") ?? [],
    environment: host.environment,
    workingDirectory: host.workingDirectory,
    system: host.system,
  };
}

/** Epoch milliseconds of `8h` (that long before `now`) or of an RFC 3339 time. @throws {UsageError} */
export function instantOf(text: string, now: number, flag: string): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return Math.max(0, now - ago);
  const time = parseRfc3339(text);
  if (time !== undefined && time[0] >= 0) return Math.floor(millisOfHrTime(time));
  const quoted = JSON.stringify(text);
  throw new UsageError(`${flag} needs a duration such as 8h or a time such as 2026-11-02T09:15:00Z, not ${quoted}`);
}

/** @throws {UsageError} unless the text is a whole number in that range. */
export function wholeNumberOf(text: string, flag: string, [from, to]: readonly [number, number]): number {
  const count = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (count >= from && count <= to) return count;
  throw new UsageError(`${flag} needs a whole number from ${from} to ${to}, not ${JSON.stringify(text)}`);
}

/** @throws {UsageError} unless the text is an http or https address. */
export function urlOf(text: string): URL {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return new URL(text);
  throw new UsageError(`--url needs an address that begins with http:// or https://, not ${JSON.stringify(text)}`);
}

/** @throws {UsageError} at an unknown flag, a repeated one, a missing value, and a missing or superfluous word. */
export function readFlags({ args }: { readonly args: ArgsDef }, argv: readonly string[]): Flags {
  const values = new Map<string, string[]>();
  const rawArgs: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith("-") || word === "-") {
      takeWord(args, values, word);
      rawArgs.push(word);
      continue;
    }
    const cut = word.indexOf("=");
    const written = cut === -1 ? word : word.slice(0, cut);
    const name = findFlag(args, written);
    const given = values.get(name);
    if (given !== undefined && !repeatable.has(name)) throw new UsageError(`${written} is given twice`);
    const value = valueOf(args[name], written, cut === -1 ? undefined : word.slice(cut + 1), rest);
    values.set(name, [...(given ?? []), value]);
    rawArgs.push(`--${name}=${value}`);
  }
  const missing = Object.entries(args).find(
    ([name, { type, required }]) => type === "positional" && required !== false && !values.has(name),
  );
  if (missing !== undefined) throw new UsageError(`the ${missing[0]} is missing`);
  return { values, rawArgs };
}

/**
 * Splits leading flags from what follows them, as in `--config x run`.
 * @throws {UsageError} at an unknown flag.
 */
export function splitLeadingFlags({ args }: { readonly args: ArgsDef }, argv: readonly string[]) {
  const rest = [...argv];
  while (rest[0]?.startsWith("-") === true) {
    const word = rest.shift() ?? "";
    const isWhole = word.includes("=") || args[findFlag(args, word)]?.type === "boolean";
    if (!isWhole) rest.shift();
  }
  return { leading: argv.slice(0, argv.length - rest.length), rest };
}

function takeWord(args: ArgsDef, values: Map<string, string[]>, word: string): void {
  const name = Object.keys(args).find(
    (one) => args[one]?.type === "positional" && (!values.has(one) || repeatable.has(one)),
  );
  if (name === undefined) throw new UsageError(`unexpected argument ${JSON.stringify(word)}`);
  values.set(name, [...(values.get(name) ?? []), word]);
}

function findFlag(args: ArgsDef, word: string): string {
  const written = word.replace(/=.*/s, "");
  const known = Object.entries(args).flatMap(([name, definition]) =>
    definition.type === "positional" ? [] : spellings(name, definition).map((spelling) => [spelling, name] as const),
  );
  const found = known.find(([spelling]) => spelling === written);
  if (found !== undefined) return found[1];
  const meant = nearest(
    written,
    known.map(([spelling]) => spelling),
  );
  throw new UsageError(`unknown flag ${written}${meant === undefined ? "" : `; did you mean ${meant}?`}`);
}

function spellings(name: string, definition: ArgDef): readonly string[] {
  const alias = "alias" in definition ? (definition.alias ?? []) : [];
  return [`--${name}`, ...[alias].flat().map((letter) => `-${letter}`)];
}

function valueOf(definition: ArgDef | undefined, written: string, value: string | undefined, rest: string[]): string {
  if (definition?.type === "boolean") {
    if (value !== undefined) throw new UsageError(`${written} needs no value`);
    return "true";
  }
  const given = value ?? rest.shift();
  if (given === undefined) throw new UsageError(`${written} needs a value`);
  if (definition?.type !== "enum" || definition.options?.includes(given) === true) return given;
  const options = (definition.options ?? []).join(", ");
  throw new UsageError(`${written} needs one of ${options}, not ${JSON.stringify(given)}`);
}
