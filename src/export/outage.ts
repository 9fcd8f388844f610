/** How long to wait before the next try, how delivery fares, and what is logged about it. */
import { backoffMs } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { LogFields, Logger } from "../lib/logger.ts";
import type { NewMark } from "../journal/index.ts";

/** A number from 0 up to 1. */
export type Random = () => number;

/** Calls back after some milliseconds, unless the returned function is called first. */
export type Timer = (delayMs: number, callback: () => void) => () => void;

/** How delivery fares, for health and the page. `since`: epoch milliseconds. */
export type DeliveryState =
  | { readonly kind: "idle" }
  | { readonly kind: "delivering" }
  /** Requests fail without a word about their bodies. */
  | { readonly kind: "waiting"; readonly why: string; readonly since: number }
  /** Everything that is tried is refused. */
  | { readonly kind: "refusing"; readonly why: string; readonly since: number };

const backoff = { firstMs: 1_000, maxMs: 60_000 };

/**
 * The wait after so many failures in a row, in milliseconds. One that the backend asks for is honored, never less than a
 * second, and spread by a tenth so that waiting senders do not come back together.
 */
export function exportBackoffMs(failures: number, retryAfterMs: number | undefined, random: Random): number {
  return retryAfterMs === undefined
    ? backoffMs(failures, backoff, random)
    : Math.max(retryAfterMs, backoff.firstMs) * (1 + random() * 0.1);
}

/** Between two lines about the same thing. */
const periodMs = 300_000;

/** Lines about an export that comes and goes: so many at once, and then one in that time. Two are kept for the recovery. */
const maxLines = 5;
const msPerLine = 180_000;
const recoveryLines = 2;

export type Trouble = Extract<DeliveryState, { readonly why: string }>;

/**
 * Logs at once that an export fails, that the cause has changed, and the recovery; a failure that lasts, every five minutes.
 * Lines are limited for an export that comes and goes, and a recovery is logged only while the next failure can be: the log
 * never ends with "recovered" during an outage.
 */
export class Outage {
  readonly #subject: "log export" | "metric export";
  readonly #logger: Logger;
  readonly #clock: Clock;
  #trouble: Trouble | undefined;
  #failures = 0;
  /** Of the first failure after the last recovery that was logged. */
  #since: number | undefined;
  #lineAt = Number.NEGATIVE_INFINITY;
  /** The time since which lines have been saved up. */
  #savedSince = Number.NEGATIVE_INFINITY;
  /** What was logged of this outage, since the last line that was due. */
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

  /** Called as long as all is well. */
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

/** Losses are gathered this long before the first line about them. */
const gatherMs = 2_000;

/** Logs what the backend rejected: per message one line in five minutes, with the counts. */
export class LossReport {
  readonly #logger: Logger;
  readonly #timer: Timer;
  readonly #losses = new Map<string, LogFields>();
  #cancel: (() => void) | undefined;

  constructor(logger: Logger, timer: Timer) {
    this.#logger = logger;
    this.#timer = timer;
  }

  /** Adds to the field `name` of that message. Its other fields are those given last. */
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
