/** Lets large bodies take turns, one slice each, with room between two slices for whatever else waits for the event loop. */

import { setImmediate } from "node:timers";

export interface Turns {
  /** Resolves when it is the caller's turn, in order of asking. */
  next(): Promise<void>;
}

export function createTurns(): Turns {
  let last = Promise.resolve();
  return {
    next() {
      last = last.then(breath);
      return last;
    },
  };
}

function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
