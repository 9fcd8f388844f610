/** Starts the real program from source, in a directory and with an environment of its own. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";

export { temporaryDirectory } from "../support/temporary.ts";

const entry = join(import.meta.dirname, "../../src/main.ts");

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
  /** Resolves with the first line on stderr, past or future, that contains the text. */
  line(text: string): Promise<string>;
}

/** Any free port, because programs of several tests run at once and must not compete for the admin listener's port. */
const anyPort = { TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0" };

export function start(
  directory: string,
  args: readonly string[],
  environment: Record<string, string> = {},
  [executable, ...first]: readonly [string, ...string[]] = [process.execPath, entry],
): Program {
  const child = spawn(executable, [...first, ...args], {
    cwd: directory,
    env: {
      PATH: process.env["PATH"],
      HOME: directory,
      ...(args[0] === undefined || args[0] === "run" ? anyPort : {}),
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = { stdout: "", stderr: "" };
  const waiting = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      texts[name] += chunk;
      for (const look of waiting) look();
    });
  }
  const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, ...texts })));
  return {
    process: child,
    ended,
    line(text) {
      const found = Promise.withResolvers<string>();
      const look = (): void => {
        const line = texts.stderr
          .split("\n")
          .slice(0, -1)
          .find((one) => one.includes(text));
        if (line === undefined) return;
        waiting.delete(look);
        found.resolve(line);
      };
      waiting.add(look);
      look();
      void ended.then(() => found.reject(new Error(`ended without ${text}: ${texts.stderr}`)));
      return found.promise;
    },
  };
}

export function runToEnd(
  directory: string,
  args: readonly string[],
  environment?: Record<string, string>,
): Promise<Ended> {
  return start(directory, args, environment).ended;
}
