/** The stretches past the cursor in the journal's order, and the accounts of what became of everything before it. */
import type { Clock } from "../../lib/clock.ts";
import type { LogCursor, MarkReason, NewMark, Progress } from "../../journal/index.ts";
import {
  type DeliverableRow,
  type DeliverySource,
  isBefore,
  type Place,
  placeOf,
  type Range,
  type ReadLimit,
  type Reading,
  read,
} from "./source.ts";

/** Why a range is accused or dead: the reason of its marks, and the backend's words or ours. */
export interface Refusal {
  readonly why: MarkReason;
  readonly message: string;
}

/** A range past the cursor and what is known about it. It holds no row. */
export interface Stretch extends Range {
  /** `accused`: refused, and not decided before something later was taken. `sampling`: single log records of it are being tried. */
  state: "ready" | "sent" | "sampling" | "accused" | "taken" | "dead";
  /** The number of the request that it was last taken or refused in. */
  request: number;
  /** The number of the request that was refused first. */
  origin?: number;
  refusal?: Refusal;
  /** Of a taken one: log records that the backend did not keep. */
  partial?: { rejected: number; readonly message: string };
  /** Part of a request that failed for minutes: one more failure counts as a refusal. */
  isSuspect?: true;
  /** How often it was refused once more after something later had been taken. */
  confirmations?: number;
  /** Of a retried part that was taken partially: requests left for finding out what was rejected. */
  budget?: { requests: number };
}

/** Event time of one step forward: half of what lies behind the newest that Loki still takes. */
const stepMs = 1_800_000;

/** Rows that are passed before others get a turn. */
const maxRowsPassed = 256;

export class Backlog {
  readonly stretches: Stretch[] = [];
  /** Where the next new request begins. */
  head: Place;
  /** The latest event time that the backend has taken, epoch milliseconds. */
  newestTaken = Number.NEGATIVE_INFINITY;
  readonly #source: DeliverySource;
  readonly #clock: Clock;
  #cursor: LogCursor;
  #at: Place;
  #marks: NewMark[] = [];
  /** What the record under the cursor has lost so far. */
  #loss: { readonly refusal: Refusal; logRecords: number } | undefined;

  constructor(cursor: LogCursor, source: DeliverySource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
    this.#cursor = cursor;
    this.#at = placeOf(cursor, source);
    this.head = this.#at;
  }

  read(from: Place, limit: ReadLimit): Reading {
    return read(this.#source, from, limit);
  }

  /** Whether any row stands at or behind the head. */
  get hasMore(): boolean {
    return this.#source.next(this.head.seq) !== undefined;
  }

  /** The oldest that is neither decided nor accused. */
  get oldestOpen(): Stretch | undefined {
    return this.stretches.find(({ state }) => state === "ready" || state === "sent" || state === "sampling");
  }

  /** The latest event time that may be sent while something that old is unanswered. */
  limitBehind(earliest: number): number {
    return Math.max(this.newestTaken, earliest + stepMs);
  }

  /** The latest event time to try behind what is accused among those. No limit if nothing is. */
  limitBehindAccused(before: readonly Stretch[]): number | undefined {
    const accused = before.filter(({ state }) => state === "accused");
    if (accused.length === 0) return undefined;
    const latest = Math.max(...accused.map((stretch) => stretch.latest));
    const covered = latest - Math.min(...accused.map((stretch) => stretch.earliest));
    return Math.max(this.newestTaken, latest + Math.max(stepMs, covered / 16));
  }

  /** Adds what was read from the head on. */
  append(range: Range, state: Stretch["state"]): Stretch {
    const stretch = stretchOf(range, state);
    this.stretches.push(stretch);
    this.head = range.to;
    return stretch;
  }

  /** Puts parts in a stretch's place; accused neighbours become one. */
  replace(stretch: Stretch, parts: readonly Stretch[]): void {
    this.stretches.splice(this.stretches.indexOf(stretch), 1, ...parts);
    for (let index = this.stretches.length - 1; index > 0; index--) {
      const [before, after] = [this.stretches[index - 1] as Stretch, this.stretches[index] as Stretch];
      if (before.state === "accused" && after.state === "accused")
        this.stretches.splice(index - 1, 2, joined(before, after));
    }
  }

  /** Cuts a range after that many log records. */
  cut<Part extends Range>(range: Part, logRecords: number): [Part, Part] {
    const { to } = this.read(range.from, { logRecords, to: range.to });
    return [
      { ...range, to, logRecords },
      { ...range, from: to, logRecords: range.logRecords - logRecords },
    ];
  }

  /** What is ready at the end is read anew, in requests of full size. */
  rewind(): void {
    for (let last = this.stretches.at(-1); last?.state === "ready"; last = this.stretches.at(-1)) {
      this.head = last.from;
      this.stretches.pop();
    }
  }

  /**
   * Passes the unbroken run of decided stretches, a bounded number of rows at a time. Nothing comes back if the cursor
   * has not moved, or stands inside a record that has lost log records: such a record is committed whole, or a restart
   * would count it twice.
   */
  advance(): Progress | undefined {
    let rows = 0;
    for (let first = this.stretches[0]; isDecided(first) && rows < maxRowsPassed; first = this.stretches[0]) {
      while (isBefore(this.#at, first.to) && rows++ < maxRowsPassed) this.#passRow(first);
      if (!isBefore(this.#at, first.to)) this.stretches.shift();
    }
    if (rows === 0 || this.#loss !== undefined) return undefined;
    const marks = this.#marks;
    this.#marks = [];
    return { cursor: this.#cursor, marks };
  }

  /** Whether `advance` has more to do at once. */
  get canAdvance(): boolean {
    return isDecided(this.stretches[0]);
  }

  #passRow(stretch: Stretch): void {
    const { to } = stretch;
    const from = this.#at;
    const row = this.#source.next(from.seq);
    if (row === undefined || row.seq > to.seq || (row.seq === to.seq && to.at === 0)) return this.#moveTo(to);
    const isLast = row.seq === to.seq;
    const start = row.seq === from.seq ? from : { record: 0, at: 0 };
    const end = isLast ? to : { record: row.records, at: row.logRecords };
    this.#count(stretch, row, start, end);
    this.#moveTo(isLast ? to : { seq: row.seq + 1, record: 0, logRecord: 0, at: 0 });
  }

  #moveTo(place: Place): void {
    const { seq, record, logRecord } = place;
    this.#at = place;
    this.#cursor = { ...this.#cursor, seq, record, logRecord };
  }

  /** Counts the log records between two places of a row, and the records that end there. */
  #count(stretch: Stretch, row: DeliverableRow, start: InRow, end: InRow): void {
    const { state, refusal, partial } = stretch;
    const sent = end.at - start.at;
    const records = { ...this.#cursor.records };
    const logRecords = { ...this.#cursor.logRecords };
    if (state === "dead") logRecords.deadLettered += sent;
    else logRecords.delivered += sent;
    if (partial !== undefined && sent > 0) {
      const rejected = Math.min(partial.rejected, sent);
      partial.rejected -= rejected;
      logRecords.rejected += rejected;
      logRecords.delivered -= rejected;
      const last = end.logRecord === undefined || end.logRecord === 0 ? end.record : end.record + 1;
      this.#mark(row.seq, start.record, last, { why: "partial", message: partial.message }, rejected);
    }
    for (let record = start.record; record <= end.record && record < row.records; record++) {
      const isWhole = record < end.record;
      const lost = state === "dead" ? overlapOf(row, record, start.at, end.at) : 0;
      if (refusal !== undefined && lost > 0) {
        this.#loss ??= { refusal, logRecords: 0 };
        this.#loss.logRecords += lost;
      }
      if (!isWhole) break;
      const defect = row.defectOf(record);
      if (defect !== undefined) this.#loss ??= { refusal: { why: "internal", message: defect }, logRecords: 0 };
      if (this.#loss === undefined) records.delivered++;
      else {
        records.deadLettered++;
        this.#mark(row.seq, record, record + 1, this.#loss.refusal, this.#loss.logRecords);
        this.#loss = undefined;
      }
    }
    this.#cursor = { ...this.#cursor, records, logRecords };
  }

  /** Neighbours that were refused for the same reason share a mark. */
  #mark(seq: number, from: number, to: number, { why, message }: Refusal, logRecords: number): void {
    const last = this.#marks.at(-1);
    const isSame = last?.seq === seq && last.to === from && last.why === why && last.message === message;
    const mark = { destination: "logs" as const, seq, from, to, why, logRecords, message, at: this.#clock() };
    if (!isSame) this.#marks.push(mark);
    else this.#marks[this.#marks.length - 1] = { ...mark, from: last.from, logRecords: last.logRecords + logRecords };
  }
}

type InRow = { readonly record: number; readonly at: number; readonly logRecord?: number };

export function stretchOf({ from, to, logRecords, earliest, latest }: Range, state: Stretch["state"]): Stretch {
  return { from, to, logRecords, earliest, latest, state, request: 0 };
}

function isDecided(stretch: Stretch | undefined): stretch is Stretch {
  return stretch?.state === "taken" || stretch?.state === "dead";
}

function joined(before: Stretch, after: Stretch): Stretch {
  return {
    ...before,
    to: after.to,
    logRecords: before.logRecords + after.logRecords,
    earliest: Math.min(before.earliest, after.earliest),
    latest: Math.max(before.latest, after.latest),
    request: Math.max(before.request, after.request),
    confirmations: Math.min(before.confirmations ?? 0, after.confirmations ?? 0),
  };
}

function overlapOf(row: DeliverableRow, record: number, from: number, to: number): number {
  return Math.max(0, Math.min(to, row.firstLogRecord(record + 1)) - Math.max(from, row.firstLogRecord(record)));
}
