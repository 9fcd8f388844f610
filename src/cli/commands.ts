/** Lists all commands and runs the one the arguments name. */
import notices from "../../THIRD-PARTY-NOTICES.txt" with { type: "text" };
import schema from "../../docs/config.schema.json" with { type: "json" };
import { nearest } from "../lib/text.ts";
import { findConfigFile } from "../config/index.ts";
import { build } from "../version.ts";
import { checkCommand } from "./check.ts";
import { type Command, command, groupHelp, programHelp, programName, splitLeadingFlags } from "./command.ts";
import { completionAnswer, completionCommands, completionRequest } from "./completion/index.ts";
import { demoCommand } from "./demo.ts";
import { jsonFlag, UsageError } from "./flags.ts";
import { healthcheckCommand } from "./healthcheck.ts";
import { initCommand } from "./init.ts";
import { moveCommand } from "./move.ts";
import { quarantineCommands } from "./quarantine.ts";
import { replayCommand } from "./replay.ts";
import { runCommand } from "./run.ts";
import { sendCommands } from "./send.ts";
import { serviceCommands } from "./service.ts";
import { statusCommand } from "./status.ts";
import { tailCommand } from "./tail.ts";
import { tailnetStreamCommands } from "./tailnet-stream.ts";
import { tailnetWebhookCommands } from "./tailnet-webhook.ts";
import { type Host, jsonText } from "./terminal.ts";
import { topCommand } from "./top.ts";

/** Runs the command in the arguments; returns the exit code. @throws {UsageError} */
export async function runArguments(argv: readonly string[], host: Host): Promise<number> {
  const [first = "", second] = argv;
  if (first === completionRequest) return show(host, completionAnswer(commands, argv.slice(1)));
  if (first === "help" && second !== undefined && !second.startsWith("-"))
    return runNamed([...argv.slice(1), "--help"], host);
  if (["--help", "-h", "help"].includes(first)) return show(host, await programHelp(groups, host));
  if (["--version", "-v", "-V"].includes(first)) {
    if (second !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(second)}`);
    return show(host, `${programName} ${build.version}\n`);
  }
  if (first === "" && !isConfigured(host)) {
    await host.err.write(await programHelp(groups, host));
    throw new UsageError("no command, and no configuration to run with: tailscale2otel init writes one");
  }
  if (!first.startsWith("-") && first !== "") return runNamed(argv, host);
  const { leading, rest } = splitLeadingFlags(runCommand, argv);
  return rest.length === 0 ? runCommand.run(leading, host) : runNamed([...rest, ...leading], host);
}

const schemaCommand = command({
  name: "schema",
  description: "Print the JSON Schema of the configuration file, for editors",
  args: {},
  examples: [["tailscale2otel schema > tailscale2otel.schema.json", "then name it in your editor's TOML settings"]],
  run: async () => ({ text: jsonText(schema), json: schema }),
});

const versionCommand = command({
  name: "version",
  description: "Print version, commit and build date",
  args: {
    ...jsonFlag,
    licenses: { type: "boolean", description: "Print the licenses of the software inside this binary instead." },
  },
  examples: [
    ["tailscale2otel version", ""],
    ["tailscale2otel version --json", "for scripts"],
    ["tailscale2otel version --licenses | less", ""],
  ],
  async run({ args }) {
    if (args.licenses === true) return { text: notices, json: { licenses: notices } };
    const { version, commit, date } = build;
    const details = [commit === "" ? "" : `commit ${commit}`, date === "" ? "" : `built ${date}`].filter(Boolean);
    return { text: `${[`${programName} ${version}`, ...details].join(", ")}\n`, json: build };
  },
});

/** All commands, grouped as in the help. */
const groups: readonly (readonly [title: string, commands: readonly Command[]])[] = [
  ["Set up and run", [runCommand, demoCommand, initCommand, checkCommand, ...sendCommands]],
  ["Look at a running instance", [statusCommand, tailCommand, topCommand, healthcheckCommand]],
  ["Quarantine, and delivering again", [...quarantineCommands, replayCommand]],
  ["Settings of the tailnet", [...tailnetStreamCommands, ...tailnetWebhookCommands]],
  ["On this machine", [...serviceCommands, moveCommand, schemaCommand, ...completionCommands, versionCommand]],
];

const commands = groups.flatMap(([, group]) => group);

/** True if there is a configuration file, or variables configure a receiver or API credentials. */
function isConfigured({ environment, workingDirectory, system }: Host): boolean {
  return (
    findConfigFile({ assignments: [], environment, workingDirectory, system }) !== undefined ||
    Object.keys(environment).some((name) => /^TS2OTEL_(STREAMING|WEBHOOK|TAILNET|TAILSCALE__AUTH)__/.test(name))
  );
}

/** Runs the command whose words the arguments begin with. Suggests a correction only for near misses. */
async function runNamed(argv: readonly string[], host: Host): Promise<number> {
  let group = commands;
  let depth = 0;
  for (; depth < argv.length; depth++) {
    const narrower = group.filter(({ name }) => name.split(" ")[depth] === argv[depth]);
    if (narrower.length === 0) break;
    group = narrower;
    const named = group.find(({ name }) => name.split(" ").length === depth + 1);
    if (named !== undefined) return named.run(argv.slice(depth + 1), host);
  }
  const words = argv.slice(0, depth).join(" ");
  const next = argv[depth];
  if (words !== "" && (next === "--help" || next === "-h")) return show(host, groupHelp(group, host));
  if (next === undefined || next.startsWith("-"))
    throw new UsageError(`${words} needs one of: ${group.map(({ name }) => name).join(", ")}`, words);
  const choices = new Set(group.map(({ name }) => name.split(" ")[depth] ?? ""));
  const meant = nearest(next, words === "" ? [...choices, "help"] : choices);
  const full = (word: string): string => `${words} ${word}`.trim();
  const remark =
    meant !== undefined
      ? `; did you mean ${full(meant)}?`
      : words === ""
        ? ""
        : `; there are ${[...choices].map(full).join(", ")}`;
  throw new UsageError(`unknown command ${JSON.stringify(full(next))}${remark}`, words);
}

async function show(host: Host, text: string): Promise<number> {
  await host.out.write(text);
  return 0;
}
