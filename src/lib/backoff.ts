/** How long to wait before a retry, and the loop that retries until the work succeeds. */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";
import { messageOf } from "./system-error.ts";

/** The wait after the first failure and its limit, in milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** The wait after this many consecutive failures (1 or more): doubles up to the limit, and its upper half is random. */
export function backoffMs(failures: number, { firstMs, maxMs }: Backoff, random: () => number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 20)) * (0.5 + random() * 0.5);
}

/** `Retry-After` (RFC 9110, 10.2.3) as a wait of at most `maxMs`: seconds, or a date; `undefined` if it is neither. */
export function parseRetryAfter(header: string | null, nowMs: number, maxMs: number): number | undefined {
  const text = header?.trim() ?? "";
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), maxMs);
}

export interface RetryDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  /** A number from 0 up to 1. */
  readonly random: () => number;
}

/** A reason that persists is logged again after this time. */
const reminderMs = 600_000;

/**
 * The first result of the work; `undefined` if `signal` aborts first. A failure is logged if its reason is new, with the error's
 * `remedy` if it has one, and so is the success after it. An error's `retryAfterSeconds` replaces the back-off. `what` says what
 * the work does, such as `read the list`.
 */
export async function keepTrying<Result>(
  what: string,
  work: () => Promise<Result>,
  { backoff, signal, logger, clock, random }: RetryDeps & { readonly backoff: Backoff; readonly signal: AbortSignal },
): Promise<Result | undefined> {
  let logged = { reason: "", at: 0 };
  for (let failures = 0; !signal.aborted;) {
    let waitMs: number;
    try {
      const result = await work();
      if (failures > 0) logger.info(`retry succeeded: ${what}`, { failures });
      return result;
    } catch (error) {
      if (signal.aborted) return undefined;
      failures++;
      const reason = messageOf(error);
      if (reason !== logged.reason || Math.abs(clock() - logged.at) >= reminderMs) {
        logged = { reason, at: clock() };
        const remedy = error instanceof Error && "remedy" in error ? String(error.remedy) : undefined;
        logger.warn(`cannot ${what}; retrying`, { reason, remedy });
      }
      const isTimed = error instanceof Error && "retryAfterSeconds" in error;
      waitMs = isTimed ? Number(error.retryAfterSeconds) * 1000 : backoffMs(failures, backoff, random);
    }
    await pause(waitMs, signal);
  }
  return undefined;
}

/** Resolves after the time, or when the signal aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

/** Resolves when the work has ended, or after `deadlineMs`. */
export async function waitAtMost(work: Promise<unknown>, deadlineMs: number): Promise<void> {
  const late = new AbortController();
  await Promise.race([work, pause(deadlineMs, late.signal)]);
  late.abort();
}
