/** The strict front before citty: which command is meant, with which flags, and what to do with what is neither. */
import { build } from "../version.ts";
import { nearest } from "../lib/text.ts";
import { type Command, groupHelp, programHelp, programName } from "./command.ts";
import { readFlags, UsageError } from "./flags.ts";
import type { Host } from "./terminal.ts";

export interface Front {
  readonly commands: readonly Command[];
  /** Runs where no command is named and there is something to run. */
  readonly standard: Command;
  /** Whether there is a configuration that `standard` could run with. */
  readonly isConfigured: (host: Host) => boolean;
}

/**
 * Runs what the arguments ask for; gives the exit code.
 * @throws {UsageError} where they cannot be understood.
 */
export async function runFront(front: Front, argv: readonly string[], host: Host): Promise<number> {
  const [first] = argv;
  if (first === undefined) return runBare(front, host);
  if (first === "--help" || first === "-h") return show(host, await programHelp(front.commands, build.version, host));
  if (first === "--version") {
    refuseMore(argv);
    return show(host, `${programName} ${build.version}\n`);
  }
  if (first.startsWith("-")) return runCommand(front.standard, argv, host);
  const command = front.commands.find((known) => isNamed(known, argv));
  if (command !== undefined) return runCommand(command, argv.slice(wordsOf(command).length), host);
  return runGroup(front.commands, argv, host);
}

/** The words are the beginning of commands, or of none. */
async function runGroup(commands: readonly Command[], argv: readonly string[], host: Host): Promise<number> {
  let group = commands;
  let depth = 0;
  for (const word of argv) {
    const narrower = group.filter((known) => wordsOf(known)[depth] === word);
    if (narrower.length === 0) break;
    group = narrower;
    depth++;
  }
  const typed = argv.slice(0, depth);
  const next = argv[depth];
  if (depth > 0 && (next === "--help" || next === "-h")) return show(host, groupHelp(group));
  const words = typed.join(" ");
  if (next === undefined) throw new UsageError(`${words} needs one of: ${namesOf(group).join(", ")}`, words);
  throw new UsageError(unknownCommand(group, [...typed, next].join(" ")), words);
}

/** Names can have several words: `tailnet webhook list`. */
function wordsOf({ name }: Command): readonly string[] {
  return name.split(" ");
}

function isNamed(command: Command, argv: readonly string[]): boolean {
  return wordsOf(command).every((word, place) => argv[place] === word);
}

function namesOf(commands: readonly Command[]): readonly string[] {
  return commands.map(({ name }) => name);
}

async function runCommand(command: Command, argv: readonly string[], host: Host): Promise<number> {
  if (argv.includes("--help") || argv.includes("-h")) return show(host, await command.help(host));
  try {
    return await command.run(readFlags(command, argv), host);
  } catch (error) {
    throw error instanceof UsageError && error.command === "" ? new UsageError(error.message, command.name) : error;
  }
}

async function runBare(front: Front, host: Host): Promise<number> {
  if (front.isConfigured(host)) return front.standard.run(readFlags(front.standard, []), host);
  await host.err.write(await programHelp(front.commands, build.version, host));
  throw new UsageError("no command, and no configuration to run with");
}

async function show(host: Host, text: string): Promise<number> {
  await host.out.write(text);
  return 0;
}

function refuseMore(argv: readonly string[]): void {
  if (argv.length > 1) throw new UsageError(`unexpected argument ${JSON.stringify(argv[1])}`);
}

function unknownCommand(commands: readonly Command[], word: string): string {
  const meant = nearest(word, namesOf(commands));
  const suggestion = meant === undefined ? "" : `; did you mean ${meant}?`;
  return `unknown command ${JSON.stringify(word)}${suggestion}`;
}
