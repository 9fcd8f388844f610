/** How long to wait before the next try, and what to say of an outage while it lasts. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";

/** A number from 0 up to 1. */
export type Random = () => number;

const firstDelayMs = 1_000;
const maxDelayMs = 60_000;

/** Between two summaries of an outage. */
const summaryIntervalMs = 300_000;

/**
 * The wait after the given number of failures in a row (1 or more), in milliseconds: 1 s, doubling to 60 s, of which
 * the upper half is random. A wait that the backend asked for is kept to, never less than a second, and spread by a
 * tenth so that waiting senders do not come back together.
 */
export function backoffMs(failures: number, retryAfterMs: number | undefined, random: Random): number {
  if (retryAfterMs !== undefined) return Math.max(retryAfterMs, firstDelayMs) * (1 + random() * 0.1);
  const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures - 1, 16));
  return delayMs * (0.5 + random() * 0.5);
}

/** What is wrong, since when (epoch milliseconds). */
export interface Trouble {
  readonly why: string;
  readonly since: number;
}

/** Logs the first failure and the recovery, and a summary every five minutes in between. */
export class Outage {
  readonly #what: string;
  readonly #logger: Logger;
  readonly #clock: Clock;
  #trouble: Trouble | undefined;
  #failures = 0;
  #saidAt = 0;

  constructor(what: string, deps: { readonly logger: Logger; readonly clock: Clock }) {
    this.#what = what;
    this.#logger = deps.logger;
    this.#clock = deps.clock;
  }

  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  fail(why: string): void {
    const now = this.#clock();
    this.#failures++;
    if (this.#trouble === undefined) {
      this.#trouble = { why, since: now };
      this.#saidAt = now;
      this.#logger.warn(`${this.#what} cannot be delivered; trying until they are`, { why });
      return;
    }
    this.#trouble = { why, since: this.#trouble.since };
    if (now - this.#saidAt < summaryIntervalMs) return;
    this.#saidAt = now;
    this.#logger.warn(`${this.#what} still cannot be delivered`, {
      why,
      failures: this.#failures,
      seconds: this.#seconds(now),
    });
  }

  recover(): void {
    if (this.#trouble === undefined) return;
    this.#logger.info(`${this.#what} are delivered again`, {
      failures: this.#failures,
      seconds: this.#seconds(this.#clock()),
    });
    this.#trouble = undefined;
    this.#failures = 0;
  }

  #seconds(now: number): number {
    return Math.round((now - (this.#trouble?.since ?? now)) / 1000);
  }
}
