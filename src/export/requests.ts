/** Turns spans of rows into OTLP requests of a bounded size, and posts them. */
import { SeverityNumber } from "@opentelemetry/api";
import type { InstrumentationScope } from "@opentelemetry/core";
import { JsonLogsSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import type { Config } from "../config/schema.ts";
import type { LogEvent, Severity } from "../catalogue/log-event.ts";
import type { FlowDescriber } from "../processors/flow.ts";
import type { Encoding } from "./answer.ts";
import type { Channel, Posted, Span } from "./delivery/index.ts";
import { OtlpLogEncoder } from "./otlp-logs.ts";
import type { ResourceAttributes } from "./resource.ts";
import { DeliveryRow } from "./rows.ts";
import type { Sender } from "./sender.ts";

export interface RequestDeps {
  readonly send: Sender;
  readonly encoding: Encoding;
  readonly describer: FlowDescriber;
  readonly resource: ResourceAttributes;
  readonly scope: InstrumentationScope;
}

type RequestLimits = Pick<Config["otlp"]["logs"], "max_records" | "max_bytes">;

/** Writes the log records of spans as one ExportLogsServiceRequest, good until the next. @throws {Error} if one cannot be written. */
type WriteSpans = (spans: readonly Span[]) => Uint8Array;

/** A guess until the first request has been encoded. */
const firstGuessOfLogRecordBytes = 1_000;

/** In a smaller request the resource weighs too much. */
const minLogRecordsForEstimate = 16;

/** Log records differ from those before them: a request is planned a little below its limit, so that few are over it. */
const plannedShare = 0.9;

/** Channel of all logs: fresh ones, replay and retry. */
export class RequestChannel implements Channel {
  readonly #limits: RequestLimits;
  readonly #send: Sender;
  readonly #encoding: Encoding;
  readonly #write: WriteSpans;
  #logRecordBytes = firstGuessOfLogRecordBytes;

  constructor(limits: RequestLimits, deps: RequestDeps) {
    this.#limits = limits;
    this.#send = deps.send;
    this.#encoding = deps.encoding;
    this.#write = deps.encoding === "protobuf" ? protobufWriter(deps) : jsonWriter(deps);
  }

  /** How many log records should fit, by the size of those encoded last. Nothing is encoded twice to find out. */
  get maxLogRecords(): number {
    const { max_records: maxRecords, max_bytes: maxBytes } = this.#limits;
    return Math.max(1, Math.min(maxRecords, Math.floor((maxBytes * plannedShare) / this.#logRecordBytes)));
  }

  /** Encodes and posts; never throws. A request of one log record is sent whatever its size. */
  async post(spans: readonly Span[], stop: AbortSignal): Promise<Posted> {
    const logRecords = spans.reduce((sum, { from, to }) => sum + to - from, 0);
    let body: Uint8Array;
    try {
      body = this.#write(spans);
    } catch (error) {
      return { kind: "unsent", message: error instanceof Error ? error.message : String(error) };
    }
    if (logRecords >= minLogRecordsForEstimate) this.#logRecordBytes = Math.max(1, body.length / logRecords);
    if (body.length > this.#limits.max_bytes && logRecords > 1)
      return { kind: "unsent", message: "larger than a request may be" };
    return this.#send(body, this.#encoding, stop);
  }

  postEmpty(stop: AbortSignal): Promise<Posted> {
    return this.post([], stop);
  }
}

function protobufWriter({ describer, resource, scope }: RequestDeps): WriteSpans {
  const encoder = new OtlpLogEncoder(resource, scope);
  return (spans) => {
    encoder.begin();
    for (const { row, from, to } of spans) {
      const { acceptedAt, contents } = opened(row);
      forEachRecord(row, from, to, (record, first, last) => {
        if (contents.kind === "flow")
          encoder.addFlows(contents.columns, describer, contents.first + record, first, last, acceptedAt);
        else if (last > first) encoder.addEvent(contents.events[record] as LogEvent);
      });
    }
    return encoder.finish();
  };
}

/** The official serializer writes JSON: correct and slower, an object per log record. */
function jsonWriter({ describer, resource: attributes, scope }: RequestDeps): WriteSpans {
  const resource = resourceFromAttributes({ ...attributes });
  return (spans) => {
    const records: ReadableLogRecord[] = [];
    const add = (event: LogEvent) => records.push(readable(event, { resource, instrumentationScope: scope }));
    for (const { row, from, to } of spans) {
      const { acceptedAt, contents } = opened(row);
      forEachRecord(row, from, to, (record, first, last) => {
        if (contents.kind === "plain") {
          if (first < last) add(contents.events[record] as LogEvent);
          return;
        }
        for (const event of describer.events(contents.columns, contents.first + record, first, last, acceptedAt))
          add(event);
      });
    }
    const body = JsonLogsSerializer.serializeRequest(records);
    if (body === undefined) throw new Error("the serializer wrote nothing");
    return body;
  };
}

function opened(row: Span["row"]) {
  if (!(row instanceof DeliveryRow)) throw new Error("the row is not one of the journal's");
  return { acceptedAt: row.acceptedAt, contents: row.open() };
}

/** Calls back for each record that has log records in the range, with their numbers inside the record. */
function forEachRecord(
  row: Span["row"],
  from: number,
  to: number,
  visit: (record: number, first: number, last: number) => void,
): void {
  if (from >= to) return;
  for (let record = row.recordOf(from); record < row.records; record++) {
    const begin = row.firstLogRecord(record);
    if (begin >= to) return;
    visit(record, Math.max(from, begin) - begin, Math.min(to, row.firstLogRecord(record + 1)) - begin);
  }
}

const severities: Record<Severity, SeverityNumber> = { INFO: SeverityNumber.INFO, WARN: SeverityNumber.WARN };

/** The shape that the official serializers take, with our own times. */
function readable(
  event: LogEvent,
  origin: Pick<ReadableLogRecord, "resource" | "instrumentationScope">,
): ReadableLogRecord {
  return {
    ...origin,
    eventName: event.name,
    hrTime: event.time,
    hrTimeObserved: event.observedTime,
    severityNumber: severities[event.severity],
    severityText: event.severity,
    body: event.body,
    attributes: event.attributes as ReadableLogRecord["attributes"],
    droppedAttributesCount: 0,
  };
}
