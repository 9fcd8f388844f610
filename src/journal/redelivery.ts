/**
 * What is sent to the backend once more, on demand: a stretch of the journal (`replay`), or dead letters (`retry`). Each has a
 * position of its own in `cursor`, which survives a restart. It counts in no sum.
 */
import type { RecordType } from "../records/types.ts";
import { type LogCursor, type LogPosition, startOfJournal } from "./types.ts";

export type RedeliveryName = "replay" | "retry";

export const redeliveryNames: readonly RedeliveryName[] = ["replay", "retry"];

/** Which rows, by when they were received: epoch milliseconds, both inclusive. */
export interface RowRange {
  readonly since: number;
  readonly until: number;
}

/** Which dead letters: these, or all that share what is given. */
export interface LetterFilter {
  readonly ids?: readonly number[];
  readonly type?: RecordType | "unknown";
  readonly reason?: string;
}

/** What all of them share. The counts are of this redelivery alone: a record that is refused again is *dead-lettered* here. */
interface RedeliveryState extends LogCursor {
  /** Tells one from the next of the same name; epoch milliseconds at which it was asked for. */
  readonly id: number;
  /** The first row or item that is not part of it. */
  readonly untilSeq: number;
  /** Records that it is about. */
  readonly total: number;
  /** Epoch milliseconds. */
  readonly endedAt?: number;
  readonly isCancelled?: boolean;
}

export interface Replay extends RedeliveryState {
  readonly name: "replay";
  readonly range: RowRange;
}

export interface LetterRetry extends RedeliveryState {
  readonly name: "retry";
  readonly letters: LetterFilter;
}

export type Redelivery = Replay | LetterRetry;

/** How far one of them has come, as the worker reports it. */
export interface RedeliveryProgress {
  readonly name: RedeliveryName;
  readonly id: number;
  readonly cursor: LogCursor;
  /** Rows or items whose records were refused again, passed since the last report. */
  readonly refused: readonly number[];
}

/** Counts and position of one that has done nothing yet. */
export function beginningAt(seq: number): LogCursor {
  return { ...startOfJournal, seq };
}

export function isOver({ endedAt }: Redelivery): boolean {
  return endedAt !== undefined;
}

export function hasPassed({ untilSeq }: Redelivery, { seq }: LogPosition): boolean {
  return seq >= untilSeq;
}

/** Whether a dead letter is one of those. */
export function isAmong(
  { ids, type, reason }: LetterFilter,
  letter: { readonly id: number; readonly type: string; readonly reason: string },
): boolean {
  if (ids !== undefined && !ids.includes(letter.id)) return false;
  return (type === undefined || letter.type === type) && (reason === undefined || letter.reason === reason);
}
