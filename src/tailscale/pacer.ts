/** Keeps requests apart, so that there are not more than so many a second. */

/** Waits for one's turn; turns are given in the order of asking. */
export type Pacer = (signal: AbortSignal | undefined) => Promise<void>;

/** `perSecond` 0 or less: nobody waits. */
export function createPacer(perSecond: number, sleep: (ms: number, signal?: AbortSignal) => Promise<void>): Pacer {
  if (!(perSecond > 0)) return () => Promise.resolve();
  const apartMs = 1000 / perSecond;
  let nextAt = -Infinity;
  return async (signal) => {
    const now = performance.now();
    const turnAt = Math.max(now, nextAt);
    nextAt = turnAt + apartMs;
    if (turnAt > now) await sleep(turnAt - now, signal);
  };
}
