/** What has been read from the journal and is not in a request yet. */
import type { LogEvent } from "../catalogue/log-event.ts";
import type { LogPosition } from "../journal/types.ts";
import type { DeliverableRecord, DeliverySource, PlacedEvent } from "./delivery-source.ts";
import { answer, createPiece, type Piece, type Span } from "./piece.ts";

/** Holds little more than one stretch of the journal: nothing is read while there is enough for a request. */
export class Intake {
  readonly #source: DeliverySource;
  #records: readonly DeliverableRecord[] = [];
  /** The next record to take, and its first event that is not taken. */
  #at = 0;
  #event: number;
  #readTo: LogPosition;
  /** The end of what was taken. */
  #end: LogPosition;
  #events = 0;
  #requests = 0;

  constructor(source: DeliverySource, from: LogPosition) {
    this.#source = source;
    this.#event = from.event;
    this.#readTo = from;
    this.#end = from;
  }

  /** Log events read and not taken. */
  get events(): number {
    return this.#events;
  }

  /** The next row that has not been read. */
  get nextSeq(): number {
    return this.#readTo.seq;
  }

  /** The last log event that has been read and not taken. */
  get last(): PlacedEvent | undefined {
    for (let at = this.#records.length - 1; at >= this.#at; at--) {
      const record = this.#records[at] as DeliverableRecord;
      const log = record.events.at(-1);
      if (log === undefined) continue;
      return { log, position: { seq: record.seq, record: record.record, event: record.events.length - 1 } };
    }
    return undefined;
  }

  /** Reads a stretch on, unless there are that many events already or nothing more up to `committedSeq`. */
  fill(events: number, committedSeq: number): void {
    if (this.#events >= events || this.#readTo.seq > committedSeq) return;
    const from = this.#readTo;
    const { records, end } = this.#source.next(from);
    const isFirst = this.#at === this.#records.length;
    if (isFirst) this.#event = records[0]?.seq === from.seq ? Math.min(from.event, records[0].events.length) : 0;
    this.#records = isFirst ? records : [...this.#records.slice(this.#at), ...records];
    this.#at = 0;
    this.#readTo = end;
    if (isFirst) this.#events -= this.#event;
    for (const record of records) this.#events += record.events.length;
  }

  /**
   * The next request's piece, of at most that many events, or nothing. Records without events go along. What needs no
   * request comes answered: records without events alone, and a record that could not be described, which is dead.
   */
  take(maxEvents: number): Piece | undefined {
    const spans: Span[] = [];
    const events: LogEvent[] = [];
    let defect: string | undefined;
    while (this.#at < this.#records.length && defect === undefined) {
      const record = this.#records[this.#at] as DeliverableRecord;
      if (record.defect !== undefined && spans.length > 0) break;
      defect = record.defect;
      const from = this.#event;
      const to = Math.min(record.events.length, from + maxEvents - events.length);
      if (to === from && record.events.length > from) break;
      for (let event = from; event < to; event++) events.push(record.events[event] as LogEvent);
      spans.push({ record, from, to });
      this.#event = to;
      if (to < record.events.length) break;
      this.#at++;
      this.#event = 0;
    }
    this.#events -= events.length;
    const end = this.#position();
    if (spans.length === 0 && end.seq === this.#end.seq) return undefined;
    this.#end = end;
    const piece = createPiece(spans, events, end, { request: ++this.#requests, isPart: false, isSuspect: false });
    if (defect !== undefined) answer(piece, { kind: "dead", refusal: { reason: "internal", message: defect } });
    else if (events.length === 0) answer(piece, { kind: "taken", partial: undefined });
    return piece;
  }

  #position(): LogPosition {
    const record = this.#records[this.#at];
    if (record === undefined) return this.#readTo;
    return { seq: record.seq, record: record.record, event: this.#event };
  }
}
