/** Dispatches the arguments to a command, and suggests one if there is no such command. */
import { build } from "../version.ts";
import { nearest } from "../lib/text.ts";
import { type Command, groupHelp, programHelp, programName } from "./command.ts";
import { readFlags, splitLeadingFlags, UsageError } from "./flags.ts";
import type { Host } from "./terminal.ts";

export interface Front {
  readonly commands: readonly Command[];
  /** Runs if no command is named and there is a configuration for it. */
  readonly standard: Command;
  readonly isConfigured: (host: Host) => boolean;
}

/** Runs what the arguments ask for; returns the exit code. @throws {UsageError} */
export async function runFront(front: Front, argv: readonly string[], host: Host): Promise<number> {
  const { commands, standard } = front;
  const [first = "", second] = argv;
  const isHelp = ["--help", "-h", "help"].includes(first);
  if (first === "help" && second !== undefined && !second.startsWith("-"))
    return runNamed(commands, [...argv.slice(1), "--help"], host);
  if (isHelp) return show(host, await programHelp(commands, build.version, host));
  if (["--version", "-v", "-V"].includes(first)) {
    if (second !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(second)}`);
    return show(host, `${programName} ${build.version}\n`);
  }
  if (first === "") return runBare(front, host);
  if (!first.startsWith("-")) return runNamed(commands, argv, host);
  const { leading, rest } = await asUsageOf(standard, async () => splitLeadingFlags(standard, argv));
  if (rest.length === 0) return run(standard, leading, host);
  return runNamed(commands, [...rest, ...leading], host);
}

/** Commands can have several words: `tailnet webhook list`. */
async function runNamed(commands: readonly Command[], argv: readonly string[], host: Host): Promise<number> {
  let group = commands;
  let depth = 0;
  for (const word of argv) {
    const narrower = group.filter(({ name }) => name.split(" ")[depth] === word);
    if (narrower.length === 0) break;
    group = narrower;
    depth++;
    const named = group.find(({ name }) => name.split(" ").length === depth);
    if (named !== undefined) return run(named, argv.slice(depth), host);
  }
  const words = argv.slice(0, depth).join(" ");
  const next = argv[depth];
  if (depth > 0 && (next === "--help" || next === "-h")) return show(host, groupHelp(group));
  const names = group.map(({ name }) => name);
  if (next === undefined || next.startsWith("-"))
    throw new UsageError(`${words} needs one of: ${names.join(", ")}`, words);
  const written = `${words} ${next}`.trim();
  const meant = nearest(written, names);
  const suggestion = meant === undefined ? "" : `; did you mean ${meant}?`;
  throw new UsageError(`unknown command ${JSON.stringify(written)}${suggestion}`, words);
}

async function run(command: Command, argv: readonly string[], host: Host): Promise<number> {
  if (argv.includes("--help") || argv.includes("-h")) return show(host, await command.help(host));
  return asUsageOf(command, async () => command.run(readFlags(command, argv), host));
}

async function runBare({ commands, standard, isConfigured }: Front, host: Host): Promise<number> {
  if (isConfigured(host)) return run(standard, [], host);
  await host.err.write(await programHelp(commands, build.version, host));
  throw new UsageError("no command, and no configuration to run with");
}

/** Points a `UsageError` to the help of the command. */
async function asUsageOf<Result>(command: Command, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    throw error instanceof UsageError && error.command === "" ? new UsageError(error.message, command.name) : error;
  }
}

async function show(host: Host, text: string): Promise<number> {
  await host.out.write(text);
  return 0;
}
