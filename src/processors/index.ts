/** The two functions of a record: what it adds to metrics, and which log events it becomes. */
import type { Increments } from "../catalogue/increments.ts";
import type { LogEvent } from "../catalogue/log-event.ts";
import { decodeRecord } from "../records/decode.ts";
import { recordOfLine } from "../records/envelope.ts";
import type { RecordType, TailscaleRecord } from "../records/types.ts";
import { describeAudit, measureAudit } from "./audit.ts";
import { describeFlow, type FlowLogMode, measureFlow } from "./flow.ts";
import type { NameOptions } from "./names.ts";

export type { FlowLogMode } from "./flow.ts";

/** The settings that decide what leaves. Plain data: the export worker gets a copy. */
export interface ProcessorOptions extends NameOptions {
  readonly flowLogMode: FlowLogMode;
}

/** Adds what one record counts. No clock, no I/O. */
export function measure(record: TailscaleRecord, options: NameOptions, into: Increments): void {
  switch (record.type) {
    case "flow":
      return measureFlow(record, options, into);
    case "audit":
      return measureAudit(record, into);
  }
}

/** The log events of one record, accepted at `acceptedAt` (epoch milliseconds). No clock, no I/O. */
export function describe(record: TailscaleRecord, options: ProcessorOptions, acceptedAt: number): readonly LogEvent[] {
  switch (record.type) {
    case "flow":
      return describeFlow(record, options, acceptedAt);
    case "audit":
      return [describeAudit(record, acceptedAt)];
  }
}

/**
 * The log events of one stored line.
 * @throws {Error} when the line no longer decodes: the caller decides what becomes of it.
 */
export function describeLine(
  line: string,
  type: RecordType,
  options: ProcessorOptions,
  acceptedAt: number,
): readonly LogEvent[] {
  return describe(decodeRecord(recordOfLine(line, type)), options, acceptedAt);
}
