/**
 * Work over rows that are usually in memory: it goes on at once while they are, and waits where one has to be read. A row costs no
 * turn of the event loop, as an `await` for each would.
 */
import type { Awaitable } from "../journal/index.ts";

/** Yields what it waits for. */
export type Steps<Result> = Generator<Promise<unknown>, Result, void>;

/** The answer, at once if it is there. */
export function* taken<Answer>(answer: Awaitable<Answer>): Steps<Answer> {
  if (!(answer instanceof Promise)) return answer;
  const waited: Answer[] = [];
  yield answer.then((one) => waited.push(one));
  return waited[0] as Answer;
}

/** Does all of it: at once if it need not wait. */
export function settled<Result>(steps: Steps<Result>): Awaitable<Result> {
  const step = steps.next();
  return step.done === true ? step.value : settledLater(steps, step.value);
}

async function settledLater<Result>(steps: Steps<Result>, first: Promise<unknown>): Promise<Result> {
  for (let waiting = first; ;) {
    await waiting;
    const step = steps.next();
    if (step.done === true) return step.value;
    waiting = step.value;
  }
}

/** An error that nobody expects ends the thread, from wherever it comes. */
export function endThread(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

/** Does one piece of work after the other: at once, as far as nothing that came before waits. */
export class StepQueue {
  readonly #waiting: (() => Steps<void>)[] = [];
  readonly #onFailure: (error: unknown) => void;
  #isBusy = false;

  /** `onFailure`: what comes of work that had to wait; it is the last. */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  add(work: () => Steps<void>): void {
    this.#waiting.push(work);
    if (!this.#isBusy) this.#run();
  }

  #run(): void {
    this.#isBusy = true;
    let waiting: Promise<void> | undefined;
    try {
      for (let next = this.#waiting.shift(); next !== undefined && waiting === undefined;) {
        const done = settled(next());
        if (done instanceof Promise) waiting = done;
        else next = this.#waiting.shift();
      }
    } finally {
      this.#isBusy = waiting !== undefined;
    }
    waiting?.then(() => this.#run()).catch(this.#onFailure);
  }
}
