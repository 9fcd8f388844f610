/** One command: its definition, from which citty parses and renders help. */
import { stripVTControlCharacters } from "node:util";
import { type ArgsDef, defineCommand, parseArgs, type ParsedArgs, renderUsage } from "citty";
import type { Flags } from "./flags.ts";
import type { Host } from "./terminal.ts";

export const programName = "tailscale2otel";

export interface Command {
  readonly name: string;
  readonly description: string;
  readonly args: ArgsDef;
  /** Returns the exit code. */
  run(flags: Flags, host: Host): Promise<number>;
  /** The help text, without colours if `host` shows none. */
  help(host: Host): Promise<string>;
}

type Examples = readonly (readonly [line: string, remark: string])[];

interface CommandOptions<Args extends ArgsDef> {
  readonly name: string;
  readonly description: string;
  readonly args: Args;
  readonly examples: Examples;
  readonly notes?: string;
  /** The exit code is 0 unless it returns another. */
  run(context: { readonly args: ParsedArgs<Args>; readonly flags: Flags; readonly host: Host }): Promise<number | void>;
}

export function command<Args extends ArgsDef>(options: CommandOptions<Args>): Command {
  const { name, description, notes, examples } = options;
  const args = { ...options.args, help: { type: "boolean", alias: "h", description: "Show this text." } } as const;
  return {
    name,
    description,
    args,
    async run(flags, host) {
      const parsed = parseArgs<Args>(flags.rawArgs, options.args);
      return (await options.run({ args: parsed, flags, host })) ?? 0;
    },
    async help(host) {
      const usage = await renderUsage(defineCommand({ meta: { name, description }, args }), {
        meta: { name: programName },
      });
      return inColourOf(host, [usage.trimEnd(), ...(notes === undefined ? [] : ["", notes])], examples);
    },
  };
}

/** The help of the whole program. */
export async function programHelp(commands: readonly Command[], version: string, host: Host): Promise<string> {
  const description =
    "Receives Tailscale flow logs, audit logs and webhooks, and exports them as OpenTelemetry metrics and logs";
  const subCommands = Object.fromEntries(
    commands.map(({ name, description: text }) => [name, defineCommand({ meta: { name, description: text } })]),
  );
  const root = defineCommand({ meta: { name: programName, version, description }, subCommands });
  const names = commands.map(({ name }) => name);
  const firstWords = [...new Set(names.map((name) => name.split(" ", 1)[0]))].join("|");
  const usage = (await renderUsage(root)).trimEnd().replace(names.join("|"), firstWords);
  const notes =
    "Without a command: run, if there is a configuration (a file, or TS2OTEL_STREAMING__…, TS2OTEL_WEBHOOK__… or TS2OTEL_TAILSCALE__AUTH__… variables).\nExit codes: 0 success, 1 failure, 64 wrong usage, 78 wrong configuration.";
  return inColourOf(
    host,
    [usage, "", notes],
    [
      ["tailscale2otel demo", "see it work, without a tailnet, a backend or a configuration"],
      ["tailscale2otel check", "the effective configuration, and every problem with its fix"],
      ["tailscale2otel run --config tailscale2otel.toml", "run the service"],
    ],
  );
}

/** The help of commands that share their first words. */
export function groupHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, description }) => `  ${name.padEnd(width)}   ${description}`);
  return `USAGE\n\n${lines.join("\n")}\n\nUse ${programName} <command> --help for more information about a command.\n`;
}

/** citty decides on colours by the environment alone, whatever the output is. */
function inColourOf({ out }: Host, sections: readonly string[], examples: Examples): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, remark]) => `  ${line.padEnd(width)}   ${remark}`);
  const title = "\u001b[1m\u001b[4mEXAMPLES\u001b[24m\u001b[22m";
  const text = [...sections, "", title, "", ...lines, ""].join("\n");
  return (out.hasColour ? text : stripVTControlCharacters(text)).replace(/[ \t]+$/gm, "");
}
