/** How long to wait before a call of the API is made again. */

const firstDelayMs = 500;

/** Also the longest that a server's own wish is followed. */
export const maxDelayMs = 10_000;

/**
 * The wait after so many attempts (1 or more), in milliseconds: 0.5 s, doubling to 10 s, of which the upper half is random;
 * not less than what the answer asked for.
 */
export function retryDelayMs(attempts: number, askedMs: number | undefined, random: () => number): number {
  const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(attempts - 1, 16)) * (0.5 + random() * 0.5);
  return Math.max(delayMs, askedMs ?? 0);
}
