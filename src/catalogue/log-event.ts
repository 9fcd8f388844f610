/** A log event: what a record becomes on its way out, in our own small type. */
import type { HrTime } from "../lib/clock.ts";

/** Integers stay integers. Lists are only those that OTLP has a form for. */
export type AttributeValue = string | number | boolean | readonly string[];

export type LogAttributes = Readonly<Record<string, AttributeValue>>;

export type Severity = "INFO" | "WARN";

export interface LogEvent {
  /** The OTLP event name. */
  readonly name: string;
  readonly severity: Severity;
  readonly time: HrTime;
  readonly observedTime: HrTime;
  readonly body: string;
  readonly attributes: LogAttributes;
}
