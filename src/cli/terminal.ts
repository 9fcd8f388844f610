/** The process as commands see it (streams, environment, exit), and formatting that is safe to print on a terminal. */
import { homedir } from "node:os";
import process from "node:process";
import type { System } from "../config/index.ts";
import { foldLines } from "../lib/fold.ts";
import { printable } from "../lib/text.ts";
import { Interrupted, openPrompt } from "./prompt.ts";

/** Standard output or standard error. */
export interface Output {
  readonly isTerminal: boolean;
  readonly hasColor: boolean;
  /** The current width of the terminal, if it is one. */
  readonly columns?: number | undefined;
  /** Resolves when the text has been handed to the operating system. */
  write(text: string): Promise<void>;
}

export interface Host {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  readonly system: System;
  readonly out: Output;
  readonly err: Output;
  /** True if a user started this process in a terminal, without a supervisor. */
  readonly isInteractive: boolean;
  /** The module that a worker thread runs as the export worker. */
  readonly workerEntry: URL;
  /** Returns the line the user types; `undefined` if there is nobody to ask. */
  ask(question: string): Promise<string | undefined>;
  exit(code: number): never;
}

export function processHost(workerEntry: URL): Host {
  const { env, stdin, stdout, stderr } = process;
  const hasTerminal = [stdin, stdout, stderr].some(({ isTTY }) => isTTY === true);
  return {
    workerEntry,
    environment: env,
    workingDirectory: currentDirectory(),
    system: { platform: process.platform, homeDirectory: homedir(), uid: process.getuid?.() },
    out: outputOf(stdout),
    err: outputOf(stderr),
    // systemd sets these variables for every service; in a container, the program is process 1.
    isInteractive:
      hasTerminal && process.pid !== 1 && env["INVOCATION_ID"] === undefined && env["NOTIFY_SOCKET"] === undefined,
    ask: askPerson,
    exit: (code) => process.exit(code),
  };
}

/** @throws {Error} with what to do if it has been deleted, because relative paths would then be meaningless. */
function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    throw new Error("the current directory no longer exists: change to another one, and try again");
  }
}

/** A table with a bold header. Control characters are made harmless. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[], out: Output): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => printable(cell)));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const [first = "", ...others] = lines;
  return `${[out.hasColor ? `\u001b[1m${first}\u001b[22m` : first, ...others].join("\n")}\n`;
}

/** Command lines with their descriptions. */
export type Examples = readonly (readonly [line: string, remark: string])[];

/** Each description is beside its command, or below it if that would be wider than `columns`. */
export function exampleLines(examples: Examples, columns = Number.POSITIVE_INFINITY): readonly string[] {
  const width = Math.max(...examples.map(([line]) => line.length));
  const widest = Math.max(...examples.map(([, remark]) => remark.length)) + width + 5;
  return examples.map(([line, remark]) =>
    widest > columns ? `  ${line}\n${foldLines(`      ${remark}`, columns)}` : `  ${line.padEnd(width)}   ${remark}`,
  );
}

/** Indented JSON with a final newline; characters that a terminal would interpret are escaped. */
export function jsonText(value: unknown): string {
  return `${harmless(JSON.stringify(value, undefined, 2))}\n`;
}

/** Like `jsonText`, on one line. */
export function jsonLine(value: unknown): string {
  return harmless(JSON.stringify(value));
}

function harmless(json: string): string {
  return json.replace(/[\p{Cf}\u007f-\u009f\u2028\u2029]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => escaped(character.charCodeAt(at))).join(""),
  );
}

/** `printable` for text of several lines. */
export function printableLines(text: string): string {
  return printable(text, (character) => (character === "\t" || character === "\n" ? character : "?"));
}

/** `text` in an ANSI color, if the terminal shows colors. */
export function paint(color: number, text: string, { hasColor }: Pick<Output, "hasColor">): string {
  return hasColor ? `\u001b[${color}m${text}\u001b[39m` : text;
}

/** `1 item`, `2 items`. */
export function counted(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}

async function askPerson(question: string): Promise<string | undefined> {
  const prompt = openPrompt();
  try {
    return await prompt?.ask(question);
  } catch (error) {
    if (error instanceof Interrupted) return "";
    throw error;
  } finally {
    prompt?.close();
  }
}

/** In color unless `NO_COLOR` (https://no-color.org) forbids it or the terminal does not support it. */
export function outputOf(stream: NodeJS.WriteStream): Output {
  const isTerminal = stream.isTTY === true;
  // `write` reports a closed stream to its caller; without a listener the error would end the process.
  stream.on("error", () => {});
  const noColor = process.env["NO_COLOR"] ?? "";
  return {
    isTerminal,
    hasColor: isTerminal && noColor === "" && process.env["TERM"] !== "dumb",
    get columns() {
      return isTerminal && stream.columns > 0 ? stream.columns : undefined;
    },
    write: (text) =>
      new Promise((resolve, reject) => {
        stream.write(text, (error) => (error === null || error === undefined ? resolve() : reject(error)));
      }),
  };
}
