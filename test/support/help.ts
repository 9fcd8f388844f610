/**
 * The help of a command as printed, taken from the program's functions because a process for each command would take seconds.
 */
import { runArguments } from "../../src/cli/index.ts";
import type { Host } from "../../src/cli/terminal.ts";

/** Appends `--help` to the words. @throws {UsageError} if there is no such command. */
export async function helpText(words: readonly string[]): Promise<string> {
  let text = "";
  const output = { isTerminal: false, hasColor: false, write: async (more: string) => void (text += more) };
  const host: Host = {
    environment: {},
    workingDirectory: "/",
    system: { platform: "linux", homeDirectory: "/", uid: 0 },
    out: output,
    err: output,
    isInteractive: false,
    workerEntry: new URL("file:///"),
    ask: async () => undefined,
    exit() {
      throw new Error("help does not exit");
    },
  };
  const code = await runArguments([...words, "--help"], host);
  if (code !== 0) throw new Error(`exit code ${code}`);
  return text;
}
