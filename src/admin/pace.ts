/** Shares the main thread between reading the journal for those who look and everything else: reading works in short steps, and rests in between. */
import { setTimeout as delay } from "node:timers/promises";

/** A rest is so many times as long as the step before it: all readers together take a thirtieth of the thread while records come in. */
const restFactor = { busy: 29, idle: 1 };
const busyMs = 1000;

export class Pace {
  readonly #waiting = new Set<() => void>();
  #committedAt = Number.NEGATIVE_INFINITY;
  #restsUntil = 0;
  #last: Promise<unknown> = Promise.resolve();

  committed(): void {
    this.#committedAt = performance.now();
    this.wake();
  }

  wake(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Does one step of work in a turn of its own, behind those that came before and the rest after them. */
  step<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const mine = this.#last.then(async () => {
      await delay(Math.max(0, this.#restsUntil - performance.now()));
      return this.#timed(work);
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #timed<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const beganAt = performance.now();
    try {
      return await work();
    } finally {
      const endedAt = performance.now();
      const factor = endedAt - this.#committedAt < busyMs ? restFactor.busy : restFactor.idle;
      this.#restsUntil = endedAt + (endedAt - beganAt) * factor;
    }
  }

  /** Resolves with the next commit or `wake`, at the latest after that time. */
  async commit(atMostMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, atMostMs);
    this.#waiting.add(resolve);
    await promise;
    this.#waiting.delete(resolve);
    clearTimeout(timer);
  }
}
