/** How long to wait before the next try, how delivery fares, and what is logged about it. */
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { NewMark, Progress } from "../../journal/index.ts";
import type { Channel, DeliverySource, Place, Random, Timer } from "./source.ts";

/** How delivery fares, for health and the page. `since`: epoch milliseconds. */
export type DeliveryState =
  | { readonly kind: "idle" }
  | { readonly kind: "delivering" }
  /** Requests fail without a word about their bodies. */
  | { readonly kind: "waiting"; readonly why: string; readonly since: number }
  /** Everything that is tried is refused. */
  | { readonly kind: "refusing"; readonly why: string; readonly since: number };

/** What the surroundings of a delivery are. */
export interface DeliveryDeps {
  readonly source: DeliverySource;
  readonly channel: Channel;
  /** Requests past the cursor while all is well. */
  readonly concurrency: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly timer: Timer;
  readonly logger: Logger;
  /** The cursor has moved. Marks are committed with it. */
  onProgress(progress: Progress): void;
  onState(state: DeliveryState): void;
}

export function isSameState(a: DeliveryState, b: DeliveryState): boolean {
  return a.kind === b.kind && ("why" in a ? a.why : "") === ("why" in b ? b.why : "");
}

const firstDelayMs = 1_000;
const maxDelayMs = 60_000;

/** Between two lines about the same thing. */
const periodMs = 300_000;

/** What has failed this often, for this long, is narrowed like what was refused. */
const persistentFailures = 10;
const persistentForMs = 300_000;

/** Dead letters are gathered this long before the first line about them. */
const gatherMs = 2_000;

/**
 * The wait after the given number of failures in a row (1 or more), in milliseconds: 1 s, doubling to 60 s, of which the
 * upper half is random. A wait that the backend asks for is honoured, never less than a second, and spread by a tenth so
 * that waiting senders do not come back together.
 */
export function backoffMs(failures: number, retryAfterMs: number | undefined, random: Random): number {
  if (retryAfterMs !== undefined) return Math.max(retryAfterMs, firstDelayMs) * (1 + random() * 0.1);
  const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures - 1, 16));
  return delayMs * (0.5 + random() * 0.5);
}

export type Trouble = Extract<DeliveryState, { readonly why: string }>;

/** Logs failures of an export and the recovery from them: at most once in five minutes, as often as things may change. */
export class Outage {
  readonly #subject: "log export" | "metric export";
  readonly #logger: Logger;
  readonly #clock: Clock;
  #trouble: Trouble | undefined;
  #failures = 0;
  #saidAt = Number.NEGATIVE_INFINITY;
  /** What failed last, how often in a row, and since when. */
  #failing: { readonly from: Place; readonly failures: number; readonly since: number } | undefined;
  /** Whether a line has told of this trouble. */
  #isSaid = false;

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
    if (Math.abs(now - this.#saidAt) < periodMs) return;
    const [first, again] =
      kind === "waiting"
        ? [`${this.#subject} failing; retrying`, `${this.#subject} still failing`]
        : ["backend refuses every log record; holding logs", "backend still refuses every log record"];
    const fields = this.#isSaid ? { failures: this.#failures, seconds: this.#seconds } : {};
    this.#logger.warn(this.#isSaid ? again : first, { why, ...fields });
    this.#saidAt = now;
    this.#isSaid = true;
  }

  recover(): void {
    if (this.#isSaid)
      this.#logger.info(`${this.#subject} recovered`, { failures: this.#failures, seconds: this.#seconds });
    this.#trouble = undefined;
    this.#failures = 0;
    this.#isSaid = false;
  }

  /** Counts a failure of what begins there. Only the oldest is tried again and again. */
  failsForMinutes(from: Place): boolean {
    const now = this.#clock();
    const known = this.#isFailing(from) ? this.#failing : undefined;
    const { failures, since } = known ?? { failures: 0, since: now };
    this.#failing = { from, failures: failures + 1, since };
    return failures + 1 >= persistentFailures && now - since >= persistentForMs;
  }

  /** What begins there was answered. */
  answered(from: Place): void {
    if (this.#isFailing(from)) this.#failing = undefined;
  }

  #isFailing({ seq, at }: Place): boolean {
    return this.#failing?.from.seq === seq && this.#failing.from.at === at;
  }

  get #seconds(): number {
    return Math.round((this.#clock() - (this.#trouble?.since ?? 0)) / 1000);
  }
}

/** Counts what happens often. It returns how much to tell of now: nothing if that was done a short while ago. */
export function seldom(clock: Clock): (more: number) => number {
  let count = 0;
  let saidAt = Number.NEGATIVE_INFINITY;
  return (more) => {
    count += more;
    const now = clock();
    if (Math.abs(now - saidAt) < periodMs) return 0;
    const told = count;
    saidAt = now;
    count = 0;
    return told;
  };
}

/** Logs what became dead letters or was rejected: one line per five minutes with the counts. */
export class LossReport {
  readonly #logger: Logger;
  readonly #timer: Timer;
  #counts: Record<string, number> = {};
  #message = "";
  #cancel: (() => void) | undefined;

  constructor(logger: Logger, timer: Timer) {
    this.#logger = logger;
    this.#timer = timer;
  }

  add(marks: readonly NewMark[]): void {
    for (const { why, from, to, logRecords, message } of marks) {
      this.#counts[why] = (this.#counts[why] ?? 0) + (why === "partial" ? logRecords : to - from);
      this.#message = message;
    }
    if (marks.length > 0) this.#cancel ??= this.#timer(gatherMs, () => this.#say());
  }

  /** Says what was not said yet. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const { partial, ...dead } = this.#counts;
    const message = this.#message;
    if (Object.keys(dead).length > 0)
      this.#logger.warn("backend rejected log records; kept as dead letters", { ...dead, message });
    if (partial !== undefined)
      this.#logger.warn("backend kept only a part of some requests", { rejected: partial, message });
    this.#counts = {};
  }

  #say(): void {
    this.flush();
    this.#cancel = this.#timer(periodMs, () => {
      this.#cancel = undefined;
      if (Object.keys(this.#counts).length > 0) this.#say();
    });
  }
}
