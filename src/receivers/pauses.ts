/** Lets the event loop run other work while a large request is processed. */
import { setImmediate } from "node:timers";

/** Time slice of one request before other work on the event loop runs. */
const stepMs = 8;

/** Of one request. */
export interface Pauses {
  /** Drives work that yields wherever it may pause. @throws what the work and `checkDeadline` throw. */
  run(work: Iterable<void>, checkDeadline: () => void): Promise<void>;
}

/** Requests that share the event loop: paused ones go on in the order in which they paused, one step each. */
export function createPauses(): { open(): Pauses } {
  let last = Promise.resolve();
  return {
    open() {
      let beganMs = performance.now();

      async function pauseIfDue(): Promise<void> {
        if (performance.now() - beganMs <= stepMs) return;
        last = last.then(nextTurn);
        await last;
        beganMs = performance.now();
      }

      return {
        async run(work, checkDeadline) {
          await pauseIfDue();
          checkDeadline();
          for (const _ of work) {
            if (performance.now() - beganMs <= stepMs) continue;
            await pauseIfDue();
            checkDeadline();
          }
        },
      };
    },
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
