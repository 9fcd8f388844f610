/** Installs and removes a service: writes its file and runs the service manager's commands. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { spawnSync } from "node:child_process";
import { readRegularFile } from "../lib/regular-file.ts";
import { messageOf } from "../lib/system-error.ts";

/** A command of the system. */
export interface Step {
  readonly command: readonly string[];
  /** A command that succeeds if this step is not needed. */
  readonly unless?: readonly string[];
  readonly mayFail?: boolean;
}

/** A service for one service manager. */
export interface Installation {
  readonly path: string;
  readonly text: string;
  /** Succeeds if the service manager is available. */
  readonly isReachable: Step;
  readonly install: readonly Step[];
  readonly uninstall: { readonly before: readonly Step[]; readonly after: readonly Step[] };
  /** The command that shows its log. */
  readonly logs: string;
}

/** State of the service file: absent, identical, from this program but different, or anything else. */
export type Presence = "none" | "same" | "other" | "foreign";

export function presenceOf({ path, text }: Pick<Installation, "path" | "text">): Presence {
  const read = readRegularFile(path);
  if (!("text" in read)) return read.code === "ENOENT" || read.code === "ENOTDIR" ? "none" : "foreign";
  if (read.text === text) return "same";
  return read.text.includes("Written by: tailscale2otel service install") ? "other" : "foreign";
}

/** @throws {Error} on one line, before anything has changed. */
export function assertReachable({ isReachable }: Installation): void {
  runStep(isReachable);
}

/**
 * Writes the file and starts the service. @throws {Error} with the failed step, its output and the command that shows the log.
 */
export function install(installation: Installation): void {
  mkdirSync(dirname(installation.path), { recursive: true });
  writeFileSync(installation.path, installation.text, { mode: 0o644 });
  try {
    for (const step of installation.install) runStep(step);
  } catch (error) {
    throw new Error(`${messageOf(error).replace(/\.?$/, ".")} See: ${installation.logs}`, { cause: error });
  }
}

/**
 * Stops the service and removes the file. @throws {Error} with the failed step; if stopping failed, the file is still there.
 */
export function uninstall({ path, uninstall: { before, after } }: Installation): void {
  for (const step of before) runStep(step);
  rmSync(path);
  for (const step of after) runStep(step);
}

/** Runs a command and returns its output. @throws {Error} on one line if it fails. */
export function runStep({ command, unless, mayFail = false }: Step): string {
  if (unless !== undefined && run(unless).status === 0) return "";
  const { status, stdout, stderr, error } = run(command);
  if (status === 0 || mayFail) return stdout;
  const [line] = (stderr.trim() || stdout.trim()).split("\n");
  throw new Error(`${command.join(" ")}: ${error?.message ?? (line || `exit code ${status}`)}`);
}

/** A service manager that hangs must not block the user forever. */
const stepTimeoutMs = 90_000;

function run([program = "", ...args]: readonly string[]) {
  return spawnSync(program, args, { encoding: "utf8", timeout: stepTimeoutMs, stdio: ["ignore", "pipe", "pipe"] });
}
