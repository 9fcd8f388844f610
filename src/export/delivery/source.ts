/** What log delivery reads and posts: rows with their log records, the places between them, and the channel to a backend. */
import type { LogPosition } from "../../journal/index.ts";
import type { Answer } from "../answer.ts";

/** A committed row on its way out. Its log records are numbered through the row; those of a record stand together. */
export interface DeliverableRow {
  readonly seq: number;
  readonly records: number;
  readonly logRecords: number;
  /** The number of a record's first log record; for `records` itself: `logRecords`. */
  firstLogRecord(record: number): number;
  /** The record that makes that log record. */
  recordOf(logRecord: number): number;
  /** Epoch milliseconds of its event. */
  timeOf(logRecord: number): number;
  /** Why a record that should have log records cannot be described; it has none, and becomes a dead letter `internal`. */
  defectOf(record: number): string | undefined;
}

/** Rows in the journal's order, as far as they are committed. */
export interface DeliverySource {
  /** The first row at or after `seq`. Rows are read again by position, so the last few should be cached. */
  next(seq: number): DeliverableRow | undefined;
}

/** Log records of one row that travel in a request, from `from` up to `to`. */
export interface Span {
  readonly row: DeliverableRow;
  readonly from: number;
  readonly to: number;
}

/** What became of a request. `unsent`: it could not be encoded, or only above the size of a request. */
export type Posted = Answer | { readonly kind: "unsent"; readonly message: string };

/** Encodes and sends. Nothing here throws. */
export interface Channel {
  /** Log records that should fit into one request now. */
  readonly maxLogRecords: number;
  /** Spans of ascending rows. Delivery holds no row for longer than this takes. */
  post(spans: readonly Span[], stop: AbortSignal): Promise<Posted>;
  /** Posts an export without log records. */
  postEmpty(stop: AbortSignal): Promise<Posted>;
}

/** A number from 0 up to 1. */
export type Random = () => number;

/** Calls back after some milliseconds, unless the returned function is called first. */
export type Timer = (delayMs: number, callback: () => void) => () => void;

/** A place before a log record. The end of a row is the start of the next number. */
export interface Place extends LogPosition {
  /** The log record by its number in the row. */
  readonly at: number;
}

/** Where a range of log records lies in the journal. */
export interface Range {
  readonly from: Place;
  readonly to: Place;
  readonly logRecords: number;
  /** Event times of those that were looked at, epoch milliseconds. */
  readonly earliest: number;
  readonly latest: number;
}

/** A range and what a request for it holds. */
export interface Reading extends Range {
  readonly spans: readonly Span[];
}

export interface ReadLimit {
  readonly logRecords: number;
  readonly to?: Place | undefined;
  /** Epoch milliseconds; a later event ends the reading, unless it is the first. */
  readonly until?: number | undefined;
}

/** Rows that one reading passes while its end is open: nothing else gets a turn in the meantime. */
const maxRows = 2_048;

/** Reads on from a place. Rows without log records are passed, so that a reading without any can still get ahead. */
export function read(source: DeliverySource, from: Place, limit: ReadLimit): Reading {
  const spans: Span[] = [];
  let [to, logRecords, earliest, latest] = [from, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let rows = 0; logRecords < limit.logRecords && (rows < maxRows || limit.to !== undefined); rows++) {
    if (limit.to !== undefined && !isBefore(to, limit.to)) break;
    const row = source.next(to.seq);
    if (row === undefined || (limit.to !== undefined && row.seq > limit.to.seq)) break;
    const start = row.seq === to.seq ? to.at : 0;
    const end = row.seq === limit.to?.seq ? limit.to.at : row.logRecords;
    let at = start;
    const most = Math.min(end, start + limit.logRecords - logRecords);
    while (at < most) {
      const time = row.timeOf(at);
      if (logRecords + at - start > 0 && limit.until !== undefined && time > limit.until) break;
      earliest = Math.min(earliest, time);
      latest = Math.max(latest, time);
      at = Math.min(most, row.firstLogRecord(row.recordOf(at) + 1));
    }
    if (at > start) spans.push({ row, from: start, to: at });
    logRecords += at - start;
    to = placeIn(row, at);
    if (at < most) break;
  }
  return { spans, from, to, logRecords, earliest, latest };
}

/** The last log record of a reading that has any. */
export function lastOf({ spans, to }: Reading): Reading {
  const { row, to: end } = spans.at(-1) as Span;
  const at = end - 1;
  const time = row.timeOf(at);
  const from = placeIn(row, at);
  return { spans: [{ row, from: at, to: end }], from, to, logRecords: 1, earliest: time, latest: time };
}

/** Where a position that was stored is now. What a record makes may have changed with the settings. */
export function placeOf({ seq, record, logRecord }: LogPosition, source: DeliverySource): Place {
  const row = source.next(seq);
  if (row?.seq !== seq) return { seq, record: 0, logRecord: 0, at: 0 };
  if (record >= row.records) return placeIn(row, row.logRecords);
  const first = row.firstLogRecord(record);
  const inside = Math.min(logRecord, row.firstLogRecord(record + 1) - first);
  return { seq, record, logRecord: inside, at: first + inside };
}

export function isBefore(a: Place, b: Place): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.at < b.at);
}

function placeIn(row: DeliverableRow, at: number): Place {
  if (at >= row.logRecords) return { seq: row.seq + 1, record: 0, logRecord: 0, at: 0 };
  const record = row.recordOf(at);
  return { seq: row.seq, record, logRecord: at - row.firstLogRecord(record), at };
}
