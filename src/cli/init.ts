/**
 * The `init` command: creates a configuration from a few questions, and prints what to enter in Tailscale and how to continue.
 */
import { lstatSync, realpathSync, type Stats, statSync } from "node:fs";
import { devNull } from "node:os";
import { basename, delimiter, join, parse, relative, resolve, sep } from "node:path";
import process from "node:process";
import {
  type Config,
  describeFinding,
  findConfigFile,
  inspectConfig,
  type Inspection,
  otherVariables,
} from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { foldLines } from "../lib/fold.ts";
import { fileErrorReason, messageOf } from "../lib/system-error.ts";
import { writePrivateFile } from "../lib/private-file.ts";
import { type Answers, assignmentsOf, fileText, freshToken } from "../setup/answers.ts";
import { consoleSteps, streamAddressOf } from "../setup/console.ts";
import { build } from "../version.ts";
import { type Command, command, programName } from "./command.ts";
import { option, toggle, UsageError } from "./flags.ts";
import { fromFlags, initFrom } from "./init-from.ts";
import { askAll } from "./init-questions.ts";
import { Interrupted, openPrompt } from "./prompt.ts";
import { exampleLines, type Examples, type Host, paint } from "./terminal.ts";

export const initCommand: Command = command({
  name: "init",
  description: "Write a configuration, and say what to enter in Tailscale",
  args: {
    source: option("source", "How the logs get here: stream, poll or both."),
    endpoint: option("address", "Where metrics and logs go: the address of an OTLP/HTTP receiver, or none."),
    header: option("name: value", "Header for the receiver, such as its API key."),
    "grafana-instance": option("number", "Instance ID of Grafana Cloud's OTLP endpoint."),
    "grafana-token-file": option("path", "File with the token for Grafana Cloud."),
    reach: option("how", "How Tailscale reaches this machine: tailnet, certificate, or a public https address."),
    node: option("name", "Full name of this machine in the tailnet. (Default: as tailscaled says)"),
    webhook: option("address", "Public https address for webhooks, or none. (Default: none)"),
    "webhook-secret-file": option("path", "File with the secret of the webhook."),
    "client-id": option("id", "OAuth client of the tailnet: required to poll; also sets up streams and webhook."),
    "client-secret-file": option("path", "File with the secret of the OAuth client."),
    output: option("path", "File to write; - for standard output. (Default: tailscale2otel.toml; with --from: -)"),
    force: toggle("Replace the file if it exists."),
    ...fromFlags,
    yes: { type: "boolean", alias: "y", description: "Ask nothing: use the default where a flag is missing." },
  },
  examples: [
    ["tailscale2otel init", "asks; Enter accepts a default, Ctrl-C leaves nothing behind"],
    [
      "tailscale2otel init --source stream --endpoint http://127.0.0.1:4318 --reach tailnet --node node.tail1234.ts.net",
      "without a terminal",
    ],
    [
      "tailscale2otel init --source poll --endpoint none --client-id kExampleCNTRL --client-secret-file secret",
      "polling; the secret stays in its file",
    ],
    ["tailscale2otel init --from config.yaml --output tailscale2otel.toml", "from the Go program's YAML"],
    ["tailscale2otel init --from config.yaml,go.env", "its variables override its file, as they do there"],
    ["tailscale2otel init --from env", "from the variables of this shell"],
  ],
  notes:
    "init tries the receiver and the OAuth client, shows their answers, and writes the file either way. Only its user can read it, and an existing one is replaced only with --force.",
  async run({ args, sources: { environment, workingDirectory, system }, host }) {
    if (args.from !== undefined) refuseOthers(args);
    else if (args.tailnet !== undefined) throw new UsageError("--tailnet goes with --from");
    const name = args.output ?? (args.from === undefined ? "tailscale2otel.toml" : "-");
    const path = name === "-" ? name : resolve(workingDirectory, name);
    refuseExisting(path, { isForced: args.force === true });
    if (args.from !== undefined) return initFrom({ ...args, from: args.from }, path, host);
    const prompt = args.yes === true ? undefined : openPrompt();
    const inspect = (answers: Answers): Inspection =>
      inspectConfig({
        configPath: devNull,
        assignments: assignmentsOf(answers),
        environment,
        workingDirectory,
        system,
      });
    try {
      if (prompt !== undefined) await host.err.write(foldLines(greeting, host.err.columns));
      const asked = askAll({
        flags: args,
        prompt,
        streamToken: freshToken(),
        hasColor: host.err.hasColor,
        say: (text) => host.err.write(`${foldLines(text, host.err.columns)}\n`),
        resolvePath: (file) => resolve(workingDirectory, file),
        configWith: (partial, key) => validated(inspect(partial), key),
      });
      const answers = await (prompt === undefined ? asked : Promise.race([asked, prompt.interrupted]));
      const { problems } = inspect(answers);
      if (problems.length > 0) throw new ConfigError(problems.map(describeFinding));
      await write(path, fileText(answers, build.version), host);
      const remarks = [...warningsOf(path, { environment, workingDirectory, system }), ...overriding(environment)];
      await host.err.write(remarks.map((remark) => `${paint(33, "note", host.err)}: ${remark}\n`).join(""));
      const output = path === "-" ? host.err : host.out;
      await output.write(endText(answers, path, host, output.columns));
      return 0;
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      await host.err.write("\nnothing was written\n");
      return 130;
    } finally {
      prompt?.close();
    }
  },
});

/** @throws {UsageError} for a flag that does not apply to a conversion. */
function refuseOthers(args: Readonly<Record<string, unknown>>): void {
  const other = Object.keys(args).find((name) => !["from", "tailnet", "output", "force", "_"].includes(name));
  if (other !== undefined)
    throw new UsageError(`--from goes with --tailnet, --output and --force, not with --${other}`);
}

const greeting =
  "This writes a configuration for tailscale2otel. Three questions matter; Enter accepts what is in [brackets].\nCtrl-C leaves nothing behind.\n";

/** @throws {UsageError} if something under that key is invalid. */
function validated({ config, problems }: Inspection, key: string): Config {
  const problem = problems.find((one) => one.key.startsWith(`${key}.`));
  if (problem !== undefined) throw new UsageError(`${problem.message}. ${problem.remedy}`);
  return config;
}

/**
 * Checks the path before any question. `isForced`: an existing file is replaced, but nothing else. @throws {Error} with what to
 * do.
 */
function refuseExisting(path: string, { isForced }: { readonly isForced: boolean }): void {
  let found: Stats | undefined;
  let target: Stats | undefined;
  try {
    found = path === "-" ? undefined : lstatSync(path, { throwIfNoEntry: false });
    target = found && statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw unwritable(`cannot write ${path}: ${fileErrorReason(error) ?? String(error)}`, error);
  }
  if (target?.isDirectory() === true) throw new Error(`${path} is a directory. Name a file in it with --output.`);
  // As root, even a device would be replaced.
  if (target !== undefined && !target.isFile())
    throw new Error(`${path} is not a regular file. Name another one with --output, or - for standard output.`);
  if (found !== undefined && !isForced)
    throw new Error(
      `${path} exists already, and its secrets may be in use. Name another file with --output, or replace it with --force.`,
    );
}

function unwritable(message: string, cause: unknown): Error {
  return new Error(`${message}. Name another file with --output, or run this as a user who may write there.`, {
    cause,
  });
}

async function write(path: string, text: string, { out }: Host): Promise<void> {
  if (path === "-") return out.write(text);
  try {
    writePrivateFile(path, text);
  } catch (error) {
    throw unwritable(messageOf(error), error);
  }
}

/** Warnings about the file as written. */
function warningsOf(path: string, host: Pick<Host, "environment" | "workingDirectory" | "system">): readonly string[] {
  if (path === "-") return [];
  return inspectConfig({ configPath: path, assignments: [], ...host }).warnings.map(describeFinding);
}

/** Variables of this shell that would override the file. */
function overriding(environment: Host["environment"]): readonly string[] {
  const names = Object.keys(environment).filter(
    (name) => name.startsWith("TS2OTEL_") && !otherVariables.has(name) && environment[name] !== "",
  );
  return names.length === 0 ? [] : [`these variables of this shell override the file: ${names.sort().join(", ")}`];
}

function endText(answers: Answers, path: string, host: Host, columns: number | undefined): string {
  const { environment, workingDirectory, system } = host;
  const sources = { assignments: [], environment, workingDirectory, system };
  const isFound = path === "-" || resolve(workingDirectory, findConfigFile(sources) ?? "") === path;
  const more = isFound ? "" : ` --config ${/^[\w./-]+$/.test(path) ? path : JSON.stringify(path)}`;
  const name = ownCommand(process.execPath, host);
  const commands = nextCommands(answers).map(([words, remark]) => [`${name} ${words}${more}`, remark] as const);
  const written = path === "-" ? [] : [`Wrote ${path}, readable only by you.`, ""];
  const lines = [
    ...written,
    foldLines(consoleSteps(answers), columns),
    "",
    "Next:",
    ...exampleLines(commands, columns),
  ];
  return `${lines.join("\n")}\n`;
}

/** How to call this program: by name if the shell finds it, otherwise by path. */
function ownCommand(executable: string, { environment, workingDirectory }: Host): string {
  // When run from source, the executable is the runtime.
  if (parse(executable).name !== programName) return programName;
  const isFound = (environment["PATH"] ?? "").split(delimiter).some((directory) => {
    try {
      return realpathSync(join(directory, basename(executable))) === realpathSync(executable);
    } catch {
      return false;
    }
  });
  if (isFound) return programName;
  const path = relative(workingDirectory, executable);
  return path.startsWith("..") || !path.includes(sep) ? executable : path;
}

function nextCommands({ reach }: Answers): Examples {
  const url = reach === undefined ? "" : ` --url ${streamAddressOf(reach)}`;
  return [
    ["run", "starts it here; Ctrl-C stops it"],
    ...(reach === undefined
      ? []
      : [[`send hec${reach.kind === "certificate" ? url : ""}`, "in a second terminal: two test records"] as const]),
    ["tail", "in a second terminal: what is received, as it arrives"],
    ["check --online", "tries the backend, Tailscale's API and certificates"],
    ["service install", "as root: keeps it running, even after a reboot"],
  ];
}
