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
  /**
   * Attributes that it has in common with other events: each set the same object in all of them, so that an encoder writes it
   * once. No name stands in two sets.
   */
  readonly shared: readonly LogAttributes[];
  /** The attributes that are its own. */
  readonly attributes: LogAttributes;
}

/** Every attribute of an event. */
export function attributesOf({ shared, attributes }: Pick<LogEvent, "shared" | "attributes">): LogAttributes {
  return Object.assign({}, ...shared, attributes) as LogAttributes;
}
