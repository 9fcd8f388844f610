/** The entry point of the command line: runs the arguments, and turns every error into a message and an exit code. */
import process from "node:process";
import { ConfigError } from "../errors.ts";
import { fileErrorReason } from "../lib/system-error.ts";
import { TailscaleError } from "../tailscale/index.ts";
import { programName } from "./command.ts";
import { UsageError } from "./flags.ts";
import { runCommand } from "./run.ts";
import { type Host, outputOf, printableLines, processHost } from "./terminal.ts";

/** As in sysexits.h, which has no code for general failures. */
const exitCodes = { failure: 1, usage: 64, configuration: 78 } as const;

/** Runs the command line of this process. Never throws; returns the exit code. */
export async function runCli(workerEntry: URL): Promise<number> {
  try {
    return await runArguments(process.argv.slice(2), processHost(workerEntry));
  } catch (error) {
    // The reader closed the pipe early: `tailscale2otel schema | head -1`.
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return 0;
    const lines = linesOf(error).map(printableLines);
    await outputOf(process.stderr)
      .write(lines.map((line) => `${programName}: ${line}\n`).join(""))
      .catch(() => {});
    if (error instanceof ConfigError) return exitCodes.configuration;
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
  }
}

/** `run` does not load the other commands, which would cost the service a megabyte. @throws {UsageError} */
export async function runArguments(argv: readonly string[], host: Host): Promise<number> {
  if (argv[0] === "run") return runCommand.run(argv.slice(1), host);
  const commands = await import("./commands.ts");
  return commands.runArguments(argv, host);
}

function linesOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.problems;
  if (error instanceof TailscaleError) return [error.message, error.remedy];
  if (!(error instanceof Error)) return [String(error)];
  if (error instanceof UsageError)
    return [`${error.message} (see ${[programName, error.command, "--help"].filter(Boolean).join(" ")})`];
  const reason = fileErrorReason(error);
  if (reason === undefined) return [error.message];
  const path = "path" in error && typeof error.path === "string" ? error.path : "a file";
  return [`cannot use ${path}: ${reason}. Correct the path, or its permissions for this user.`];
}
