/**
 * Decides what to try next after a refusal, and when to give a part up. Oldest first, one request at a time.
 *
 * 1. A refused request is split into its first log record and two halves. A log record refused alone is accused.
 * 2. After an accused part, single log records are probed: the first ten one after another, then each up to half of the
 *    accused part further on, so that a run of any length costs a few dozen requests. What lies between them is accused
 *    too; between the last refused and the first accepted probe, the end of the run is found by bisection.
 * 3. A try goes at most 30 minutes of event time (or a sixteenth of what the accused part covers) beyond the last, because a
 *    backend such as Loki refuses events that are an hour older than the newest that it has accepted.
 * 4. A part is dead if something later was accepted after it was accused, and then its first log record, its last and
 *    about eight random ones were refused again.
 * 5. While nothing has been accepted since the oldest part was accused, its first log record is tried again before anything
 *    later, unless it was tried within the last second. If it is accepted, all accusations are void and delivery resumes there.
 */
import { type Backlog, isBefore, type Place, type Reading, type Refusal, sizeOf, type Stretch } from "./backlog.ts";
import type { Random } from "./outage.ts";
import type { Span } from "./requests.ts";
import type { Steps } from "./steps.ts";

/**
 * A request to make: a stretch, or one log record of it. A `probe` is in a ready stretch; a `confirmation` and the `oldest`
 * are in an accused one. Times cover what was read up to its end.
 */
export interface Try extends Reading {
  readonly kind: "request" | "probe" | "confirmation" | "oldest";
  readonly stretch: Stretch;
}

/** Log records of an accused part that are tried again; so many in a row are refused alone before any is skipped. */
const enoughSamples = 10;
/** A request that has failed this often, for this long, is narrowed as if refused; each part must fail `enoughFailures` times. */
const persistentFailures = 10;
const persistentForMs = 300_000;
const enoughFailures = 3;
/** Maximum number of log records between two probes, because they are read in one go. */
const maxStride = 50_000;
/** The oldest accused log record is not tried again within this time. */
const oldestFreshMs = 1_000;

export class Narrowing {
  /** The number of requests sent, and so the number of the last one. */
  sent = 0;
  readonly #backlog: Backlog;
  readonly #random: Random;
  /** True if delivery comes to an end, where what is still accused is decided without anything later being accepted. */
  readonly #ends: boolean;
  /** The accused part that is being confirmed, and up to where it was refused again. */
  #confirming: { readonly stretch: Stretch; readonly refused: Place } | undefined;
  #lastAccepted = 0;
  /** Where the last failed try begins, how often it has failed in a row, and since when. */
  #failing = { at: -1, failures: 0, since: 0 };
  #oldestTriedAt = Number.NEGATIVE_INFINITY;

  constructor(backlog: Backlog, random: Random, kind: "endless" | "ends") {
    this.#backlog = backlog;
    this.#random = random;
    this.#ends = kind === "ends";
  }

  /** True if requests must go one at a time. */
  get isCareful(): boolean {
    return this.#backlog.stretches.some(({ state }) => state === "ready" || state === "accused");
  }

  /** True if something is accused and nothing has been accepted since. */
  get isRefusingAll(): boolean {
    const oldest = this.#oldest;
    return oldest !== undefined && this.#lastAccepted <= oldest.request;
  }

  /** True if nothing of a whole request has been accepted, as far as it was tried. */
  get isWholeRefused(): boolean {
    return this.#lastAccepted < (this.#oldest?.origin ?? 0);
  }

  /** True if enough was tried to rely on `isWholeRefused`. */
  get isEnough(): boolean {
    return this.#oldest !== undefined && sizeOf(this.#oldest) >= enoughSamples;
  }

  /** The backend's message about the oldest accused part. */
  get why(): string {
    return this.#oldest?.refusal?.message ?? "";
  }

  /** After a pause, the oldest is tried first. */
  pause(): void {
    this.#oldestTriedAt = Number.NEGATIVE_INFINITY;
  }

  /** The next request, or undefined if everything there is accused. `max`: log records per request. */
  *next(max: number, now: number): Steps<Try | undefined> {
    const oldest = this.#oldest;
    const unproven = this.#confirming?.stretch ?? this.#toConfirm();
    const isFresh = Math.abs(now - this.#oldestTriedAt) <= oldestFreshMs;
    if (oldest !== undefined && this.isRefusingAll && !isFresh)
      return lastOf(oldest, yield* this.#backlog.read(oldest.from, { logRecords: 1 }), "oldest");
    if (unproven !== undefined) return yield* this.#confirmation(unproven);
    const next = yield* this.#forward(max);
    return next === undefined && this.#ends && oldest !== undefined ? yield* this.#confirmation(oldest) : next;
  }

  /** Records that the backend has accepted a try. `request`: its number. */
  *accepted(tried: Try, request: number, partial?: NonNullable<Stretch["partial"]>): Steps<void> {
    const { row, from } = tried.spans.at(-1) as Span;
    const latest = tried.kind === "request" ? tried.latest : row.timeOf(from);
    this.#backlog.newestAccepted = Math.max(this.#backlog.newestAccepted, latest);
    this.#lastAccepted = Math.max(this.#lastAccepted, request);
    yield* this.#decide(tried, { state: "accepted", request, ...(partial && { partial }) });
  }

  /** A log record that cannot be sent at all says nothing about the backend. */
  *unsendable(tried: Try, request: number, message: string): Steps<void> {
    yield* this.#decide(tried, { state: "dead", request, refusal: { why: "internal", message } });
  }

  *refused(tried: Try, refusal: Refusal, request: number, now: number): Steps<void> {
    const { stretch, kind } = tried;
    if (refusal.why !== "failing") this.#failing.at = -1;
    const isOldestOpen = stretch === this.#backlog.stretches.find(({ state }) => state === "ready" || state === "sent");
    if (kind === "confirmation") this.#refusedAgain(tried, refusal);
    else if (kind !== "oldest" && isOldestOpen) {
      stretch.origin ??= request;
      if (sizeOf(tried) === 1) yield* this.#accuse(tried, refusal);
      else this.#backlog.replace(stretch, yield* this.#backlog.divide(stretch, 1, (sizeOf(stretch) - 1) >> 1));
    }
    const oldest = this.#oldest;
    if (oldest !== undefined && tried.from.count <= oldest.from.count) this.#oldestTriedAt = now;
  }

  /** Counts a failure that is not about the body. True if it has lasted so long that it counts as a refusal of what was tried. */
  failsForMinutes({ kind, stretch, from: { count: at } }: Try, now: number): boolean {
    if (stretch.isSuspect || (kind !== "request" && stretch.refusal?.why === "failing")) return true;
    if (this.#failing.at !== at) this.#failing = { at, failures: 0, since: now };
    const isLasting = ++this.#failing.failures >= persistentFailures && now - this.#failing.since >= persistentForMs;
    if (isLasting && kind === "request") stretch.isSuspect = true;
    return isLasting;
  }

  get #oldest(): Stretch | undefined {
    return this.#backlog.stretches.find(({ state }) => state === "accused");
  }

  /** The oldest accused part after which something was accepted since. Its end must be known: what follows is not ready. */
  #toConfirm(): Stretch | undefined {
    const { stretches } = this.#backlog;
    let lastAccepted = 0;
    let found: Stretch | undefined;
    for (let index = stretches.length - 1; index >= 0; index--) {
      const stretch = stretches[index] as Stretch;
      if (stretch.state === "accepted") lastAccepted = Math.max(lastAccepted, stretch.request);
      const isWhole = stretches[index + 1]?.state !== "ready";
      if (stretch.state === "accused" && stretch.request < lastAccepted && isWhole) found = stretch;
    }
    return found;
  }

  /** The next of the ten or more log records that confirm an accused part. */
  *#confirmation(stretch: Stretch): Steps<Try> {
    this.#confirming ??= { stretch, refused: stretch.from };
    const { refused } = this.#confirming;
    const stride = refused.count > stretch.from.count ? Math.max(1, (sizeOf(stretch) - 1) / (enoughSamples - 1)) : 1;
    const reading = yield* this.#backlog.read(refused, { logRecords: this.#someOf(stride), to: stretch.to });
    return lastOf(stretch, reading, "confirmation");
  }

  #refusedAgain({ stretch, to }: Try, refusal: Refusal): void {
    this.#confirming = { stretch, refused: to };
    stretch.refusal = refusal;
    if (to.count < stretch.to.count) return;
    this.#confirming = undefined;
    stretch.request = this.sent;
    stretch.confirmations = (stretch.confirmations ?? 0) + 1;
    if (refusal.why !== "failing" || stretch.confirmations >= enoughFailures) stretch.state = "dead";
  }

  /** The oldest ready stretch, or new log records; right after an accused part, a single log record of them. */
  *#forward(max: number): Steps<Try | undefined> {
    const { stretches, head } = this.#backlog;
    const index = stretches.findIndex(({ state }) => state === "ready");
    const ready = stretches[index];
    const before = ready === undefined ? stretches : stretches.slice(0, index);
    const run = before.at(-1)?.state === "accused" ? before.at(-1) : undefined;
    let logRecords = max;
    if (run !== undefined) {
      const isBetween = ready !== undefined && stretches[index + 1]?.state === "accepted";
      const stride = sizeOf(run) < enoughSamples ? 1 : this.#someOf(sizeOf(run) / 2);
      logRecords = Math.min(stride, isBetween ? Math.max(1, Math.ceil(sizeOf(ready) / 2)) : maxStride);
    }
    const until = this.#backlog.limitBehindAccused(before);
    const reading = yield* this.#backlog.read(ready?.from ?? head, { logRecords, to: ready?.to, until });
    if (!isBefore(reading.from, reading.to)) return undefined;
    const stretch = ready ?? this.#backlog.append(reading);
    if (run !== undefined && sizeOf(reading) > 0) return lastOf(stretch, reading, "probe");
    return requestFor(this.#cutTo(stretch, reading), reading);
  }

  /** A random number from half of `logRecords` to all of them, at least one. */
  #someOf(logRecords: number): number {
    return 1 + Math.floor((Math.min(maxStride, Math.max(1, logRecords)) - 1) * (0.5 + this.#random() / 2));
  }

  /** Splits off the beginning of a stretch as a stretch of its own. */
  #cutTo(stretch: Stretch, { to, earliest, latest }: Reading): Stretch {
    if (!isBefore(to, stretch.to)) return stretch;
    const cut: Stretch = { ...stretch, to, earliest, latest };
    this.#backlog.replace(stretch, [cut, { ...stretch, from: to }]);
    return cut;
  }

  *#accuse({ stretch, to, earliest, latest }: Try, refusal: Refusal): Steps<void> {
    const accused: Stretch = { ...stretch, to, earliest, latest, state: "accused", request: this.sent, refusal };
    this.#backlog.replace(stretch, [accused, ...(yield* this.#readyBehind(stretch, to))]);
  }

  *#decide(tried: Try, verdict: Pick<Stretch, "state" | "request" | "refusal" | "partial">): Steps<void> {
    const { stretch, kind, from, to } = tried;
    this.#failing.at = -1;
    if (kind === "request") return void Object.assign(stretch, verdict);
    const gap = readyOf({ ...tried, from: stretch.from, to: from }, stretch);
    const before = sizeOf(gap) === 0 ? [] : [gap];
    const decided: Stretch = { ...readyOf(tried, stretch), ...verdict };
    this.#confirming = undefined;
    this.#backlog.replace(stretch, [...before, decided, ...(yield* this.#readyBehind(stretch, to))]);
    if (kind === "oldest" && verdict.state === "accepted") this.#voidAccusations();
  }

  /** The rest of a stretch from a place on, in halves, because something in it may be refused. */
  *#readyBehind(stretch: Stretch, from: Place): Steps<readonly Stretch[]> {
    const rest = readyOf({ ...stretch, from }, stretch);
    return sizeOf(rest) === 0 ? [] : yield* this.#backlog.divide(rest, sizeOf(rest) >> 1);
  }

  /** The oldest accused log record was accepted, so the backend had refused everything for a while. */
  #voidAccusations(): void {
    const { stretches } = this.#backlog;
    for (const [index, stretch] of stretches.entries()) {
      delete stretch.isSuspect;
      if (stretch.state === "accused") stretches[index] = readyOf(stretch, stretch);
    }
    this.#backlog.rewind();
  }
}

/** A request for a whole stretch, which the reading covers. */
export function requestFor(stretch: Stretch, reading: Reading): Try {
  return { ...reading, kind: "request", stretch };
}

/** A try of the last log record read of a stretch; if it is the stretch's last, rows without log records after it are included. */
function lastOf(stretch: Stretch, { spans, to: ending, earliest, latest }: Reading, kind: Try["kind"]): Try {
  const { row, to: end } = spans.at(-1) as Span;
  const from = { seq: row.seq, at: end - 1, count: ending.count - 1 };
  const to = ending.count < stretch.to.count ? ending : stretch.to;
  return { from, to, earliest, latest, spans: [{ row, from: end - 1, to: end }], kind, stretch };
}

/** A part of a stretch in the state `ready`, with what is known about the requests that it was in. */
function readyOf({ from, to, earliest, latest }: Reading | Stretch, { request, origin, isSuspect }: Stretch): Stretch {
  const known = { ...(origin !== undefined && { origin }), ...(isSuspect && { isSuspect }) };
  return { from, to, earliest, latest, state: "ready", request, ...known };
}
