/** Tries until it succeeds, however long that takes: waits grow to a bound, and the log is told without being filled. */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { TailscaleError } from "./error.ts";

export interface PatienceDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  /** A number from 0 up to 1. */
  readonly random: () => number;
}

/** Waits after a failure: the first, doubling up to the last, milliseconds; the upper half of each is random. */
export interface Waits {
  readonly firstMs: number;
  readonly maxMs: number;
}

export const usualWaits: Waits = { firstMs: 2_000, maxMs: 300_000 };

/** Tells of failures: one that is news, and one that lasts every ten minutes. */
export interface Complaints {
  fail(error: unknown): void;
  succeed(): void;
}

const repeatMs = 600_000;

/** `what`: as a log line begins, such as `the webhook cannot be set up`. */
export function createComplaints(what: string, { logger, clock }: Pick<PatienceDeps, "logger" | "clock">): Complaints {
  let last: { readonly reason: string; readonly at: number } | undefined;
  return {
    fail(error) {
      const reason = error instanceof Error ? error.message : String(error);
      const now = clock();
      if (last?.reason === reason && now >= last.at && now - last.at < repeatMs) return;
      last = { reason, at: now };
      const remedy = error instanceof TailscaleError ? error.remedy : undefined;
      logger.warn(`${what}; it is tried again until it works`, { reason, remedy });
    },
    succeed() {
      last = undefined;
    },
  };
}

/** The first result of the work, or nothing when `signal` has ended the wait. */
export async function keepTrying<Result>(
  what: string,
  work: () => Promise<Result>,
  { waits, signal, ...deps }: PatienceDeps & { readonly waits: Waits; readonly signal: AbortSignal },
): Promise<Result | undefined> {
  const complaints = createComplaints(what, deps);
  for (let failures = 0; !signal.aborted;) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      complaints.fail(error);
      failures++;
    }
    const fullMs = Math.min(waits.maxMs, waits.firstMs * 2 ** Math.min(failures - 1, 20));
    await pause(fullMs * (0.5 + deps.random() * 0.5), signal);
  }
  return undefined;
}

/** Resolves when the time is over, or when it is no longer worth waiting. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(cutShort);
}

function cutShort(): void {}
