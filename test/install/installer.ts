/** Runs `install.sh` under a chosen shell, with only selected programs of this machine visible. */
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess, SpawnOptions } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const source = resolve(import.meta.dirname, "../../install.sh");

/** The programs that the script calls, besides those that identify the machine. */
const calledTools = ["cat", "chmod", "cp", "dirname", "gzip", "mkdir", "mv", "rm", "rmdir", "sha256sum"];

/** Runs its arguments in a terminal and exits with their status. */
const terminalProgram = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

interface ScriptOptions extends SpawnOptions {
  /** A program that runs its arguments. */
  readonly terminal?: readonly string[];
}

/** Under busybox, its own versions of these are used. */
const busyboxTools = new Set([...calledTools, "wget", "sleep", "wc"]);

const nobody = 65_534;

export const shells = ["dash", "busybox", "bash"] as const;
export type Shell = (typeof shells)[number];

/** A shell that is not installed is skipped, except in CI. */
export function isMissing(shell: Shell): boolean {
  return process.env.CI === undefined && Bun.which(shell) === null;
}

export interface Sandbox {
  /** The folder in which the script runs; `stop` removes it. */
  readonly directory: string;
  /** The folder on the PATH. */
  readonly tools: string;
  /** Replaces a program with a shell script. */
  stub(name: string, lines: string): void;
  /** Makes a program of this machine visible. */
  allow(name: string): void;
  hide(name: string): void;
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
  /** Runs as a user that owns nothing but this sandbox. */
  runAsStranger(args: readonly string[]): Promise<Ran>;
  /** Runs with a terminal as input and output. */
  runInTerminal(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
  /** Starts in a process group of its own. */
  start(args: readonly string[]): Started;
  stop(): void;
}

export interface Ran {
  readonly status: number | null;
  readonly output: string;
}

export interface Started {
  /** Sends a signal to the shell and everything it has started, as a terminal does. */
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<Ran>;
}

/** The script sees a Linux machine with glibc, an x86-64 processor, a checksum tool and no downloader. */
export function createSandbox(shell: Shell): Sandbox {
  const directory = mkdtempSync(join(tmpdir(), "install-test-"));
  const tools = join(directory, "tools");
  const home = join(directory, "home");
  const script = join(directory, "install.sh");
  mkdirSync(tools);
  mkdirSync(home);
  copyFileSync(source, script);
  const shellArguments = shell === "busybox" ? ["sh", script] : [script];

  function spawnScript(args: readonly string[], { terminal = [], ...options }: ScriptOptions): ChildProcess {
    const [program = "", ...words] = [...terminal, pathOf(shell), ...shellArguments, ...args];
    return spawn(program, words, {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
      env: { PATH: tools, HOME: home, ...options.env },
    });
  }

  const sandbox: Sandbox = {
    directory,
    tools,
    stub(name, lines) {
      sandbox.hide(name);
      writeFileSync(join(tools, name), `#!/bin/sh\n${lines}\n`);
      chmodSync(join(tools, name), 0o755);
    },
    allow(name) {
      symlinkSync(pathOf(shell === "busybox" && busyboxTools.has(name) ? "busybox" : name), join(tools, name));
    },
    hide: (name) => rmSync(join(tools, name), { force: true }),
    run: (args, env = {}) => ended(spawnScript(args, { env })),
    runAsStranger(args) {
      if (process.getuid?.() !== 0) return sandbox.run(args);
      for (const path of [directory, home]) chownSync(path, nobody, nobody);
      return ended(spawnScript(args, { uid: nobody, gid: nobody }));
    },
    runInTerminal: (args, env = {}) =>
      ended(spawnScript(args, { env, terminal: [pythonPath(), "-c", terminalProgram] })),
    start(args) {
      const child = spawnScript(args, { detached: true });
      return { signal: (name) => killGroup(child, name), ended: ended(child) };
    },
    stop: () => rmSync(directory, { recursive: true, force: true }),
  };
  for (const name of calledTools) sandbox.allow(name);
  sandbox.stub("uname", '[ "$1" = -s ] && echo Linux || echo x86_64');
  sandbox.stub("getconf", "echo glibc 2.36");
  return sandbox;
}

async function ended(child: ChildProcess): Promise<Ran> {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => (output += text.toString()));
  const status = await new Promise<number | null>((resolved, rejected) => {
    child.once("close", resolved);
    child.once("error", rejected);
  });
  return { status, output };
}

function pathOf(tool: string): string {
  const path = Bun.which(tool);
  if (path === null) throw new Error(`${tool} is not on this machine`);
  return path;
}

/** The real interpreter: `python3` on the PATH may be a script that needs a shell, which is not visible in the sandbox. */
function pythonPath(): string {
  return spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).stdout.trim();
}

/** Signals the group, unless its last process has just ended. */
function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
