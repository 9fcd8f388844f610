/**
 * Runs work over rows synchronously while they are in memory, and waits only if one has to be read. This saves the turn of the
 * event loop that an `await` per row would cost.
 */
import type { Awaitable } from "../journal/index.ts";

/** Yields the promises that it waits for. */
export type Steps<Result> = Generator<Promise<unknown>, Result, void>;

/** The answer, synchronously if it is not a promise. */
export function* taken<Answer>(answer: Awaitable<Answer>): Steps<Answer> {
  if (!(answer instanceof Promise)) return answer;
  const waited: Answer[] = [];
  yield answer.then((one) => waited.push(one));
  return waited[0] as Answer;
}

/** Runs all steps, synchronously if none has to wait. */
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

/** Ends the thread with an unexpected error, wherever it was caught. */
export function endThread(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

/** Runs one piece of work after another, synchronously unless earlier work is waiting. */
export class StepQueue {
  readonly #waiting: (() => Steps<void>)[] = [];
  readonly #onFailure: (error: unknown) => void;
  #isBusy = false;

  /** `onFailure`: called if work that had to wait throws; no work runs after that. */
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
