/** The process as commands see it: streams, environment, and the way out. */
import { homedir } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline/promises";
import type { System } from "../config/index.ts";

/** One of the two streams for text. */
export interface Output {
  readonly isTerminal: boolean;
  readonly hasColour: boolean;
  /** Resolves when the text has been handed to the system. */
  write(text: string): Promise<void>;
}

export interface Host {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  readonly system: System;
  readonly out: Output;
  readonly err: Output;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
  /** The line that a person types in answer; nothing where nobody can be asked. */
  ask(question: string): Promise<string | undefined>;
  /** Ends the process at once. */
  exit(code: number): never;
}

/** The real process. */
export function processHost(workerEntry: URL): Host {
  return {
    workerEntry,
    environment: process.env,
    workingDirectory: process.cwd(),
    system: { platform: process.platform, homeDirectory: homedir(), uid: process.getuid?.() },
    out: outputOf(process.stdout),
    err: outputOf(process.stderr),
    ask: askPerson,
    exit: (code) => process.exit(code),
  };
}

async function askPerson(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const ended = new Promise<undefined>((resolve) => lines.once("close", () => resolve(undefined)));
    return await Promise.race([lines.question(question), ended]);
  } finally {
    lines.close();
  }
}

/** Colours where `NO_COLOR` (https://no-color.org) does not forbid them and the terminal can show them. */
function outputOf(stream: NodeJS.WriteStream): Output {
  const isTerminal = stream.isTTY === true;
  // A closed stream is told to whoever writes next; without a listener it would end the process.
  stream.on("error", () => {});
  const noColour = process.env["NO_COLOR"] ?? "";
  return {
    isTerminal,
    hasColour: isTerminal && noColour === "" && process.env["TERM"] !== "dumb",
    write: (text) =>
      new Promise((resolve, reject) => {
        stream.write(text, (error) => (error === null || error === undefined ? resolve() : reject(error)));
      }),
  };
}
