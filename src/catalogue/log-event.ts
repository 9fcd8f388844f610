/** A log event: a log record before it is encoded. */
import type { HrTime } from "../lib/clock.ts";

/** Integers stay integers; lists hold texts only. */
export type AttributeValue = string | number | boolean | readonly string[];

export type LogAttributes = Readonly<Record<string, AttributeValue>>;

/** The attributes that have a value: absent and empty ones are never sent. */
export function presentAttributes(attributes: Readonly<Record<string, AttributeValue | undefined>>): LogAttributes {
  const present: Record<string, AttributeValue> = {};
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0)) present[name] = value;
  return present;
}

/** OTLP's number of each severity in use. */
export const severityNumbers = { INFO: 9, WARN: 13 } as const;

export type Severity = keyof typeof severityNumbers;

/** One OTLP log record as a plain object, as JSON, the status page and `tail` show it. */
export interface LogEvent {
  /** The OTLP event name. */
  readonly name: string;
  readonly severity: Severity;
  readonly time: HrTime;
  readonly observedTime: HrTime;
  readonly body: string;
  readonly attributes: LogAttributes;
}

/**
 * Attributes that many log records share, such as those of a destination. The encoder prepares its form once and caches it
 * here. No attribute name may appear in two sets of one log record.
 */
export interface AttributeSet {
  readonly attributes: LogAttributes;
  /** The attributes as repeated fields of a protobuf `LogRecord`; absent until the encoder needs them. */
  protobuf: Uint8Array | undefined;
}

/** A set that has not been encoded yet. */
export function attributeSet(attributes: LogAttributes): AttributeSet {
  return { attributes, protobuf: undefined };
}

/** The event name of flow log records. */
export const flowEventName = "tailscale.network.flow";

/** The event name of audit log records. */
export const auditEventName = "tailscale.config.audit";
