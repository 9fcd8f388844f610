/** Encodes spans of committed rows as OTLP logs requests of a bounded size, and sends them. */
import type { InstrumentationScope } from "@opentelemetry/core";
import { JsonLogsSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import type { Config } from "../config/schema.ts";
import { type LogEvent, severityNumbers } from "../catalogue/log-event.ts";
import type { Awaitable, Progress, Row } from "../journal/index.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { messageOf } from "../lib/system-error.ts";
import type { FlowDescriber } from "../processors/flow.ts";
import type { FlowColumns } from "../records/flow/columns.ts";
import type { Answer, Encoding } from "./answer.ts";
import type { DeliveryState, Random, Timer } from "./outage.ts";
import { OtlpLogEncoder } from "./otlp-logs.ts";
import type { ResourceAttributes } from "./destination.ts";
import { collectGarbage } from "../runtime/process.ts";
import { type Sender, stopped } from "./sender.ts";
import { settled, type Steps, taken } from "./steps.ts";

/** What the log records of a row are made of: columns from record `first` on, or one event per record. */
export type RowContents =
  | { readonly kind: "flow"; readonly columns: FlowColumns; readonly first: number }
  | { readonly kind: "plain"; readonly events: readonly (LogEvent | undefined)[] };

/** A committed row to deliver. Its log records are numbered across the row; those of a record are adjacent. */
export class DeliveryRow {
  readonly seq: number;
  /** Epoch milliseconds. */
  readonly acceptedAt: number;
  readonly records: number;
  /** Size of its text, which determines how long reading it takes. */
  readonly bytes: number;
  readonly #open: (seq: number) => Awaitable<RowContents>;
  /** By record: log records before it (with a last element for all), its time in epoch milliseconds, and why it makes none. */
  readonly #before: Uint32Array;
  readonly #times: Float64Array;
  readonly #defects = new Map<number, string>();

  constructor(
    { seq, acceptedAt, text }: Pick<Row, "seq" | "acceptedAt" | "text">,
    records: number,
    open: (seq: number) => Awaitable<RowContents>,
  ) {
    this.seq = seq;
    this.acceptedAt = acceptedAt;
    this.records = records;
    this.bytes = text.length;
    this.#open = open;
    this.#before = new Uint32Array(records + 1);
    this.#times = new Float64Array(records);
  }

  /** Sets what a record makes; called for each record in order. */
  note(record: number, logRecords: number, time: number, defect: string | undefined): void {
    this.#before[record + 1] = (this.#before[record] as number) + logRecords;
    this.#times[record] = time;
    if (defect !== undefined) this.#defects.set(record, defect);
  }

  get logRecords(): number {
    return this.firstLogRecord(this.records);
  }

  /** The number of a record's first log record; for `records` itself: `logRecords`. */
  firstLogRecord(record: number): number {
    return this.#before[record] as number;
  }

  /** The record that makes the log record: the last one that begins at or before it. */
  recordOf(logRecord: number): number {
    let low = 0;
    let high = this.records;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#before[middle] as number) <= logRecord) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The event time of a log record, epoch milliseconds. */
  timeOf(logRecord: number): number {
    return this.#times[this.recordOf(logRecord)] as number;
  }

  /** Why a record that should have log records cannot be described; it has none, and becomes a dead letter `internal`. */
  defectOf(record: number): string | undefined {
    return this.#defects.get(record);
  }

  /** Valid until the next row is opened or the turn is over. @throws {Error} if the row can no longer be read. */
  open(): Awaitable<RowContents> {
    return this.#open(this.seq);
  }
}

/** The journal could not be read, which says nothing about the row. */
export class Unread extends Error {
  override readonly name = "Unread";
}

/** Rows in the journal's order, as far as they are committed. */
export interface DeliverySource {
  /** The first row at or after `seq`. Rows are read again by position, so the last few should be cached. */
  next(seq: number): Awaitable<DeliveryRow | undefined>;
}

/** Log records of one row in a request, from `from` up to `to` (exclusive). */
export type Span = { readonly row: DeliveryRow; readonly from: number; readonly to: number };

/** The outcome of a request. `unsent`: it could not be encoded, or is larger than a request may be. */
export type Posted = Answer | { readonly kind: "unsent"; readonly message: string };

/** Encodes and sends requests. Throws only if rows have to be read and cannot be. */
export interface Channel {
  /** Log records that should fit into one request now. */
  readonly maxLogRecords: number;
  /** `spans`: in ascending order of rows; none for an empty export. Delivery holds no row for longer than this call. */
  post(spans: readonly Span[], stop: AbortSignal): Promise<Posted>;
}

export interface DeliveryDeps {
  readonly source: DeliverySource;
  readonly channel: Channel;
  /** Maximum number of requests in flight. */
  readonly concurrency: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly timer: Timer;
  readonly logger: Logger;
  /** The cursor has moved. Marks are committed with it. */
  onProgress(progress: Progress): void;
  onState(state: DeliveryState): void;
}

/** `logs` never ends; the others do. */
export type DeliveryKind = "logs" | "replay" | "retry";

export interface RequestDeps {
  readonly send: Sender;
  readonly encoding: Encoding;
  readonly describer: FlowDescriber;
  readonly resource: ResourceAttributes;
  readonly scope: InstrumentationScope;
}

type RequestLimits = Pick<Config["otlp"]["logs"], "max_records" | "max_bytes">;

/** Encodes the log records of spans as one ExportLogsServiceRequest, valid until the next. @throws {Error} if one cannot be encoded. */
type WriteSpans = (spans: readonly Span[]) => Steps<Uint8Array>;

/** In a smaller request the resource would distort the estimate. */
const minLogRecordsForEstimate = 16;

/** Log records vary in size, so a request is planned a little below its limit and few exceed it. */
const plannedShare = 0.9;

/** Creates the channel for all logs: fresh, replay and retry. A request of one log record is sent regardless of its size. */
export function createChannel(limits: RequestLimits, deps: RequestDeps): Channel {
  const { max_records: maxRecords, max_bytes: maxBytes } = limits;
  const { send, encoding, describer } = deps;
  const write = encoding === "protobuf" ? protobufWriter(deps) : jsonWriter(deps);
  /** A guess until the first request has been encoded. */
  let logRecordBytes = 1_000;
  /** The request that is waiting for its rows; others wait for it, because there is one encoder. */
  let writing: Promise<unknown> | undefined;
  return {
    /** Estimated from the log records encoded last, so nothing is encoded twice to find out. */
    get maxLogRecords() {
      return Math.max(1, Math.min(maxRecords, Math.floor((maxBytes * plannedShare) / logRecordBytes)));
    },
    async post(spans, stop) {
      const logRecords = spans.reduce((sum, { from, to }) => sum + to - from, 0);
      let body: Uint8Array;
      for (let before = writing; before !== undefined; before = writing) await before;
      try {
        const written = settled(write(spans));
        if (written instanceof Promise) {
          writing = written.catch(() => undefined).then(() => (writing = undefined));
          body = await written;
        } else body = written;
      } catch (error) {
        if (error instanceof Unread && stop.aborted) return stopped;
        if (error instanceof Unread) throw error;
        return { kind: "unsent", message: messageOf(error) };
      }
      // By then, a flood of new addresses has left some 30 MB of garbage, which the collector would let grow.
      if (describer.takeResets() > 0) collectGarbage();
      if (logRecords >= minLogRecordsForEstimate) logRecordBytes = Math.max(1, body.length / logRecords);
      if (body.length > maxBytes && logRecords > 1) return { kind: "unsent", message: "larger than a request may be" };
      return send(body, encoding, stop);
    },
  };
}

function protobufWriter({ describer, resource, scope }: RequestDeps): WriteSpans {
  const encoder = new OtlpLogEncoder(resource, scope);
  return function* (spans) {
    encoder.begin();
    for (const span of spans)
      yield* forEachRecord(span, (contents, record, from, to, acceptedAt) => {
        if (contents.kind === "flow")
          encoder.addFlows(contents.columns, describer, contents.first + record, from, to, acceptedAt);
        else if (from < to) encoder.addEvent(contents.events[record] as LogEvent);
      });
    return encoder.finish();
  };
}

/** Writes JSON with the official serializer, which is slower: it needs an object per log record. */
function jsonWriter({ describer, resource: attributes, scope }: RequestDeps): WriteSpans {
  const origin = { resource: resourceFromAttributes({ ...attributes }), instrumentationScope: scope };
  return function* (spans) {
    const records: ReadableLogRecord[] = [];
    for (const span of spans)
      yield* forEachRecord(span, (contents, record, from, to, acceptedAt) => {
        const events =
          contents.kind === "flow"
            ? describer.events(contents.columns, contents.first + record, from, to, acceptedAt)
            : contents.events.slice(record, from < to ? record + 1 : record);
        for (const event of events) if (event !== undefined) records.push(readable(event, origin));
      });
    const body = JsonLogsSerializer.serializeRequest(records);
    if (body === undefined) throw new Error("the serializer wrote nothing");
    return body;
  };
}

/** Calls back for each record that has log records in the span, with their numbers inside the record. */
function* forEachRecord(
  { row, from, to }: Span,
  visit: (contents: RowContents, record: number, first: number, last: number, acceptedAt: number) => void,
): Steps<void> {
  if (from >= to) return;
  const contents = yield* taken(row.open());
  for (let record = row.recordOf(from); record < row.records; record++) {
    const begin = row.firstLogRecord(record);
    if (begin >= to) return;
    const end = Math.min(to, row.firstLogRecord(record + 1));
    visit(contents, record, Math.max(from, begin) - begin, end - begin, row.acceptedAt);
  }
}

/** An event in the shape that the official serializers expect. */
function readable(
  event: LogEvent,
  origin: Pick<ReadableLogRecord, "resource" | "instrumentationScope">,
): ReadableLogRecord {
  return {
    ...origin,
    eventName: event.name,
    hrTime: event.time,
    hrTimeObserved: event.observedTime,
    severityNumber: severityNumbers[event.severity],
    severityText: event.severity,
    body: event.body,
    attributes: event.attributes as ReadableLogRecord["attributes"],
    droppedAttributesCount: 0,
  };
}

/** Treats a partly rejected request of a retry as refused, so that the rejected log records are found and only their marks stay. */
export function refusedIfPartial(posted: Posted): Posted {
  const partial = posted.kind === "accepted" ? posted.partial : undefined;
  return partial !== undefined && partial.rejected > 0
    ? { kind: "refused", status: 400, message: partial.message }
    : posted;
}
