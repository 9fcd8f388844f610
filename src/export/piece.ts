/** A run of log events that travels in one request, and what has become of it so far. */
import type { LogEvent } from "../catalogue/log-event.ts";
import type { LogPosition } from "../journal/types.ts";
import type { PartialSuccess } from "./answer.ts";
import type { DeliverableRecord } from "./delivery-source.ts";

/** The part of one record that a piece carries: its events from `from` up to `to`. */
export interface Span {
  readonly record: DeliverableRecord;
  readonly from: number;
  readonly to: number;
}

/** Why events are set aside: the closed set of dead letters' reasons. */
export type DeadLetterReason = "rejected" | "too_large" | "failing" | "internal";

export interface Refusal {
  readonly reason: DeadLetterReason;
  readonly message: string;
}

/** What a piece ends with. */
export type Verdict =
  | { readonly kind: "taken"; readonly partial: PartialSuccess | undefined }
  | { readonly kind: "dead"; readonly refusal: Refusal };

export interface Piece {
  readonly spans: readonly Span[];
  /** Of all spans, in order. */
  readonly events: readonly LogEvent[];
  /** Where the next piece begins. */
  readonly end: LogPosition;
  /** The request that it was, or was once a part of. */
  readonly request: number;
  readonly isPart: boolean;
  /** `accused`: refused, and nothing is decided before the backend has been tested. */
  state: "ready" | "sent" | "accused" | "answered";
  verdict: Verdict | undefined;
  refusal: Refusal | undefined;
  /** Tries in a row that ended without a word about the body. */
  failures: number;
  /** Epoch milliseconds. */
  firstFailureAt: number;
  /** Epoch milliseconds; not sent before. */
  readyAt: number;
  /** Part of a request that kept failing while the backend took others. */
  isSuspect: boolean;
  /** Refused alone, and the backend has taken something since: a second refusal decides. */
  isConfirming: boolean;
}

export function createPiece(
  spans: readonly Span[],
  events: readonly LogEvent[],
  end: LogPosition,
  from: { readonly request: number; readonly isPart: boolean; readonly isSuspect: boolean },
): Piece {
  return {
    spans,
    events,
    end,
    ...from,
    state: "ready",
    verdict: undefined,
    refusal: undefined,
    failures: 0,
    firstFailureAt: 0,
    readyAt: 0,
    isConfirming: false,
  };
}

export function answer(piece: Piece, verdict: Verdict): void {
  piece.state = "answered";
  piece.verdict = verdict;
}

/** Back to the queue, as if it had not been tried. */
export function release(piece: Piece, readyAt: number): void {
  piece.state = "ready";
  piece.readyAt = readyAt;
  piece.failures = 0;
  piece.refusal = undefined;
  piece.isConfirming = false;
}

/** Two pieces with half of the events each, in order. The piece must have two or more. */
export function halve(piece: Piece, fate: { readonly isSuspect: boolean }): [Piece, Piece] {
  const middle = piece.events.length >> 1;
  const left: Span[] = [];
  const right: Span[] = [];
  let before = 0;
  for (const span of piece.spans) {
    const events = span.to - span.from;
    const inLeft = Math.min(Math.max(middle - before, 0), events);
    if (inLeft > 0 || (events === 0 && before < middle)) left.push({ ...span, to: span.from + inLeft });
    if (inLeft < events || (events === 0 && before >= middle)) right.push({ ...span, from: span.from + inLeft });
    before += events;
  }
  const from = { request: piece.request, isPart: true, isSuspect: fate.isSuspect };
  return [
    createPiece(left, piece.events.slice(0, middle), startOf(right[0] as Span), from),
    createPiece(right, piece.events.slice(middle), piece.end, from),
  ];
}

/** Where a span begins. */
export function startOf({ record, from }: Span): LogPosition {
  return { seq: record.seq, record: record.record, event: from };
}
