/** Decides how long exports back off, tracks their outages, and limits what is logged about them. */
import { backoffMs } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { LogFields, Logger } from "../lib/logger.ts";
import type { NewMark } from "../journal/index.ts";

/** Returns a number from 0 (inclusive) to 1 (exclusive). */
export type Random = () => number;

/** Calls back after some milliseconds, unless the returned function is called first. */
export type Timer = (delayMs: number, callback: () => void) => () => void;

/** The state of delivery, for health and the page. `since`: epoch milliseconds. */
export type DeliveryState =
  | { readonly kind: "idle" }
  | { readonly kind: "delivering" }
  /** Requests fail for reasons other than their bodies. */
  | { readonly kind: "waiting"; readonly why: string; readonly since: number }
  /** Everything that is tried is refused. */
  | { readonly kind: "refusing"; readonly why: string; readonly since: number };

const backoff = { firstMs: 1_000, maxMs: 60_000 };

/**
 * The back-off after consecutive failures, in milliseconds. A `Retry-After` is honored, but is at least a second, and is
 * extended by up to a tenth so that waiting senders do not come back together.
 */
export function exportBackoffMs(failures: number, retryAfterMs: number | undefined, random: Random): number {
  return retryAfterMs === undefined
    ? backoffMs(failures, backoff, random)
    : Math.max(retryAfterMs, backoff.firstMs) * (1 + random() * 0.1);
}

/** Time between two lines about the same thing. */
const periodMs = 300_000;

/** Rate limit for lines about a flapping export: a burst, then one per `msPerLine`. Two are reserved for the recovery. */
const maxLines = 5;
const msPerLine = 180_000;
const recoveryLines = 2;

export type Trouble = Extract<DeliveryState, { readonly why: string }>;

/**
 * Logs failure, change of cause and recovery of an export at once, and a lasting failure every five minutes. Lines about a
 * flapping export are rate limited, and a recovery is logged only if the next failure can be logged too, so the log never ends
 * with "recovered" during an outage.
 */
export class Outage {
  readonly #subject: "log export" | "metric export";
  readonly #logger: Logger;
  readonly #clock: Clock;
  #trouble: Trouble | undefined;
  #failures = 0;
  /** Time of the first failure after the last logged recovery. */
  #since: number | undefined;
  #lineAt = Number.NEGATIVE_INFINITY;
  /** Time from which unused lines of the rate limit have accumulated. */
  #savedSince = Number.NEGATIVE_INFINITY;
  /** Causes logged in this outage since the last line that was due. */
  readonly #causes = new Set<string>();
  #loggedKind: Trouble["kind"] | undefined;

  constructor(subject: "log export" | "metric export", logger: Logger, clock: Clock) {
    this.#subject = subject;
    this.#logger = logger;
    this.#clock = clock;
  }

  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  fail(kind: Trouble["kind"], why: string): void {
    const now = this.#clock();
    this.#failures++;
    this.#trouble = { kind, why, since: this.#trouble?.since ?? now };
    this.#since ??= now;
    const cause = `${kind} ${why}`;
    const isDue = Math.abs(now - this.#lineAt) >= periodMs;
    const needed = this.#loggedKind === undefined ? 1 : 1 + recoveryLines;
    if (!isDue && (this.#causes.has(cause) || this.#linesLeft(now) < needed)) return;
    const [first, again] =
      kind === "waiting"
        ? [`${this.#subject} failing; retrying`, `${this.#subject} still failing`]
        : [
            "the backend rejects every log record; keeping logs until it accepts them",
            "the backend still rejects every log record",
          ];
    this.#log("warn", this.#loggedKind === kind ? again : first, { why });
    if (isDue) this.#causes.clear();
    this.#causes.add(cause);
    this.#loggedKind = kind;
  }

  /** Called repeatedly while all is well. */
  recover(): void {
    this.#trouble = undefined;
    if (this.#since === undefined || this.#linesLeft(this.#clock()) < recoveryLines) return;
    if (this.#loggedKind !== undefined) this.#log("info", `${this.#subject} recovered`, {});
    this.#since = undefined;
    this.#failures = 0;
    this.#causes.clear();
    this.#loggedKind = undefined;
  }

  #linesLeft(now: number): number {
    return Math.min(maxLines, Math.abs(now - this.#savedSince) / msPerLine);
  }

  #log(level: "info" | "warn", message: string, fields: { readonly why?: string }): void {
    const now = this.#clock();
    const seconds = Math.round((now - (this.#since ?? now)) / 1000);
    const counted = this.#loggedKind === undefined ? {} : { failures: this.#failures, seconds };
    this.#logger[level](message, { ...fields, ...counted });
    this.#savedSince = now - Math.max(0, this.#linesLeft(now) - 1) * msPerLine;
    this.#lineAt = now;
  }
}

/** Losses are collected this long before the first line about them. */
const gatherMs = 2_000;

/** Logs what the backend rejected: one line per message every five minutes, with the counts. */
export class LossReport {
  readonly #logger: Logger;
  readonly #timer: Timer;
  readonly #losses = new Map<string, LogFields>();
  #cancel: (() => void) | undefined;

  constructor(logger: Logger, timer: Timer) {
    this.#logger = logger;
    this.#timer = timer;
  }

  /** Adds `count` to the field `name` of a message. Its other fields are those given last. */
  add(message: string, name: string, count: number, fields: LogFields): void {
    const before = this.#losses.get(message);
    this.#losses.set(message, { ...before, ...fields, [name]: Number(before?.[name] ?? 0) + count });
    this.#cancel ??= this.#timer(gatherMs, () => this.#report());
  }

  addMarks(marks: readonly NewMark[]): void {
    for (const { why, from, to, logRecords, message: reason } of marks)
      if (why === "partial")
        this.add("the backend accepted only a part of some requests", "rejected", logRecords, { reason });
      else this.add("backend rejected log records; kept as dead letters", why, to - from, { reason });
  }

  /** Logs what was not logged yet. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const [message, fields] of this.#losses) this.#logger.warn(message, fields);
    this.#losses.clear();
  }

  #report(): void {
    const isOver = this.#losses.size === 0;
    this.flush();
    if (!isOver) this.#cancel = this.#timer(periodMs, () => this.#report());
  }
}
