/** Writes and removes the file of a service, and runs the commands of the service manager; says what stands in the way. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { spawnSync } from "node:child_process";
import { readRegularFile } from "../lib/regular-file.ts";
import { messageOf } from "../lib/system-error.ts";

/** A command of the system. */
export interface Step {
  readonly command: readonly string[];
  /** It is not needed if this succeeds. */
  readonly unless?: readonly string[];
  readonly mayFail?: boolean;
}

/** A service of one service manager. */
export interface Installation {
  readonly path: string;
  readonly text: string;
  /** Whether the service manager is there. */
  readonly isReachable: Step;
  readonly install: readonly Step[];
  readonly uninstall: { readonly before: readonly Step[]; readonly after: readonly Step[] };
  /** The command that shows its log. */
  readonly logs: string;
}

/** Whether the file is there: as it would be written, written by this program or another hand, or not. */
export type Presence = "none" | "same" | "other" | "foreign";

export function presenceOf({ path, text }: Pick<Installation, "path" | "text">): Presence {
  const read = readRegularFile(path);
  if (!("text" in read)) return read.code === "ENOENT" || read.code === "ENOTDIR" ? "none" : "foreign";
  if (read.text === text) return "same";
  return read.text.includes("Written by: tailscale2otel service install") ? "other" : "foreign";
}

/** @throws {Error} in one line, before anything has changed. */
export function assertReachable({ isReachable }: Installation): void {
  runStep(isReachable);
}

/** Writes the file and starts the service. @throws {Error} with the step that failed, what it said, and where more is said. */
export function install(installation: Installation): void {
  mkdirSync(dirname(installation.path), { recursive: true });
  writeFileSync(installation.path, installation.text, { mode: 0o644 });
  try {
    for (const step of installation.install) runStep(step);
  } catch (error) {
    throw new Error(`${messageOf(error).replace(/\.?$/, ".")} See: ${installation.logs}`, { cause: error });
  }
}

/** Stops the service and removes the file. @throws {Error} with the step that failed; the file is then still there. */
export function uninstall({ path, uninstall: { before, after } }: Installation): void {
  for (const step of before) runStep(step);
  rmSync(path);
  for (const step of after) runStep(step);
}

/** What a command writes. @throws {Error} in one line if it fails. */
export function runStep({ command, unless, mayFail = false }: Step): string {
  if (unless !== undefined && run(unless).status === 0) return "";
  const { status, stdout, stderr, error } = run(command);
  if (status === 0 || mayFail) return stdout;
  const [line] = (stderr.trim() || stdout.trim()).split("\n");
  throw new Error(`${command.join(" ")}: ${error?.message ?? (line || `exit code ${status}`)}`);
}

/** A service manager that does not answer must not hold up a person for ever. */
const stepTimeoutMs = 90_000;

function run([program = "", ...args]: readonly string[]) {
  return spawnSync(program, args, { encoding: "utf8", timeout: stepTimeoutMs, stdio: ["ignore", "pipe", "pipe"] });
}
