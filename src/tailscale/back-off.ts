/** How long to wait before a call of the API is made again. */

const firstDelayMs = 500;
const maxDelayMs = 10_000;

/**
 * The wait after so many attempts (1 or more), in milliseconds: 0.5 s, doubling to 10 s, of which the upper half is random;
 * not less than what the answer asked for.
 */
export function retryDelayMs(attempts: number, askedMs: number | undefined, random: () => number): number {
  const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(attempts - 1, 16)) * (0.5 + random() * 0.5);
  return Math.max(delayMs, askedMs ?? 0);
}

/** `Retry-After` in milliseconds from `nowMs`: seconds or a date, clamped to the longest wait; nothing where it is neither. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  const text = header?.trim() ?? "";
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), maxDelayMs);
}
