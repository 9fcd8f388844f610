/** What a component may log, loggers that pass lines on, a limit for repeated lines, and what a timer does when it fails. */
import type { Clock } from "./clock.ts";
import { messageOf } from "./system-error.ts";

/** Members of a log line besides its own three. Never a secret. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>> &
  Readonly<Partial<Record<"time" | "level" | "message", undefined>>>;

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line per call: a short message for a person, and fields for a machine. */
export type Logger = Readonly<Record<LogLevel, (message: string, fields?: LogFields) => void>>;

/** A logger whose levels are made one by one. */
export function eachLevel(line: (level: LogLevel) => Logger[LogLevel]): Logger {
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

/** Logs nothing. */
export const silentLogger: Logger = eachLevel(() => () => {});

/** Passes every line to both. */
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

/** Passes every line on with its texts rewritten. */
export function rewritingLogger(logger: Logger, rewrite: (text: string) => string): Logger {
  return eachLevel((level) => (message, fields) => {
    const rewritten = Object.entries(fields ?? {}).map(([name, value]) => [
      name,
      typeof value === "string" ? rewrite(value) : value,
    ]);
    logger[level](rewrite(message), fields && Object.fromEntries(rewritten));
  });
}

/** Whether this kind may be logged now: how many were suppressed since it last was, or `undefined` if it may not. Kinds are few. */
export type OncePerMinute<Kind> = (kind: Kind) => { readonly suppressed: number } | undefined;

const periodMs = 60_000;

/** Lets one log line per kind and minute through. */
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

/** Passes each message on at most once a minute, with how often it was left out since. Messages are few. */
export function calmLogger(logger: Logger, clock: Clock): Logger {
  const once = createOncePerMinute<string>(clock);
  return eachLevel((level) => (message, fields) => {
    const now = once(message);
    if (now !== undefined)
      logger[level](message, { ...fields, ...(now.suppressed > 0 && { repeated: now.suppressed }) });
  });
}

/** Logs an error instead of throwing it, or of rejecting with it. */
export function attempt(failure: string, logger: Logger, act: () => void | Promise<void>): void | Promise<void> {
  const log = (error: unknown): void => logger.error(failure, { reason: messageOf(error) });
  try {
    return act()?.catch(log);
  } catch (error) {
    log(error);
  }
}
