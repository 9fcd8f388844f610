/** Reads the flags of a command strictly: citty takes what it does not know, and keeps one of several. */
import type { ArgDef, ArgsDef } from "citty";
import { nearest } from "../lib/text.ts";

/** The command line was not understood. Exit code 64. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** `command`: the words before --help that lead to the help about it; the program's own if there are none. */
  constructor(
    message: string,
    readonly command = "",
  ) {
    super(message);
  }
}

export interface Flags {
  /** Each flag that was given, with its values in order; a switch has `"true"`. Words without a flag have the name that the command gives them. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** The same in the one form that cannot be misread: `--name=value`, and the words. */
  readonly rawArgs: string[];
}

interface Expected {
  readonly args: ArgsDef;
  readonly repeatable: readonly string[];
}

/** @throws {UsageError} at a flag that is unknown, given twice, or without its value, and at a word that the command does not take, or lacks. */
export function readFlags(command: Expected, argv: readonly string[]): Flags {
  const values = new Map<string, string[]>();
  const rawArgs: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith("-") || word === "-") {
      takeWord(command, values, word);
      rawArgs.push(word);
      continue;
    }
    const cut = word.indexOf("=");
    const written = cut === -1 ? word : word.slice(0, cut);
    const name = findFlag(command.args, written);
    const given = values.get(name);
    if (given !== undefined && !command.repeatable.includes(name)) throw new UsageError(`${written} is given twice`);
    const value = valueOf(command.args[name], written, cut === -1 ? undefined : word.slice(cut + 1), rest);
    values.set(name, [...(given ?? []), value]);
    rawArgs.push(`--${name}=${value}`);
  }
  const missing = Object.entries(command.args).find(
    ([name, definition]) => definition.type === "positional" && definition.required !== false && !values.has(name),
  );
  if (missing !== undefined) throw new UsageError(`the ${missing[0]} is missing`);
  return { values, rawArgs };
}

function takeWord({ args, repeatable }: Expected, values: Map<string, string[]>, word: string): void {
  const taking = Object.keys(args).find(
    (name) => args[name]?.type === "positional" && (!values.has(name) || repeatable.includes(name)),
  );
  if (taking === undefined) throw new UsageError(`unexpected argument ${JSON.stringify(word)}`);
  values.set(taking, [...(values.get(taking) ?? []), word]);
}

function findFlag(args: ArgsDef, written: string): string {
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
  const short = typeof alias === "string" ? [alias] : alias;
  return [`--${name}`, ...short.map((letter) => `-${letter}`)];
}

/** Takes the next word where the value does not stand in the same one. */
function valueOf(definition: ArgDef | undefined, written: string, value: string | undefined, rest: string[]): string {
  if (definition?.type === "boolean") {
    if (value !== undefined) throw new UsageError(`${written} takes no value`);
    return "true";
  }
  const taken = value ?? rest.shift();
  if (taken === undefined) throw new UsageError(`${written} needs a value`);
  if (definition?.type === "enum" && definition.options?.includes(taken) !== true) {
    throw new UsageError(
      `${written} takes one of ${(definition.options ?? []).join(", ")}, not ${JSON.stringify(taken)}`,
    );
  }
  return taken;
}
