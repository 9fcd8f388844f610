/** Third-party programs on loopback: starts each in its own directory, waits until it is ready, and stops it. */
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { until } from "./wait.ts";

export interface ForeignProgram {
  /** Stops it and removes its directory. */
  stop(): Promise<void>;
}

/** Resolves when it is ready. @throws {Error} with its output if it exits first. */
export async function startForeignProgram(
  [executable = "", ...args]: readonly string[],
  directory: string,
  isReady: () => Promise<boolean>,
): Promise<ForeignProgram> {
  const child = spawn(executable, args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let messages = "";
  child.stderr.on("data", (text: Buffer) => (messages = (messages + text.toString()).slice(-10_000)));
  await until(() => {
    if (child.exitCode !== null) throw new Error(`${executable} ended: ${messages}`);
    return isReady();
  });
  return {
    async stop() {
      child.kill("SIGKILL");
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The status of a GET, ignoring certificate errors; 0 without a response. */
export async function statusAt(url: string): Promise<number> {
  try {
    return (await fetch(url, { tls: { rejectUnauthorized: false } })).status;
  } catch {
    return 0;
  }
}
