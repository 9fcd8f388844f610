/** What a component may say about itself. Who listens, and in which form, is decided by `log.ts`. */

/** Members of a log line beside its message. Never a secret. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line a call: a short message for a person, and fields for a machine. */
export type Logger = Readonly<Record<LogLevel, (message: string, fields?: LogFields) => void>>;

/** Says nothing. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
};
