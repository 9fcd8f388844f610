/** Shares the main thread between readers of the journal and everything else: reading runs in short steps, with rests between. */
import { setTimeout as delay } from "node:timers/promises";

/** A rest is this many times as long as the step before: while records arrive, all readers use a thirtieth of the thread. */
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

  /** Runs one step of work after all earlier ones and the rest that follows them. */
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

  /** Resolves with the next commit or `wake`, or after that time. */
  async commit(atMostMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, atMostMs);
    this.#waiting.add(resolve);
    await promise;
    this.#waiting.delete(resolve);
    clearTimeout(timer);
  }
}
