/** Tracks the log records past the cursor, stretch by stretch, and accounts for everything that the cursor passes. */
import type { LogCursor, MarkReason, NewMark, Progress } from "../journal/index.ts";
import type { Clock } from "../lib/clock.ts";
import type { DeliveryRow, DeliverySource, Span } from "./requests.ts";
import { type Steps, taken } from "./steps.ts";

/**
 * The position before a log record: its row and its number `at` in it; the end of a row is the start of the next `seq`.
 * `count`: log records before it since delivery began.
 */
export interface Place {
  readonly seq: number;
  readonly at: number;
  readonly count: number;
}

/** A range of log records in the journal, and the event times of those that were read, epoch milliseconds. */
export interface Range {
  readonly from: Place;
  readonly to: Place;
  readonly earliest: number;
  readonly latest: number;
}

export type Reading = Range & { readonly spans: readonly Span[] };

/** `until`: epoch milliseconds; reading stops before a later event, unless it is the first. */
type ReadLimit = { readonly logRecords: number; readonly to?: Place | undefined; readonly until?: number | undefined };

/** Why log records were refused: the reason for their marks, and the message of the backend or of this program. */
export interface Refusal {
  readonly why: MarkReason;
  readonly message: string;
}

/** A range past the cursor and what is known about it. It holds no row. */
export interface Stretch extends Range {
  /** `accused`: refused, but undecided until something later is accepted. */
  state: "ready" | "sent" | "accused" | "accepted" | "dead";
  /** The number of the request in which it was last accepted or refused. */
  request: number;
  /** The number of the first request that was refused. */
  origin?: number;
  refusal?: Refusal;
  /** If accepted: log records in it that the backend rejected. */
  partial?: { rejected: number; readonly message: string };
  /** Part of a request that failed for minutes: one more failure counts as a refusal. */
  isSuspect?: true;
  /** How often it was refused again after something later had been accepted. */
  confirmations?: number;
}

/** The largest step forward in event time: half of the time by which Loki accepts events older than the newest. */
const stepMs = 1_800_000;

/** Limits of one step: rows passed, rows read without an end, and bytes of their text, which may make few log records. */
const maxRowsPassed = 256;
const maxRowsRead = 2_048;
const maxBytesRead = 4 * 1024 * 1024;

export class Backlog {
  readonly stretches: Stretch[] = [];
  /** Where the next new request begins. */
  head: Place;
  /** The latest event time that the backend has accepted, epoch milliseconds. */
  newestAccepted = Number.NEGATIVE_INFINITY;
  readonly #source: DeliverySource;
  readonly #clock: Clock;
  #cursor: LogCursor;
  #at: Place;
  readonly #marks: NewMark[] = [];
  /** What the record under the cursor has lost so far. */
  #loss: { readonly refusal: Refusal; logRecords: number } | undefined;

  constructor(cursor: LogCursor, source: DeliverySource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
    this.#cursor = cursor;
    this.#at = { seq: cursor.seq, at: 0, count: 0 };
    this.head = this.#at;
  }

  /** Finds the cursor's place; called once, before anything else. */
  *open(): Steps<void> {
    const cursor = this.#cursor;
    this.#at = yield* placeOf(cursor, this.#source);
    this.#cursor = this.#at.seq === cursor.seq ? cursor : { ...cursor, seq: this.#at.seq, record: 0, logRecord: 0 };
    this.head = this.#at;
  }

  /** Reads on from a place. Rows without log records are passed, so a reading without any still advances. */
  *read(from: Place, { logRecords: most, to: end, until }: ReadLimit): Steps<Reading> {
    const spans: Span[] = [];
    let [to, earliest, latest] = [from, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    let [rows, bytes] = [0, 0];
    while (to.count - from.count < most) {
      if (end === undefined && (rows >= maxRowsRead || bytes >= maxBytesRead)) break;
      if (end !== undefined && !isBefore(to, end)) break;
      const row = yield* taken(this.#source.next(to.seq));
      if (row === undefined || (end !== undefined && row.seq > end.seq)) break;
      rows++;
      bytes += row.bytes;
      const start = row.seq === to.seq ? to.at : 0;
      const left = most - to.count + from.count;
      const last = Math.min(row.seq === end?.seq ? end.at : row.logRecords, start + left);
      let at = start;
      while (at < last) {
        const time = row.timeOf(at);
        if (to.count + at - start > from.count && until !== undefined && time > until) break;
        earliest = Math.min(earliest, time);
        latest = Math.max(latest, time);
        at = Math.min(last, row.firstLogRecord(row.recordOf(at) + 1));
      }
      if (at > start) spans.push({ row, from: start, to: at });
      const count = to.count + at - start;
      to = at < row.logRecords ? { seq: row.seq, at, count } : { seq: row.seq + 1, at: 0, count };
      if (at < last) break;
    }
    return { spans, from, to, earliest, latest };
  }

  /** True if the cursor has passed everything that is committed. */
  *isDone(): Steps<boolean> {
    return this.stretches.length === 0 && (yield* taken(this.#source.next(this.head.seq))) === undefined;
  }

  /** The latest event time that may be sent while an event from `earliest` is unanswered. */
  limitBehind(earliest: number): number {
    return Math.max(this.newestAccepted, earliest + stepMs);
  }

  /** The latest event time to try after the accused stretches among `before`; no limit if there are none. */
  limitBehindAccused(before: readonly Stretch[]): number | undefined {
    let [earliest, latest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const stretch of before) {
      if (stretch.state !== "accused") continue;
      earliest = Math.min(earliest, stretch.earliest);
      latest = Math.max(latest, stretch.latest);
    }
    if (latest < earliest) return undefined;
    return Math.max(this.newestAccepted, latest + Math.max(stepMs, (latest - earliest) / 16));
  }

  append({ from, to, earliest, latest }: Range): Stretch {
    const stretch: Stretch = { from, to, earliest, latest, state: "ready", request: 0 };
    this.stretches.push(stretch);
    this.head = to;
    return stretch;
  }

  /** Replaces a stretch by parts; adjacent accused stretches are joined. */
  replace(stretch: Stretch, parts: readonly Stretch[]): void {
    const { stretches } = this;
    const place = stretches.indexOf(stretch);
    stretches.splice(place, 1, ...parts);
    for (let index = Math.min(place + parts.length, stretches.length - 1); index > 0 && index >= place; index--) {
      const [before, after] = [stretches[index - 1] as Stretch, stretches[index] as Stretch];
      if (before.state === "accused" && after.state === "accused")
        stretches.splice(index - 1, 2, joined(before, after));
    }
  }

  /** Splits a stretch into parts of the given sizes, in log records; the last part is the rest. No part is empty. */
  *divide(stretch: Stretch, ...sizes: readonly number[]): Steps<Stretch[]> {
    const places = [stretch.from];
    for (const logRecords of sizes) {
      const from = places.at(-1) as Place;
      const { to } = yield* this.read(from, { logRecords, to: stretch.to });
      if (from.count < to.count && to.count < stretch.to.count) places.push(to);
    }
    return places.map((from, part) => ({ ...stretch, from, to: places[part + 1] ?? stretch.to }));
  }

  /** Drops the ready stretches at the end, so that they are read again in requests of full size. */
  rewind(): void {
    for (let last = this.stretches.at(-1); last?.state === "ready"; last = this.stretches.at(-1)) {
      this.head = last.from;
      this.stretches.pop();
    }
  }

  /**
   * Moves the cursor past the leading decided stretches, a bounded number of rows at a time. Returns undefined if the cursor
   * has not moved, or is inside a record that has lost log records: such a record is committed as a whole, because a restart
   * would otherwise count it twice.
   */
  *advance(): Steps<Progress | undefined> {
    let rows = 0;
    while (this.canAdvance && rows < maxRowsPassed) {
      const first = this.stretches[0] as Stretch;
      while (isBefore(this.#at, first.to) && rows++ < maxRowsPassed) yield* this.#passRow(first);
      if (!isBefore(this.#at, first.to)) this.stretches.shift();
    }
    if (rows === 0 || this.#loss !== undefined) return undefined;
    return { cursor: this.#cursor, marks: this.#marks.splice(0) };
  }

  /** True if `advance` has more to do immediately. */
  get canAdvance(): boolean {
    const state = this.stretches[0]?.state;
    return state === "accepted" || state === "dead";
  }

  *#passRow(stretch: Stretch): Steps<void> {
    const { to } = stretch;
    const row = yield* taken(this.#source.next(this.#at.seq));
    if (row === undefined || row.seq > to.seq || (row.seq === to.seq && to.at === 0)) return this.#moveTo(to, 0, 0);
    if (row.seq !== this.#at.seq) this.#moveTo({ ...this.#at, seq: row.seq, at: 0 }, 0, 0);
    const isWhole = row.seq < to.seq;
    const end = isWhole ? row.logRecords : to.at;
    const record = isWhole ? row.records : row.recordOf(end);
    const count = this.#at.count + end - this.#at.at;
    this.#count(stretch, row, record, end);
    if (isWhole) this.#moveTo({ seq: row.seq + 1, at: 0, count }, 0, 0);
    else this.#moveTo(to, record, end - row.firstLogRecord(record));
  }

  #moveTo(place: Place, record: number, logRecord: number): void {
    this.#at = place;
    this.#cursor = { ...this.#cursor, seq: place.seq, record, logRecord };
  }

  /** Counts a row's log records from the cursor to `end`, and the records up to `lastRecord`, which contains the end. */
  #count({ state, refusal, partial }: Stretch, row: DeliveryRow, lastRecord: number, end: number): void {
    const start = this.#at.at;
    const firstRecord = this.#cursor.record;
    const sent = end - start;
    const records = { ...this.#cursor.records };
    const logRecords = { ...this.#cursor.logRecords };
    logRecords[state === "dead" ? "deadLettered" : "delivered"] += sent;
    if (partial !== undefined && sent > 0) {
      const rejected = Math.min(partial.rejected, sent);
      partial.rejected -= rejected;
      logRecords.rejected += rejected;
      logRecords.delivered -= rejected;
      const last = lastRecord < row.records && end > row.firstLogRecord(lastRecord) ? lastRecord + 1 : lastRecord;
      this.#mark(row.seq, firstRecord, last, { why: "partial", message: partial.message }, rejected);
    }
    for (let record = firstRecord; record <= lastRecord && record < row.records; record++) {
      const [first, next] = [row.firstLogRecord(record), row.firstLogRecord(record + 1)];
      const lost = state === "dead" ? Math.max(0, Math.min(end, next) - Math.max(start, first)) : 0;
      if (refusal !== undefined && lost > 0) {
        this.#loss ??= { refusal, logRecords: 0 };
        this.#loss.logRecords += lost;
      }
      if (record === lastRecord) break;
      const defect = row.defectOf(record);
      if (defect !== undefined) this.#loss ??= { refusal: { why: "internal", message: defect }, logRecords: 0 };
      records[this.#loss === undefined ? "delivered" : "deadLettered"]++;
      if (this.#loss !== undefined) this.#mark(row.seq, record, record + 1, this.#loss.refusal, this.#loss.logRecords);
      this.#loss = undefined;
    }
    this.#cursor = { ...this.#cursor, records, logRecords };
  }

  /** Adjacent records that were refused for the same reason share a mark. */
  #mark(seq: number, from: number, to: number, { why, message }: Refusal, logRecords: number): void {
    const last = this.#marks.at(-1);
    const isSame = last?.seq === seq && last.to === from && last.why === why && last.message === message;
    const mark = { seq, from, to, why, logRecords, message, at: this.#clock() };
    if (!isSame) this.#marks.push(mark);
    else this.#marks[this.#marks.length - 1] = { ...mark, from: last.from, logRecords: last.logRecords + logRecords };
  }
}

export function isBefore(a: Place, b: Place): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.at < b.at);
}

/** The number of log records in a range. */
export function sizeOf({ from, to }: Range): number {
  return to.count - from.count;
}

/** The place of a stored cursor. How many log records a record makes may have changed with the settings. */
function* placeOf({ seq, record, logRecord }: LogCursor, source: DeliverySource): Steps<Place> {
  const row = yield* taken(source.next(seq));
  if (row?.seq !== seq) return { seq, at: 0, count: 0 };
  if (record >= row.records) return { seq: seq + 1, at: 0, count: 0 };
  return { seq, at: Math.min(row.firstLogRecord(record) + logRecord, row.firstLogRecord(record + 1)), count: 0 };
}

function joined(before: Stretch, after: Stretch): Stretch {
  return {
    ...before,
    to: after.to,
    earliest: Math.min(before.earliest, after.earliest),
    latest: Math.max(before.latest, after.latest),
    request: Math.max(before.request, after.request),
    confirmations: Math.min(before.confirmations ?? 0, after.confirmations ?? 0),
  };
}
