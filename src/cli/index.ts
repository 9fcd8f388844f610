/** The command line: from the process's arguments to an exit code, every error in words. */
import process from "node:process";
import { findConfigFile } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { TailscaleError } from "../tailscale/index.ts";
import { checkCommand } from "./check.ts";
import { programName } from "./command.ts";
import { demoCommand } from "./demo.ts";
import { sourcesOf, UsageError } from "./flags.ts";
import { type Front, runFront } from "./front.ts";
import { schemaCommand, versionCommand } from "./print.ts";
import { quarantineCommands } from "./quarantine.ts";
import { replayCommand } from "./replay.ts";
import { runCommand } from "./run.ts";
import { sendCommands } from "./send.ts";
import { statusCommand } from "./status.ts";
import { tailnetStreamCommands } from "./tailnet-stream.ts";
import { tailnetWebhookCommands } from "./tailnet-webhook.ts";
import { type Host, printableLines, processHost } from "./terminal.ts";

/** As in sysexits.h, which has no number for failures of other kinds. */
const exitCodes = { failure: 1, usage: 64, configuration: 78 } as const;

export const front: Front = {
  commands: [
    runCommand,
    demoCommand,
    checkCommand,
    ...sendCommands,
    statusCommand,
    ...quarantineCommands,
    replayCommand,
    ...tailnetStreamCommands,
    ...tailnetWebhookCommands,
    schemaCommand,
    versionCommand,
  ],
  standard: runCommand,
  /** A file is found, or a receiver or credentials for the API are configured by variables. */
  isConfigured: (host) =>
    findConfigFile(sourcesOf({ values: new Map() }, host)) !== undefined ||
    Object.keys(host.environment).some((name) => /^TS2OTEL_(STREAMING|WEBHOOK|TAILSCALE__AUTH)__/.test(name)),
};

/** Runs the command line of this process. Never throws; returns the exit code. */
export async function runCli(workerEntry: URL): Promise<number> {
  const host: Host = processHost(workerEntry);
  try {
    return await runFront(front, process.argv.slice(2), host);
  } catch (error) {
    // The reader of the output has seen enough: `tailscale2otel schema | head -1`.
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return 0;
    const lines = linesOf(error).map(printableLines);
    await host.err.write(lines.map((line) => `${programName}: ${line}\n`).join("")).catch(() => {});
    if (error instanceof ConfigError) return exitCodes.configuration;
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
  }
}

function linesOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems;
  if (error instanceof TailscaleError) return [error.message, error.remedy];
  if (!(error instanceof Error)) return [String(error)];
  if (!(error instanceof UsageError)) return [error.message];
  return [`${error.message} (see ${[programName, error.command, "--help"].filter(Boolean).join(" ")})`];
}
