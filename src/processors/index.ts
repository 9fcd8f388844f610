/** The two functions of a record: what it adds to metrics, and which log events it becomes. */
import type { Increments } from "../catalogue/increments.ts";
import type { LogEvent } from "../catalogue/log-event.ts";
import { decodeRecord } from "../records/decode.ts";
import { recordOfLine } from "../records/envelope.ts";
import { identify, type IdentityKey, type SeenKey } from "../records/identity.ts";
import type { RecordType, TailscaleRecord } from "../records/types.ts";
import { describeAudit, measureAudit } from "./audit.ts";
import { describeFlow, type FlowLogMode } from "./flow.ts";
import { measureFlow } from "./flow-metrics.ts";
import type { NameOptions } from "./names.ts";
import { privacyOf } from "./privacy.ts";
import { describeWebhook, measureWebhook } from "./webhook.ts";

export type { FlowLogMode } from "./flow.ts";

/** The settings that decide what leaves. Plain data: the export worker gets a copy. */
export interface ProcessorOptions extends NameOptions {
  readonly flowLogMode: FlowLogMode;
  /** The configured name of the tailnet, on every log event; empty where it has none. */
  readonly tailnet: string;
  /** Numbers log events by identity (`log.record.uid`), for backends that remove duplicates. */
  readonly uidKey: IdentityKey | undefined;
}

/** Adds what one record counts. No clock, no I/O. */
export function measure(record: TailscaleRecord, options: NameOptions, into: Increments): void {
  switch (record.type) {
    case "flow":
      return measureFlow(record, options, into);
    case "audit":
      return measureAudit(record, into);
    case "webhook":
      return measureWebhook(record, options, into);
  }
}

/** The log events of one record, accepted at `acceptedAt` (epoch milliseconds). No clock, no I/O. */
export function describe(record: TailscaleRecord, options: ProcessorOptions, acceptedAt: number): readonly LogEvent[] {
  const described = describeByType(record, options, acceptedAt);
  const events = options.privacy === undefined ? described : described.map(privacyOf(options.privacy).event);
  return options.uidKey === undefined ? events : numbered(events, identify(record, options.uidKey, acceptedAt));
}

function describeByType(record: TailscaleRecord, options: ProcessorOptions, acceptedAt: number): readonly LogEvent[] {
  switch (record.type) {
    case "flow":
      return describeFlow(record, options, acceptedAt);
    case "audit":
      return [describeAudit(record, options, acceptedAt)];
    case "webhook":
      return [describeWebhook(record, options, acceptedAt)];
  }
}

/** The identity of the record and the place of the event in it: the same at every delivery. */
function numbered(events: readonly LogEvent[], { high, low }: SeenKey): readonly LogEvent[] {
  const identity = high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
  return events.map(({ name, severity, time, observedTime, body, shared, attributes }, place) => ({
    name,
    severity,
    time,
    observedTime,
    body,
    shared,
    attributes: { ...attributes, "log.record.uid": `${identity}-${place}` },
  }));
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
