/** Defines a command, from which arguments are parsed strictly and citty renders the help. */
import { parseArgs, stripVTControlCharacters } from "node:util";
import { type ArgsDef, defineCommand, type ParsedArgs, renderUsage } from "citty";
import type { ConfigSources } from "../config/index.ts";
import { foldLines } from "../lib/fold.ts";
import { nearest } from "../lib/text.ts";
import { build } from "../version.ts";
import { UsageError } from "./flags.ts";
import { exampleLines, type Examples, type Host, jsonText } from "./terminal.ts";

export const programName = "tailscale2otel";

export interface Command {
  /** One or more words: `tailnet webhook list`. */
  readonly name: string;
  readonly description: string;
  readonly args: ArgsDef;
  /** Returns the exit code. @throws {UsageError} */
  run(argv: readonly string[], host: Host): Promise<number>;
}

/** The input of a command. `args._` has all positional words. */
export interface Invocation<Args extends ArgsDef = ArgsDef> {
  readonly args: ParsedArgs<Args>;
  /** The configuration selected by `--config` and `--set`. */
  readonly sources: ConfigSources;
  readonly host: Host;
}

/** The result of a command, printed as text, or as JSON with `--json`. */
export interface Outcome {
  readonly text: string;
  readonly json: unknown;
  /** A line for standard error, with both text and JSON. */
  readonly remark?: string;
  readonly code?: number;
}

interface CommandOptions<Args extends ArgsDef> {
  readonly name: string;
  readonly description: string;
  readonly args: Args;
  readonly examples: Examples;
  readonly notes?: string;
  /** Returns its outcome, or the exit code if it has already written its output. */
  run(invocation: Invocation<Args>): Promise<Outcome | number>;
}

export function command<Args extends ArgsDef>(options: CommandOptions<Args>): Command {
  const { name, description, notes, examples } = options;
  const args = { ...options.args, help: { type: "boolean", alias: "h", description: "Show this text." } } as const;
  return {
    name,
    description,
    args,
    async run(argv, host) {
      try {
        const parsed = parseStrictly(args, argv);
        if (!parsed.isHelp) {
          const invocation = { args: parsed.args as ParsedArgs<Args>, sources: parsed.sourcesFor(host), host };
          const outcome = await options.run(invocation);
          return typeof outcome === "number" ? outcome : await show(outcome, parsed.args["json"] === true, host);
        }
      } catch (error) {
        throw error instanceof UsageError && error.command === "" ? new UsageError(error.message, name) : error;
      }
      const usage = await renderUsage(defineCommand({ meta: { name, description }, args }), {
        meta: { name: programName },
      });
      await host.out.write(helpText([usage.trimEnd(), ...(notes === undefined ? [] : ["", notes])], examples, host));
      return 0;
    },
  };
}

async function show({ text, json, remark = "", code = 0 }: Outcome, isJson: boolean, { out, err }: Host) {
  await out.write(isJson ? jsonText(json) : text);
  if (remark !== "") await err.write(`${remark}\n`);
  return code;
}

/**
 * Splits leading flags from the rest of the arguments, as in `--config x run`.
 * @throws {UsageError} at an unknown flag.
 */
export function splitLeadingFlags({ args }: Command, argv: readonly string[]) {
  const tokens = tokensOf(args, argv);
  const first = tokens.find(({ kind }) => kind === "positional")?.index ?? argv.length;
  for (const token of tokens) if (token.kind !== "positional" && token.index < first) flagOf(args, token);
  return { leading: argv.slice(0, first), rest: argv.slice(first) };
}

/** The help of the whole program, with a title above each group of commands. */
export async function programHelp(
  groups: readonly (readonly [title: string, commands: readonly Command[]])[],
  host: Host,
): Promise<string> {
  const commands = groups.flatMap(([, group]) => group);
  const description =
    "Receives Tailscale flow logs, audit logs and webhooks, and exports them as OpenTelemetry metrics and logs";
  const subCommands = Object.fromEntries(
    commands.map(({ name, description: text }) => [name, defineCommand({ meta: { name, description: text } })]),
  );
  const meta = { name: programName, version: build.version, description };
  const names = commands.map(({ name }) => name);
  const firstWords = [...new Set(names.map((name) => name.split(" ", 1)[0]))].join("|");
  const usage = (await renderUsage(defineCommand({ meta, subCommands }))).trimEnd().split("\n");
  const titled = groups.reduce((lines, [title, [first]]) => {
    const at = lines.findIndex((line) => stripVTControlCharacters(line).trimStart().startsWith(`${first?.name} `));
    return lines.toSpliced(at, 0, ...(title === groups[0]?.[0] ? [] : [""]), `  ${title}:`);
  }, usage);
  const notes =
    "Without a command: run, if there is a configuration (a file, or TS2OTEL_STREAMING__…, TS2OTEL_WEBHOOK__… or TS2OTEL_TAILSCALE__AUTH__… variables).\nExit codes: 0 success, 1 failure, 64 usage error, 78 configuration error.";
  return helpText(
    [titled.join("\n").replace(names.join("|"), firstWords), "", notes],
    [
      ["tailscale2otel demo", "see it work, without a tailnet, a backend or a configuration"],
      ["tailscale2otel init", "write a configuration, and say what to enter in Tailscale"],
      ["tailscale2otel check", "the effective configuration, and every problem with its fix"],
      ["tailscale2otel run --config tailscale2otel.toml", "run the service"],
    ],
    host,
  );
}

/** The help of commands that share their first words. */
export function groupHelp(group: readonly Command[], { out }: Host): string {
  const width = Math.max(...group.map(({ name }) => name.length));
  const lines = group.map(({ name, description }) => `  ${name.padEnd(width)}   ${description}`);
  const text = `USAGE\n\n${lines.join("\n")}\n\nUse ${programName} <command> --help for more information about a command.\n`;
  return foldLines(text, out.columns);
}

/** Help with examples. citty chooses colors by the environment alone, ignoring the output. */
function helpText(sections: readonly string[], examples: Examples, { out }: Host): string {
  const lines = exampleLines(examples, out.columns);
  const title = "\u001b[1m\u001b[4mEXAMPLES\u001b[24m\u001b[22m";
  const text = [...sections.map((section) => foldLines(section, out.columns)), "", title, "", ...lines, ""].join("\n");
  return (out.hasColor ? text : stripVTControlCharacters(text)).replace(/[ \t]+$/gm, "");
}

type Token = ReturnType<typeof tokensOf>[number];
type OptionToken = Exclude<Token, { kind: "positional" }>;

/** The arguments of any command that may be repeated. */
export const repeatable: ReadonlySet<string> = new Set(["set", "ids"]);

const isList = (definition: ArgsDef[string] | undefined): boolean => definition !== undefined && "isList" in definition;

/** citty's parser ignores unknown flags and keeps the last of repeated ones. */
function parseStrictly(args: ArgsDef, argv: readonly string[]) {
  const tokens = tokensOf(args, argv);
  const isHelp = tokens.some((token) => token.kind === "option" && token.name === "help");
  const values = new Map<string, string[]>();
  const words: string[] = [];
  for (const token of isHelp ? [] : tokens) {
    if (token.kind === "positional") words.push(token.value);
    const [name, value] =
      token.kind === "positional" ? [positionalOf(args, values, token.value), token.value] : flagOf(args, token);
    const given = values.get(name);
    if (given !== undefined && !repeatable.has(name) && !isList(args[name]))
      throw new UsageError(`--${name} is given twice`);
    values.set(name, [...(given ?? []), value]);
  }
  const missing = Object.entries(args).find(
    ([name, { type, required }]) => type === "positional" && required !== false && !isHelp && !values.has(name),
  );
  if (missing !== undefined) throw new UsageError(`the ${missing[0]} is missing`);
  const typed = [...values].map(([name, given]) => {
    const value = isList(args[name]) ? given.join(",") : given[0];
    return [name, args[name]?.type === "boolean" ? true : value];
  });
  return {
    isHelp,
    args: { ...Object.fromEntries(typed), _: words } as ParsedArgs,
    sourcesFor: (host: Host) => sourcesOf(values, host),
  };
}

function sourcesOf(values: ReadonlyMap<string, readonly string[]>, host: Host): ConfigSources {
  const configPath = values.get("config")?.[0];
  const { environment, workingDirectory, system } = host;
  const assignments = values.get("set") ?? [];
  return { ...(configPath === undefined ? {} : { configPath }), assignments, environment, workingDirectory, system };
}

function tokensOf(args: ArgsDef, argv: readonly string[]) {
  const options = Object.entries(args).flatMap(([name, definition]) => {
    if (definition.type === "positional") return [];
    const short = "alias" in definition ? { short: String(definition.alias) } : {};
    return [[name, { type: definition.type === "boolean" ? ("boolean" as const) : ("string" as const), ...short }]];
  });
  return parseArgs({
    args: [...argv],
    options: Object.fromEntries(options),
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens;
}

function positionalOf(args: ArgsDef, values: ReadonlyMap<string, unknown>, word: string): string {
  const name = Object.keys(args).find(
    (one) => args[one]?.type === "positional" && (!values.has(one) || repeatable.has(one)),
  );
  if (name === undefined) throw new UsageError(`unexpected argument ${JSON.stringify(word)}`);
  return name;
}

function flagOf(args: ArgsDef, token: OptionToken): readonly [name: string, value: string] {
  const written = token.kind === "option" ? token.rawName : "--";
  const name = token.kind === "option" ? token.name : "";
  const definition = args[name];
  if (token.kind !== "option" || definition === undefined || definition.type === "positional") {
    const flags = Object.keys(args).filter((one) => args[one]?.type !== "positional");
    const meant = nearest(
      written,
      flags.map((one) => `--${one}`),
    );
    throw new UsageError(`unknown flag ${written}${meant === undefined ? "" : `; did you mean ${meant}?`}`);
  }
  const { value } = token;
  if (definition.type === "boolean") {
    if (value !== undefined) throw new UsageError(`${written} takes no value`);
    return [name, "true"];
  }
  if (value === undefined) throw new UsageError(`${written} needs a value`);
  if (definition.type !== "enum" || definition.options?.includes(value) === true) return [name, value];
  const options = (definition.options ?? []).join(", ");
  throw new UsageError(`${written} must be one of ${options}, not ${JSON.stringify(value)}`);
}
