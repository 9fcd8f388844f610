/** The clock by which rows and keys age: a machine's clock that is wrong for an hour must not make a journal forget. */
import type { Clock } from "../lib/clock.ts";

/** How much faster than time it may go to catch up after a pause, and how often it is to be stored. */
const pace = 2;
const saveEveryMs = 60_000;

/** Rows from further ahead come from a clock that was wrong: they count as old. */
export const aheadMs = 24 * 3_600_000;

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
