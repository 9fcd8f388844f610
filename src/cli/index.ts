/** The command line: from the process's arguments to an exit code, every error in words. */
import process from "node:process";
import { findConfigFile } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { TailscaleError } from "../tailscale/error.ts";
import { checkCommand } from "./check.ts";
import { programName } from "./command.ts";
import { demoCommand } from "./demo.ts";
import { UsageError } from "./flags.ts";
import { type Front, runFront } from "./front.ts";
import {
  quarantineListCommand,
  quarantinePurgeCommand,
  quarantineRetryCommand,
  quarantineShowCommand,
} from "./quarantine.ts";
import { replayCommand } from "./replay.ts";
import { runCommand } from "./run.ts";
import { schemaCommand } from "./schema.ts";
import { sendHecCommand, sendWebhookCommand } from "./send.ts";
import { sourcesOf } from "./sources.ts";
import { statusCommand } from "./status.ts";
import { type Host, processHost } from "./terminal.ts";
import { tailnetStreamRemoveCommand, tailnetStreamSetCommand, tailnetStreamShowCommand } from "./tailnet-stream.ts";
import {
  tailnetWebhookCreateCommand,
  tailnetWebhookListCommand,
  tailnetWebhookRemoveCommand,
  tailnetWebhookRotateCommand,
  tailnetWebhookTestCommand,
} from "./tailnet-webhook.ts";
import { versionCommand } from "./version.ts";

/** As in sysexits.h where it has a word for it. */
const exitCodes = { failure: 1, usage: 64, configuration: 78 } as const;

const front: Front = {
  commands: [
    runCommand,
    demoCommand,
    checkCommand,
    sendHecCommand,
    sendWebhookCommand,
    statusCommand,
    quarantineListCommand,
    quarantineShowCommand,
    quarantineRetryCommand,
    quarantinePurgeCommand,
    replayCommand,
    tailnetStreamShowCommand,
    tailnetStreamSetCommand,
    tailnetStreamRemoveCommand,
    tailnetWebhookListCommand,
    tailnetWebhookCreateCommand,
    tailnetWebhookRotateCommand,
    tailnetWebhookTestCommand,
    tailnetWebhookRemoveCommand,
    schemaCommand,
    versionCommand,
  ],
  standard: runCommand,
  isConfigured,
};

/** Runs the command line of this process. Never throws; gives the exit code. */
export async function runCli(workerEntry: URL): Promise<number> {
  const host = processHost(workerEntry);
  try {
    return await runFront(front, process.argv.slice(2), host);
  } catch (error) {
    // Whoever reads the output has had enough of it: `tailscale2otel schema | head -1`.
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return 0;
    await host.err.write(describeError(error)).catch(() => {});
    return codeOf(error);
  }
}

/** A file is found, or a receiver or credentials for the API are configured by variables. */
function isConfigured(host: Host): boolean {
  if (findConfigFile(sourcesOf({ values: new Map(), rawArgs: [] }, host)) !== undefined) return true;
  return Object.keys(host.environment).some((variable) =>
    /^TS2OTEL_(STREAMING|WEBHOOK|TAILSCALE__AUTH)__/.test(variable),
  );
}

function describeError(error: unknown): string {
  if (error instanceof ConfigError) return error.problems.map((problem) => `${programName}: ${problem}\n`).join("");
  if (error instanceof TailscaleError) return `${programName}: ${error.message}\n${programName}: ${error.remedy}\n`;
  const message = error instanceof Error ? error.message : String(error);
  const hint =
    error instanceof UsageError ? ` (see ${[programName, error.command, "--help"].filter(Boolean).join(" ")})` : "";
  return `${programName}: ${message}${hint}\n`;
}

function codeOf(error: unknown): number {
  if (error instanceof ConfigError) return exitCodes.configuration;
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
}
