/** The clock by which what is kept grows old. It never leaps ahead: a machine's clock that is wrong for an hour must not make it forget. */
import type { Clock } from "../../lib/clock.ts";
import type { State } from "./state.ts";

const name = "age";

/** How often it is written down, by itself. */
const saveEveryMs = 60_000;

/** How much faster than time passes it may go, to catch up after a pause. */
const pace = 2;

/**
 * It is never later than the machine's clock, and follows it back at once: what is kept then stays longer. If that leaps
 * ahead, or the process was down or asleep, it follows at twice the pace of time.
 */
export class AgeClock {
  readonly #state: State;
  readonly #clock: Clock;
  /** Milliseconds since any moment, going on whatever becomes of the machine's clock. */
  readonly #steady: Clock;
  #steadyAt: number;
  #now: number;
  #savedAt: number;

  /** @throws {Damaged} */
  constructor(state: State, createdAt: number, { clock, steady }: { readonly clock: Clock; readonly steady: Clock }) {
    this.#state = state;
    this.#clock = clock;
    this.#steady = steady;
    this.#steadyAt = steady();
    this.#savedAt = (state.readJson(name) as number | undefined) ?? createdAt;
    this.#now = Math.min(clock(), this.#savedAt);
  }

  /** Epoch milliseconds. */
  now(): number {
    const steadyAt = this.#steady();
    const elapsedMs = Math.max(0, steadyAt - this.#steadyAt);
    this.#steadyAt = steadyAt;
    this.#now = Math.min(this.#clock(), this.#now + pace * elapsedMs);
    return this.#now;
  }

  /** Whether it is time to write it down. */
  get isDue(): boolean {
    return Math.abs(this.#now - this.#savedAt) >= saveEveryMs;
  }

  /** Writes it down, in the caller's transaction. */
  save(): void {
    this.#state.writeJson(name, this.#now);
    this.#savedAt = this.#now;
  }
}
