/** The pieces past the cursor, in the journal's order, and the accounts of what has become of everything before it. */
import type { LogCursor, LogPosition, QuarantineItem } from "../journal/types.ts";
import type { DeliverableRecord, PlacedEvent } from "./delivery-source.ts";
import { type Piece, type Refusal, type Span, startOf } from "./piece.ts";

/** A cursor that may be committed, with what it passes and must be committed with it. */
export interface Advance {
  readonly cursor: LogCursor;
  readonly setAside: readonly QuarantineItem[];
}

/** Events of one record that were set aside. */
interface Loss {
  readonly refusal: Refusal;
  readonly events: number;
}

export class DeliveryWindow {
  #pieces: Piece[] = [];
  #cursor: LogCursor;
  #setAside: QuarantineItem[] = [];
  /** What the record under the cursor has lost so far. */
  #loss: Loss | undefined;

  constructor(cursor: LogCursor) {
    this.#cursor = cursor;
  }

  get pieces(): readonly Piece[] {
    return this.#pieces;
  }

  /** How many requests the pieces come from: what has been halved counts once. */
  get requests(): number {
    let requests = 0;
    let last: number | undefined;
    for (const piece of this.#pieces) {
      if (piece.request !== last) requests++;
      last = piece.request;
    }
    return requests;
  }

  /** The last log event in any piece. */
  get last(): PlacedEvent | undefined {
    const piece = this.#pieces.findLast(({ events }) => events.length > 0);
    const span = piece?.spans.findLast(({ from, to }) => to > from);
    const log = piece?.events.at(-1);
    if (span === undefined || log === undefined) return undefined;
    return { log, position: { ...startOf(span), event: span.to - 1 } };
  }

  /** The piece that is that one event and nothing else. */
  pieceOf(position: LogPosition): Piece | undefined {
    return this.#pieces.find(
      ({ events, spans }) =>
        events.length === 1 && spans.some((span) => span.to > span.from && isSame(startOf(span), position)),
    );
  }

  add(piece: Piece): void {
    this.#pieces.push(piece);
  }

  /** Puts parts in a piece's place. */
  replace(piece: Piece, parts: readonly Piece[]): void {
    this.#pieces.splice(this.#pieces.indexOf(piece), 1, ...parts);
  }

  /**
   * Passes the unbroken run of answered pieces. Nothing comes back where the cursor has not moved, or stands inside a
   * record that has lost events: such a record is committed whole, or a restart would count it twice.
   */
  advance(now: number): Advance | undefined {
    let passed = 0;
    for (const piece of this.#pieces) {
      if (piece.state !== "answered") break;
      this.#pass(piece, now);
      passed++;
    }
    if (passed === 0) return undefined;
    this.#pieces.splice(0, passed);
    if (this.#loss !== undefined) return undefined;
    const setAside = this.#setAside;
    this.#setAside = [];
    return { cursor: this.#cursor, setAside };
  }

  #pass(piece: Piece, now: number): void {
    const { verdict } = piece;
    const events = { ...this.#cursor.events };
    const records = { ...this.#cursor.records };
    if (verdict?.kind === "dead") {
      events.deadLettered += piece.events.length;
    } else {
      const rejected = Math.min(verdict?.partial?.rejected ?? 0, piece.events.length);
      events.rejected += rejected;
      events.delivered += piece.events.length - rejected;
      if (verdict?.partial !== undefined) this.#setAside.push(noteOf(piece, rejected, verdict.partial.message, now));
    }
    for (const span of piece.spans) {
      const isLost = verdict?.kind === "dead" && (span.to > span.from || span.record.defect !== undefined);
      if (isLost) this.#loss = addLoss(this.#loss, verdict.refusal, span.to - span.from);
      if (span.to < span.record.events.length) continue;
      if (this.#loss === undefined) {
        records.delivered += span.record.records;
        continue;
      }
      records.deadLettered += span.record.records;
      this.#setAside.push(deadLetterOf(span.record, this.#loss, now));
      this.#loss = undefined;
    }
    this.#cursor = { ...piece.end, records, events };
  }
}

function isSame(a: LogPosition, b: LogPosition): boolean {
  return a.seq === b.seq && a.record === b.record && a.event === b.event;
}

function addLoss(loss: Loss | undefined, refusal: Refusal, events: number): Loss {
  return { refusal: loss?.refusal ?? refusal, events: (loss?.events ?? 0) + events };
}

function deadLetterOf(record: DeliverableRecord, { refusal, events }: Loss, at: number): QuarantineItem {
  const many = record.events.length > 1 ? ` (${events} of its ${record.events.length} log events)` : "";
  return {
    class: "dead_letter",
    type: record.type,
    seq: record.seq,
    at,
    source: record.source,
    reason: refusal.reason,
    detail: `${refusal.message}${many}`,
    text: record.line,
  };
}

/** A backend does not say which records it rejected: the note gives the range, the records stay in the journal's retention. */
function noteOf(piece: Piece, rejected: number, message: string, at: number): QuarantineItem {
  const first = (piece.spans[0] as Span).record;
  const last = (piece.spans.at(-1) as Span).record;
  const range = `row ${first.seq} record ${first.record} to row ${last.seq} record ${last.record}`;
  return {
    class: "note",
    type: first.type,
    seq: first.seq,
    at,
    source: first.source,
    reason: "partial_success",
    detail: `the backend took a request of ${piece.events.length} log events and rejected ${rejected} of them: ${range}`,
    text: message,
  };
}
