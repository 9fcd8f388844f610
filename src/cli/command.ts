/** One command: its definition for citty, and what the strict front and the help need besides. */
import { stripVTControlCharacters } from "node:util";
import { type ArgsDef, defineCommand, type ParsedArgs, renderUsage, runCommand } from "citty";
import type { Flags } from "./flags.ts";
import type { Host } from "./terminal.ts";

export const programName = "tailscale2otel";

export interface Command {
  readonly name: string;
  readonly description: string;
  readonly args: ArgsDef;
  /** Flags that may be given more than once. */
  readonly repeatable: readonly string[];
  /** Runs with flags that the front has checked; gives the exit code. */
  run(flags: Flags, host: Host): Promise<number>;
  /** The help text, without colours where `host` has none. */
  help(host: Host): Promise<string>;
}

interface CommandOptions<Args extends ArgsDef> {
  readonly name: string;
  readonly description: string;
  readonly args: Args;
  readonly repeatable?: readonly string[];
  /** Complete command lines, with a remark each. */
  readonly examples: readonly (readonly [line: string, remark: string])[];
  /** What is worth knowing beside flags and examples. */
  readonly notes?: string;
  run(context: { readonly args: ParsedArgs<Args>; readonly flags: Flags; readonly host: Host }): Promise<number>;
}

const helpFlag = { help: { type: "boolean", alias: "h", description: "Show this text." } } as const;

export function command<Args extends ArgsDef>(options: CommandOptions<Args>): Command {
  const { name, description, args, repeatable = [] } = options;
  const meta = { name, description };
  return {
    name,
    description,
    args: { ...args, ...helpFlag },
    repeatable,
    async run(flags, host) {
      const definition = defineCommand({
        meta,
        args,
        run: (context) => options.run({ args: context.args, flags, host }),
      });
      const { result } = await runCommand(definition, { rawArgs: flags.rawArgs });
      return Number(result);
    },
    async help(host) {
      const definition = defineCommand({ meta, args: { ...args, ...helpFlag } });
      const usage = await renderUsage(definition, { meta: { name: programName } });
      return inColourOf(host, [usage.trimEnd(), notesOf(options), examplesText(options.examples, host)].join("\n"));
    },
  };
}

/** The help of the whole program. */
export async function programHelp(commands: readonly Command[], version: string, host: Host): Promise<string> {
  const subCommands = Object.fromEntries(
    commands.map(({ name, description }) => [name, defineCommand({ meta: { name, description } })]),
  );
  const description =
    "Receives Tailscale flow logs, audit logs and webhooks, and delivers them as OpenTelemetry metrics and logs";
  const root = defineCommand({ meta: { name: programName, version, description }, subCommands });
  const names = commands.map(({ name }) => name);
  const allNames = names.join("|");
  const firstWords = [...new Set(names.map((name) => name.split(" ", 1)[0]))].join("|");
  const examples = [
    ["tailscale2otel demo", "see it work; needs no tailnet, no backend and no configuration"],
    ["tailscale2otel check", "what the configuration comes to, and every mistake in it"],
    ["tailscale2otel run --config tailscale2otel.toml", "the service"],
  ] as const;
  const notes =
    "\nWithout a command: run, where a configuration is found (a file, or TS2OTEL_STREAMING__…, TS2OTEL_WEBHOOK__… or TS2OTEL_TAILSCALE__AUTH__… variables).\nExit codes: 0 ok, 1 failure, 64 wrong usage, 78 wrong configuration.\n";
  return inColourOf(
    host,
    [
      (await renderUsage(root)).trimEnd().replace(allNames, firstWords),
      notes,
      examplesText(examples, host).trimStart(),
    ].join("\n"),
  );
}

/** The help of commands that share their first word. */
export function groupHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, description }) => `  ${name.padEnd(width)}   ${description}`);
  return `USAGE\n\n${lines.join("\n")}\n\nUse ${programName} <command> --help for more information about a command.\n`;
}

function notesOf({ notes }: { readonly notes?: string }): string {
  return notes === undefined ? "" : `\n${notes}\n`;
}

function examplesText(examples: CommandOptions<ArgsDef>["examples"], host: Host): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  const title = host.out.hasColour ? "\u001b[1m\u001b[4mEXAMPLES\u001b[24m\u001b[22m" : "EXAMPLES";
  const lines = examples.map(([line, remark]) => `  ${line.padEnd(width)}   ${remark}`.trimEnd());
  return `${title}\n\n${lines.join("\n")}\n`;
}

/** citty decides on colours by the environment alone, whatever the output is. */
function inColourOf(host: Host, text: string): string {
  const kept = host.out.hasColour ? text : stripVTControlCharacters(text);
  return kept.replace(/[ \t]+$/gm, "");
}
