/** Telemetry and a logger that record what they receive. */
import type { Telemetry } from "../../src/catalogue/telemetry.ts";
import { eachLevel, type LogFields, type Logger, type LogLevel } from "../../src/lib/logger.ts";

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

export interface RecordedLog extends Logger {
  readonly lines: readonly LogLine[];
  /** Messages of one level that contain a text. */
  said(level: LogLevel, text: string): readonly LogLine[];
  /** Everything, as it would be printed. */
  readonly text: string;
}

export function recordedLog(): RecordedLog {
  const lines: LogLine[] = [];
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, fields });
  return {
    lines,
    said: (level, text) => lines.filter((line) => line.level === level && line.message.includes(text)),
    get text() {
      return lines.map((line) => JSON.stringify(line)).join("\n");
    },
    ...eachLevel(at),
  };
}

export interface ObservedGauges extends Telemetry {
  /** The current values of a gauge, by its only attribute. */
  read(metric: string): Readonly<Record<string, number>>;
}

export function observedGauges(): ObservedGauges {
  const readers = new Map<string, () => readonly { value: number; attributes: object }[]>();
  return {
    add() {},
    record() {},
    observe: (metric, read) => void readers.set(metric, read),
    read: (metric) =>
      Object.fromEntries(
        (readers.get(metric)?.() ?? []).map(({ value, attributes }) => [String(Object.values(attributes)[0]), value]),
      ),
  };
}
