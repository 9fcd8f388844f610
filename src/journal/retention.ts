/** How long and how much every engine keeps: shares of `state.max_bytes`, and the clock by which rows and keys age. */
import type { Clock } from "../lib/clock.ts";

/** Kept free for what leads out of "full": cursor, marks, snapshot, deletion. */
export const reserveBytes = 16 * 1024 * 1024;

/** The part of `state.max_bytes` that rows may take that only marks hold. */
export const markedShare = 1 / 4;

/** The part of `state.max_bytes` that a destination which is not required gives up at once. */
export const evictedShare = 1 / 16;

/** The part of `state.max_bytes` that minutes may take, and for how long they stay even if rows do not. */
const minutesShare = 1 / 16;
const minutesMs = 3_600_000;

/** Whether delivered rows leave before their time. */
export function isShort(usedBytes: number, maxBytes: number): boolean {
  return usedBytes > (maxBytes - reserveBytes) * 0.9;
}

export function fullText(usedBytes: number, maxBytes: number): string {
  return `the journal is full: it has ${usedBytes} bytes of undelivered records and dead letters, state.max_bytes is ${maxBytes}, of which ${reserveBytes} are reserved`;
}

/** Minutes outside of that range of time leave, and the oldest if all take more space. */
export interface MinuteBounds {
  readonly from: number;
  readonly until: number;
  readonly maxBytes: number;
}

/** `aged`: the clock by which they age. */
export function minuteBounds(aged: number, now: number, retentionMs: number, maxBytes: number): MinuteBounds {
  const from = aged - Math.max(retentionMs, minutesMs);
  return { from, until: now + aheadMs, maxBytes: maxBytes * minutesShare };
}

/** How much faster than time it may go to catch up after a pause, and how often it is to be stored. */
const pace = 2;
const saveEveryMs = 60_000;

/** Rows from further ahead come from a clock that was wrong: they count as old. */
export const aheadMs = 24 * 3_600_000;

/** A machine's clock that is wrong for an hour must not make a journal forget. */
export class Age {
  readonly #clock: Clock;
  readonly #steady: Clock;
  #steadyAt: number;
  /** Epoch milliseconds. */
  now: number;

  /** `stored`: where it stood last. `steady`: milliseconds since any moment, whatever happens to the machine's clock. */
  constructor(clock: Clock, steady: Clock, stored: number) {
    this.#clock = clock;
    this.#steady = steady;
    this.#steadyAt = steady();
    this.now = Math.min(clock(), stored);
  }

  /**
   * Never later than the machine's clock, which it follows back at once. If that leaps ahead, or the process was down or asleep,
   * it catches up slowly.
   */
  advance(): number {
    const steadyAt = this.#steady();
    const elapsedMs = Math.max(0, steadyAt - this.#steadyAt);
    this.#steadyAt = steadyAt;
    this.now = Math.min(this.#clock(), this.now + pace * elapsedMs);
    return this.now;
  }

  /** Whether it is to be stored again, where it was stored as that. */
  isFarFrom(stored: number | undefined): boolean {
    return Math.abs(this.now - (stored ?? 0)) >= saveEveryMs;
  }
}
