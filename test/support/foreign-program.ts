/** Programs that are not ours, on loopback: started in a directory of their own, waited for, and ended. */
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { until } from "./wait.ts";

export interface ForeignProgram {
  /** Ends it, and removes its directory. */
  stop(): Promise<void>;
}

/** Resolves when it is ready. @throws {Error} with what it said if it ends before. */
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

/** The status of a GET, whatever the certificate; 0 without an answer. */
export async function statusAt(url: string): Promise<number> {
  try {
    return (await fetch(url, { tls: { rejectUnauthorized: false } })).status;
  } catch {
    return 0;
  }
}
