/**
 * The logger that components use, loggers that pass lines on, a rate limit for repeated lines, and logging instead of throwing.
 */
import type { Clock } from "./clock.ts";
import { messageOf } from "./system-error.ts";

/** Fields of a log line besides `time`, `level` and `message`. Never a secret. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>> &
  Readonly<Partial<Record<"time" | "level" | "message", undefined>>>;

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line per call: a short message for a person, and fields for a machine. */
export type Logger = Readonly<Record<LogLevel, (message: string, fields?: LogFields) => void>>;

/** Builds a logger from one function per level. */
export function eachLevel(line: (level: LogLevel) => Logger[LogLevel]): Logger {
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

/** Logs nothing. */
export const silentLogger: Logger = eachLevel(() => () => {});

/** Passes every line to both loggers. */
export function teeLogger(one: Logger, other: Logger): Logger {
  return eachLevel((level) => (message, fields) => {
    one[level](message, fields);
    other[level](message, fields);
  });
}

/** Passes every line on with these fields before its own. */
export function namedLogger(logger: Logger, names: LogFields): Logger {
  return eachLevel((level) => (message, fields) => logger[level](message, { ...names, ...fields }));
}

/** Passes every line on with its strings rewritten. */
export function rewritingLogger(logger: Logger, rewrite: (text: string) => string): Logger {
  return eachLevel((level) => (message, fields) => {
    const rewritten = Object.entries(fields ?? {}).map(([name, value]) => [
      name,
      typeof value === "string" ? rewrite(value) : value,
    ]);
    logger[level](rewrite(message), fields && Object.fromEntries(rewritten));
  });
}

/** If the kind may be logged now, the number suppressed since it last was; otherwise `undefined`. Kinds are few. */
export type OncePerMinute<Kind> = (kind: Kind) => { readonly suppressed: number } | undefined;

const periodMs = 60_000;

/** Allows one log line per kind and minute. */
export function createOncePerMinute<Kind>(clock: Clock): OncePerMinute<Kind> {
  const kinds = new Map<Kind, { readonly at: number; suppressed: number }>();
  return (kind) => {
    const now = clock();
    const last = kinds.get(kind);
    if (last !== undefined && now - last.at < periodMs && now >= last.at) {
      last.suppressed++;
      return undefined;
    }
    kinds.set(kind, { at: now, suppressed: 0 });
    return { suppressed: last?.suppressed ?? 0 };
  };
}

/** Passes each message on at most once a minute, with the number suppressed since. Messages are few. */
export function calmLogger(logger: Logger, clock: Clock): Logger {
  const once = createOncePerMinute<string>(clock);
  return eachLevel((level) => (message, fields) => {
    const now = once(message);
    if (now !== undefined)
      logger[level](message, { ...fields, ...(now.suppressed > 0 && { repeated: now.suppressed }) });
  });
}

/** Runs `act` and logs its error instead of throwing it or rejecting with it. */
export function attempt(failure: string, logger: Logger, act: () => void | Promise<void>): void | Promise<void> {
  const log = (error: unknown): void => logger.error(failure, { reason: messageOf(error) });
  try {
    return act()?.catch(log);
  } catch (error) {
    log(error);
  }
}
