/** How long to wait before a retry: exponential back-off with jitter, and what a server asks for. */

/** The wait after one failure, and its bound, in milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** The wait after so many failures in a row (1 or more): doubling up to the bound, the upper half of it random. */
export function backoffMs(failures: number, { firstMs, maxMs }: Backoff, random: () => number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 20)) * (0.5 + random() * 0.5);
}

/** `Retry-After` as a wait of at most `maxMs`: seconds, or a date (RFC 9110, 10.2.3); `undefined` if it is neither. */
export function parseRetryAfter(header: string | null, nowMs: number, maxMs: number): number | undefined {
  const text = header?.trim() ?? "";
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), maxMs);
}
