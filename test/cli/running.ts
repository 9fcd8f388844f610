/** Runs the program on a state directory that a test has filled, and its commands as processes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Status } from "../../src/admin/status.ts";
import { type Ended, type Program, runToEnd, start } from "./program.ts";

export interface RunningProgram {
  /** The admin listener's address. */
  readonly admin: string;
  readonly program: Program;
  stop(): Promise<void>;
}

/** Creates a directory below `parent` with a configuration; `endpoint` is an OTLP receiver's address, or empty for none. */
export function configure(parent: string, name: string, endpoint: string, more = ""): string {
  const directory = join(parent, name);
  mkdirSync(directory);
  const settings = `
[streaming]
enabled = true
listen = "127.0.0.1:0"
token = "a-token"
[collectors]
flowlogs.source = "stream"
auditlogs.source = "stream"
[state]
path = "state"
durability = "normal"
[admin]
listen = "127.0.0.1:0"
token = "admin-token"
[otlp]
endpoint = ${JSON.stringify(endpoint)}
timeout = "1m"
logs.max_records = 20
${more}`;
  writeFileSync(join(directory, "tailscale2otel.toml"), settings, { mode: 0o600 });
  return directory;
}

export async function startRunning(directory: string): Promise<RunningProgram> {
  const program = start(directory, ["run"]);
  const { admin } = JSON.parse(await program.line('"ready"')) as { admin: string };
  return {
    admin,
    program,
    async stop() {
      program.process.kill("SIGTERM");
      await program.ended;
    },
  };
}

/** Runs one command with `--json` to its end; the words are split at spaces. */
export function ask(directory: string, words: string, running?: RunningProgram): Promise<Ended> {
  return runToEnd(directory, [
    ...words.split(" "),
    "--json",
    ...(running === undefined ? [] : ["--url", running.admin]),
  ]);
}

/** The output of `status` once the counters are restored. */
export async function statusOf(directory: string, running?: RunningProgram): Promise<Status & { running: boolean }> {
  for (;;) {
    const status = JSON.parse((await ask(directory, "status", running)).stdout) as Status & { running: boolean };
    if (status.counters.kind === "current") return status;
  }
}

/** The values of a JSON list. */
export function linesOf<Value>({ stdout }: Ended): Value[] {
  return JSON.parse(stdout) as Value[];
}
