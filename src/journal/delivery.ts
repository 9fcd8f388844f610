/** Progress of delivery: positions, marks and their listing, redeliveries, and destinations. */
import type { RecordType, Source } from "../records/types.ts";

/** The destination that every journal has. Others are named in `Journal.useDestinations`. */
export { primaryDestination } from "../config/words.ts";

/** Position of the next log record to deliver: a row, a record (line) in the row, and a log record of that record. */
export interface LogPosition {
  readonly seq: number;
  readonly record: number;
  readonly logRecord: number;
}

/** How far delivery has come, and the outcome of everything before it. Sums since the journal was created. */
export interface LogCursor extends LogPosition {
  readonly records: { readonly delivered: number; readonly deadLettered: number };
  readonly logRecords: { readonly delivered: number; readonly rejected: number; readonly deadLettered: number };
}

/** The position in a journal that has not been read yet. */
export const startOfJournal: LogCursor = {
  seq: 1,
  record: 0,
  logRecord: 0,
  records: { delivered: 0, deadLettered: 0 },
  logRecords: { delivered: 0, rejected: 0, deadLettered: 0 },
};

/** The position of `to`, with the sums of the stored cursor plus their growth between `from` and `to`. */
export function advanced(stored: LogCursor, from: LogCursor, to: LogCursor): LogCursor {
  const grown = <Sums extends Readonly<Record<string, number>>>(sums: Sums, was: Sums, is: Sums): Sums => {
    const grownBy = Object.entries(is).map(([name, sum]) => [name, (sums[name] ?? 0) + sum - (was[name] ?? 0)]);
    return Object.fromEntries(grownBy) as Sums;
  };
  return {
    ...to,
    records: grown(stored.records, from.records, to.records),
    logRecords: grown(stored.logRecords, from.logRecords, to.logRecords),
  };
}

/** The same position with new sums, in which `delivered` records are already delivered. */
export function begunAnew({ seq, record, logRecord }: LogPosition, delivered: number): LogCursor {
  return { ...startOfJournal, seq, record, logRecord, records: { ...startOfJournal.records, delivered } };
}

/** Why records are dead letters. */
export type DeadLetterReason = "rejected" | "too_large" | "failing" | "internal";

/** `partial`: partly rejected by the backend, marked for the whole range. `unmeasured`: delivered, but not in the counters. */
export type MarkReason = DeadLetterReason | "partial" | "unmeasured";

/** A range of records of a row that were not delivered, or not in full. The row is kept as long as its mark. */
export interface NewMark {
  readonly seq: number;
  /** First line, and the line after the last. */
  readonly from: number;
  readonly to: number;
  readonly why: MarkReason;
  readonly logRecords: number;
  /** The backend's own words, or those of this program. */
  readonly message: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface Mark extends NewMark {
  readonly id: number;
}

/** What the exporter reports, to be committed together. */
export interface Progress {
  readonly cursor: LogCursor;
  readonly marks: readonly NewMark[];
}

/**
 * What is committed with the next turn: a later cursor replaces an earlier one, the rest adds up. The sums of a cursor continue
 * from those of the last reported one, or of `Journal.cursor` at opening, even if series begin anew in between: only their growth
 * is counted.
 */
export interface Report {
  readonly cursor?: LogCursor | undefined;
  readonly marks?: readonly NewMark[];
  readonly redelivered?: readonly RedeliveryProgress[];
}

/** Reports by destination that are not committed yet. */
export type Reports = ReadonlyMap<string, Report>;

export const noReports: Reports = new Map();

export function withReport(reports: Reports, destination: string, more: Report): Reports {
  const { cursor, marks = [], redelivered = [] } = reports.get(destination) ?? {};
  return new Map(reports).set(destination, {
    cursor: more.cursor ?? cursor,
    marks: [...marks, ...(more.marks ?? [])],
    redelivered: [...redelivered, ...(more.redelivered ?? [])],
  });
}

/** A further destination: log records of these types are delivered there too. */
export interface DestinationRule {
  readonly name: string;
  readonly types: readonly RecordType[];
  /** If false, its oldest undelivered records are evicted when space is short. */
  readonly isRequired: boolean;
}

/**
 * Progress of a further destination. In records of its types, since it was added or its series began anew:
 * `accepted = cursor.records.delivered + pending + cursor.records.deadLettered + evicted`.
 */
export interface DestinationAccount extends DestinationRule {
  /** When its counts began, epoch milliseconds. */
  readonly since: number;
  readonly cursor: LogCursor;
  readonly accepted: number;
  readonly pending: number;
  /** When the oldest record that waits for it was received, epoch milliseconds. */
  readonly pendingSince: number | undefined;
  /** Evicted undelivered for lack of space. */
  readonly evicted: number;
}

/** A quarantined text or a mark, as listed for an operator. */
export interface QuarantineItem {
  /** `<seq>.<line>` for a text, `m<id>` for a mark. */
  readonly id: string;
  readonly class: "invalid" | "sample" | "note" | "dead_letter";
  readonly type: RecordType | "unknown";
  readonly seq: number;
  readonly from: number;
  /** Number of records it stands for: lines from `from` on. */
  readonly records: number;
  readonly at: number;
  readonly source: Source;
  readonly reason: string;
  readonly detail: string;
  /** The name of the further destination whose dead letter or note it is. */
  readonly destination?: string;
}

export interface QuarantineCount {
  readonly class: QuarantineItem["class"];
  readonly reason: string;
  readonly items: number;
}

/** Selects the items that match every given property. */
export interface QuarantineFilter {
  /** Ids of marks. */
  readonly ids?: readonly string[];
  readonly class?: QuarantineItem["class"];
  readonly reason?: string;
  readonly type?: RecordType | "unknown";
  readonly before?: number;
  /** A name, or `primaryDestination`. */
  readonly destination?: string;
}

/** A redelivery on demand of delivered rows of a time range, or of marks. */
export interface Redelivery {
  readonly name: "replay" | "retry";
  /** Absent for the primary destination. Each destination has at most one redelivery of each name. */
  readonly destination?: string;
  /** When it was requested, epoch milliseconds; distinguishes redeliveries of the same name. */
  readonly id: number;
  readonly cursor: LogCursor;
  /** The first row (replay) or mark (retry) that is no longer part of it. */
  readonly untilSeq: number;
  readonly total: number;
  readonly range?: { readonly since: number; readonly until: number };
  readonly marks?: QuarantineFilter;
  readonly endedAt?: number;
  readonly isCancelled?: boolean;
}

export interface RedeliveryProgress extends Pick<Redelivery, "name" | "destination"> {
  readonly id: number;
  readonly cursor: LogCursor;
  /** Ids of marks whose records the backend has accepted; they are removed. */
  readonly taken: readonly number[];
  readonly isOver: boolean;
}
