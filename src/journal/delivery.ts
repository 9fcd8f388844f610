/** How far delivery has come: positions, marks and how they are listed, redeliveries, and the destinations that have them. */
import type { RecordType, Source } from "../records/types.ts";

/** The destination that a journal has from the beginning. Others are named in `Journal.useDestinations`. */
export { primaryDestination } from "../config/words.ts";

/** The place of the next log record to deliver: inside a row by line, inside a record by log record. */
export interface LogPosition {
  readonly seq: number;
  readonly record: number;
  readonly logRecord: number;
}

/** How far delivery has come, and what became of everything before it. Sums since the journal was made. */
export interface LogCursor extends LogPosition {
  readonly records: { readonly delivered: number; readonly deadLettered: number };
  readonly logRecords: { readonly delivered: number; readonly rejected: number; readonly deadLettered: number };
}

/** Where a journal that nobody has read begins. */
export const startOfJournal: LogCursor = {
  seq: 1,
  record: 0,
  logRecord: 0,
  records: { delivered: 0, deadLettered: 0 },
  logRecords: { delivered: 0, rejected: 0, deadLettered: 0 },
};

/** The position of `to`, and the sums of the stored cursor plus what has been counted between `from` and `to`. */
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

/** The same position, with sums that begin anew: of records, so many are delivered already. */
export function begunAnew({ seq, record, logRecord }: LogPosition, delivered: number): LogCursor {
  return { ...startOfJournal, seq, record, logRecord, records: { ...startOfJournal.records, delivered } };
}

/** Why records are dead letters. */
export type DeadLetterReason = "rejected" | "too_large" | "failing" | "internal";

/** `partial`: rejected in part by the backend, marked for their range. `unmeasured`: not in the counters. Delivered all the same. */
export type MarkReason = DeadLetterReason | "partial" | "unmeasured";

/** A range of records on their row that were not delivered, or not in full. The row stays as long as its mark. */
export interface NewMark {
  readonly seq: number;
  /** First line, and the line after the last. */
  readonly from: number;
  readonly to: number;
  readonly why: MarkReason;
  readonly logRecords: number;
  /** The backend's own words, or ours. */
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
 * What is reported to be committed with the next turn: a later cursor replaces an earlier one, the rest adds up. The sums of a
 * cursor go on from those of the one reported before, or of `Journal.cursor` at the opening, even if series begin anew in between:
 * only what they have grown by is counted.
 */
export interface Report {
  readonly cursor?: LogCursor | undefined;
  readonly marks?: readonly NewMark[];
  readonly redelivered?: readonly RedeliveryProgress[];
}

/** What was reported, by destination, and is not committed yet. */
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
  /** Otherwise its oldest undelivered records are given up when space is short. */
  readonly isRequired: boolean;
}

/**
 * How far a further destination has come. In records of its types, since it was added or the series began anew:
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
  /** Given up undelivered for lack of space. */
  readonly evicted: number;
}

/** What is kept for a person: a quarantined text, or a mark, as it is listed. */
export interface QuarantineItem {
  /** `<seq>.<line>` for a text, `m<id>` for a mark. */
  readonly id: string;
  readonly class: "invalid" | "sample" | "note" | "dead_letter";
  readonly type: RecordType | "unknown";
  readonly seq: number;
  readonly from: number;
  /** Records it stands for: so many lines from there on. */
  readonly records: number;
  readonly at: number;
  readonly source: Source;
  readonly reason: string;
  readonly detail: string;
  /** Of a dead letter or note of a further destination: its name. */
  readonly destination?: string;
}

export interface QuarantineCount {
  readonly class: QuarantineItem["class"];
  readonly reason: string;
  readonly items: number;
}

/** Items that share all that is given. */
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

/** What is delivered again on demand: delivered rows of a time range, or marks. */
export interface Redelivery {
  readonly name: "replay" | "retry";
  /** Absent: the primary one. Each destination has one of each name at most. */
  readonly destination?: string;
  /** Epoch milliseconds at which it was asked for; tells one from the next of its name. */
  readonly id: number;
  readonly cursor: LogCursor;
  /** Rows (replay) or marks (retry) from here on are no part of it. */
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
  /** Marks whose records the backend has taken: they leave. */
  readonly taken: readonly number[];
  readonly isOver: boolean;
}
