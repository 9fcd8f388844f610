/** Reads how long a server asks to be left alone. */

/**
 * `Retry-After` in milliseconds from `nowMs`: seconds, or a date (RFC 9110, 10.2.3), at most `maxMs`; nothing where it is
 * neither.
 */
export function parseRetryAfter(header: string | null, nowMs: number, maxMs: number): number | undefined {
  const text = header?.trim() ?? "";
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), maxMs);
}
