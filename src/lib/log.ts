/** The program's own log lines: text on a terminal, one JSON object per line in a pipe. */
import type { Clock } from "./clock.ts";
import { eachLevel, type LogFields, type Logger, type LogLevel } from "./logger.ts";
import { cutText, printable as printableText } from "./text.ts";

export interface LogOptions {
  readonly level: LogLevel;
  /** `auto`: text on a terminal, JSON otherwise. */
  readonly format: "auto" | "text" | "json";
  readonly isTerminal: boolean;
  readonly hasColor: boolean;
  readonly clock: Clock;
  /** Writes one line, which ends in a newline. */
  readonly write: (line: string) => void;
}

/** A logger whose level can be changed while it runs. */
export type Log = Logger & { setLevel(level: LogLevel): void };

export const logLevels: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** Limit of each message and field, because they may contain text from outside. */
const maxTextBytes = 8192;

export function createLog(options: LogOptions): Log {
  let lowest = logLevels.indexOf(options.level);
  const isJson = options.format === "json" || (options.format === "auto" && !options.isTerminal);
  const render = isJson ? renderJson : options.hasColor ? renderColored : renderPlain;

  function at(level: LogLevel) {
    const rank = logLevels.indexOf(level);
    return (message: string, fields: LogFields = {}): void => {
      if (rank < lowest) return;
      options.write(`${render(level, new Date(options.clock()), message, fields)}\n`);
    };
  }

  return {
    ...eachLevel(at),
    setLevel(level) {
      lowest = logLevels.indexOf(level);
    },
  };
}

type Render = (level: LogLevel, time: Date, message: string, fields: LogFields) => string;

const renderJson: Render = (level, time, message, fields) => {
  const line: Record<string, unknown> = { time: time.toISOString(), level, message: cutText(message, maxTextBytes) };
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    line[name in line ? `field_${name}` : name] = typeof value === "string" ? cutText(value, maxTextBytes) : value;
  }
  return JSON.stringify(line);
};

const renderPlain: Render = (level, time, message, fields) =>
  [time.toISOString(), level.toUpperCase().padEnd(5), printable(message), ...fieldTexts(fields)].join(" ");

const levelColors: Readonly<Record<LogLevel, number>> = { debug: 90, info: 36, warn: 33, error: 31 };

const renderColored: Render = (level, time, message, fields) => {
  const clock = paint(90, time.toISOString().slice(11, 23));
  const rest = fieldTexts(fields).map((text) => paint(90, text));
  return [clock, paint(levelColors[level], level.toUpperCase().padEnd(5)), printable(message), ...rest].join(" ");
};

function fieldTexts(fields: LogFields): string[] {
  const texts: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = printable(String(value));
    texts.push(`${name}=${text === "" || /[\s"=]/.test(text) ? JSON.stringify(text) : text}`);
  }
  return texts;
}

/** Escapes characters that could forge a line or control the terminal. */
function printable(text: string): string {
  return printableText(cutText(text, maxTextBytes), (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (character === "\n") return "\\n";
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

function paint(color: number, text: string): string {
  return `\u001b[${color}m${text}\u001b[39m`;
}
