/** How long and how much every engine retains: shares of `state.max_bytes`, and the clock by which rows and keys age. */
import type { Clock } from "../lib/clock.ts";

/** Reserved for what must still be written when the journal is full: cursor, marks, snapshot, deletion. */
export const reserveBytes = 16 * 1024 * 1024;

/** Share of `state.max_bytes` for rows that only marks hold. */
export const markedShare = 1 / 4;

/** Share of `state.max_bytes` that is evicted at once from a destination that is not required. */
export const evictedShare = 1 / 16;

/** Share of `state.max_bytes` for minutes, and how long they are kept even if rows are not. */
const minutesShare = 1 / 16;
const minutesMs = 3_600_000;

/** True if delivered rows are to be deleted before the end of their retention. */
export function isShort(usedBytes: number, maxBytes: number): boolean {
  return usedBytes > (maxBytes - reserveBytes) * 0.9;
}

export function fullText(usedBytes: number, maxBytes: number): string {
  return `the journal is full: it has ${usedBytes} bytes of undelivered records and dead letters, state.max_bytes is ${maxBytes}, of which ${reserveBytes} are reserved`;
}

/** Minutes outside this time range are deleted, and the oldest ones if all together take more space. */
export interface MinuteBounds {
  readonly from: number;
  readonly until: number;
  readonly maxBytes: number;
}

/** `aged`: the clock by which minutes age. */
export function minuteBounds(aged: number, now: number, retentionMs: number, maxBytes: number): MinuteBounds {
  const from = aged - Math.max(retentionMs, minutesMs);
  return { from, until: now + aheadMs, maxBytes: maxBytes * minutesShare };
}

/** How much faster than real time the age catches up after a pause, and how often it is stored. */
const pace = 2;
const saveEveryMs = 60_000;

/** Rows from further in the future come from a wrong clock and count as old. */
export const aheadMs = 24 * 3_600_000;

/** The clock by which rows and keys age, so that a system clock that is wrong for an hour does not make a journal forget. */
export class Age {
  readonly #clock: Clock;
  readonly #steady: Clock;
  #steadyAt: number;
  /** Epoch milliseconds. */
  now: number;

  /** `stored`: the last stored value. `steady`: a monotonic clock in milliseconds, independent of the system clock. */
  constructor(clock: Clock, steady: Clock, stored: number) {
    this.#clock = clock;
    this.#steady = steady;
    this.#steadyAt = steady();
    this.now = Math.min(clock(), stored);
  }

  /**
   * Never later than the system clock, and follows it back at once. If the system clock leaps ahead, or the process was down or
   * suspended, it catches up slowly.
   */
  advance(): number {
    const steadyAt = this.#steady();
    const elapsedMs = Math.max(0, steadyAt - this.#steadyAt);
    this.#steadyAt = steadyAt;
    this.now = Math.min(this.#clock(), this.now + pace * elapsedMs);
    return this.now;
  }

  /** True if it differs enough from the stored value to be stored again. */
  isFarFrom(stored: number | undefined): boolean {
    return Math.abs(this.now - (stored ?? 0)) >= saveEveryMs;
  }
}
