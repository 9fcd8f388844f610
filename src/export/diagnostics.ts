/** Routes what the OpenTelemetry SDK says about itself to our log; it is silent otherwise. */
import { diag, DiagLogLevel } from "@opentelemetry/api";
import { setGlobalErrorHandler } from "@opentelemetry/core";
import type { Logger, LogLevel } from "../lib/logger.ts";

/** Failed exports are told by the sender's outage already: what the SDK adds about them is for debugging. */
export function routeDiagnostics(logger: Logger): void {
  const line =
    (level: LogLevel) =>
    (message: string, ...rest: unknown[]) =>
      logger[level](
        `OpenTelemetry: ${message}`,
        rest.length === 0 ? undefined : { detail: rest.map(textOf).join(" ").slice(0, 500) },
      );
  const sink = {
    verbose: line("debug"),
    debug: line("debug"),
    info: line("debug"),
    warn: line("warn"),
    error: line("warn"),
  };
  diag.setLogger(sink, { logLevel: DiagLogLevel.INFO, suppressOverrideMessage: true });
  setGlobalErrorHandler((error) => logger.debug(`OpenTelemetry: ${textOf(error)}`));
}

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message;
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}
