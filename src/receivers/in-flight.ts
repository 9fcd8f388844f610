/** Counts the requests that are being worked on, and says when there are none. */

export interface InFlight {
  enter(): void;
  leave(): void;
  /** Resolves when nothing is in flight; at once if nothing is. */
  idle(): Promise<void>;
}

/** `changed` is told of each request that enters or leaves. */
export function createInFlight(changed: (change: 1 | -1) => void): InFlight {
  const waiting: (() => void)[] = [];
  let count = 0;
  return {
    enter() {
      count++;
      changed(1);
    },
    leave() {
      count--;
      changed(-1);
      if (count === 0) for (const resolve of waiting.splice(0)) resolve();
    },
    async idle() {
      if (count > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}
