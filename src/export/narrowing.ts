/**
 * What to try next once something was refused, and when a part is given up. Oldest first, one request at a time.
 *
 * 1. A refused request is cut into its first log record and two halves. A log record refused alone is accused.
 * 2. Behind what is accused, single log records are tried: the first ten one after another, then each up to half of the
 *    accused part further on, so that a run of any length costs some tens of requests. What lies between them is accused
 *    too; between the last that was refused and the first that is accepted, the end of the run is found by halving.
 * 3. A try goes no further than 30 minutes of event time (or a sixteenth of what the accused part covers) beyond the last: a
 *    backend such as Loki refuses what lies an hour behind the newest that it has accepted.
 * 4. A part is dead if something younger was accepted after it was accused, and then its first log record, its last and
 *    about eight random ones were refused once more.
 * 5. While nothing has been accepted since the oldest part was accused, its first log record is tried again before anything
 *    younger is, unless that was a second ago. If it is accepted, all accusations are void and delivery begins there.
 */
import { type Backlog, isBefore, type Place, type Reading, type Refusal, sizeOf, type Stretch } from "./backlog.ts";
import type { Random } from "./outage.ts";
import type { Span } from "./requests.ts";
import type { Steps } from "./steps.ts";

/**
 * A request to make: a stretch, or one log record of it. A probe lies in what is ready; a confirmation and the oldest lie in
 * what is accused. Times are those of the stretch up to there.
 */
export interface Try extends Reading {
  readonly kind: "request" | "probe" | "confirmation" | "oldest";
  readonly stretch: Stretch;
}

/** Log records of an accused part that are tried once more; so many in a row are refused alone before any is passed over. */
const enoughSamples = 10;
/** What has failed this often, for this long, is narrowed like what was refused; each part must fail so often again. */
const persistentFailures = 10;
const persistentForMs = 300_000;
const enoughFailures = 3;
/** Log records between two probes at most: what lies between is read in one go. */
const maxStride = 50_000;
/** The oldest accused log record was tried just now if it was no longer ago. */
const oldestFreshMs = 1_000;

export class Narrowing {
  /** Requests that were sent; the number of the last. */
  sent = 0;
  readonly #backlog: Backlog;
  readonly #random: Random;
  /** Whether an end will come: what is accused by then is decided without anything younger. */
  readonly #ends: boolean;
  /** The accused part that is being tried once more, and up to where it was refused again. */
  #confirming: { readonly stretch: Stretch; readonly refused: Place } | undefined;
  #lastAccepted = 0;
  /** Where what failed last begins, how often it did in a row, and since when. */
  #failing = { at: -1, failures: 0, since: 0 };
  #oldestTriedAt = Number.NEGATIVE_INFINITY;

  constructor(backlog: Backlog, random: Random, kind: "endless" | "ends") {
    this.#backlog = backlog;
    this.#random = random;
    this.#ends = kind === "ends";
  }

  /** Whether requests go one at a time. */
  get isCareful(): boolean {
    return this.#backlog.stretches.some(({ state }) => state === "ready" || state === "accused");
  }

  /** Whether something is accused and nothing was accepted since. */
  get isRefusingAll(): boolean {
    const oldest = this.#oldest;
    return oldest !== undefined && this.#lastAccepted <= oldest.request;
  }

  /** Whether nothing of a whole request was accepted, as far as it was tried. */
  get isWholeRefused(): boolean {
    return this.#lastAccepted < (this.#oldest?.origin ?? 0);
  }

  /** Whether that was tried often enough to rely on it. */
  get isEnough(): boolean {
    return this.#oldest !== undefined && sizeOf(this.#oldest) >= enoughSamples;
  }

  /** The backend's message about the oldest that is accused. */
  get why(): string {
    return this.#oldest?.refusal?.message ?? "";
  }

  /** After a pause the oldest is tried first. */
  pause(): void {
    this.#oldestTriedAt = Number.NEGATIVE_INFINITY;
  }

  /** The next request, or nothing if all that is there is accused. `max`: log records of a request. */
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

  /** The backend has accepted it. `request`: its number. */
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

  /** Counts a failure that says nothing about the body. Returns whether it counts as a refusal: what was tried is to blame. */
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

  /** The oldest accused part behind which something was accepted since. Its end must be known: nothing ready lies behind it. */
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

  /** The next of ten or more log records of an accused part. */
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

  /** The oldest that is ready, or what is new; right behind what is accused, a single log record of it. */
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

  /** A random number of log records from the half to all of so many, at least one. */
  #someOf(logRecords: number): number {
    return 1 + Math.floor((Math.min(maxStride, Math.max(1, logRecords)) - 1) * (0.5 + this.#random() / 2));
  }

  /** The beginning of a stretch as a stretch of its own. */
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

  /** What lies behind there in a stretch: something in it may be refused, so it is sent in halves. */
  *#readyBehind(stretch: Stretch, from: Place): Steps<readonly Stretch[]> {
    const rest = readyOf({ ...stretch, from }, stretch);
    return sizeOf(rest) === 0 ? [] : yield* this.#backlog.divide(rest, sizeOf(rest) >> 1);
  }

  /** The oldest accused log record was accepted: the backend refused everything for a while. */
  #voidAccusations(): void {
    const { stretches } = this.#backlog;
    for (const [index, stretch] of stretches.entries()) {
      delete stretch.isSuspect;
      if (stretch.state === "accused") stretches[index] = readyOf(stretch, stretch);
    }
    this.#backlog.rewind();
  }
}

/** A request for a stretch, of which the reading is all. */
export function requestFor(stretch: Stretch, reading: Reading): Try {
  return { ...reading, kind: "request", stretch };
}

/** The last log record of what was read of a stretch; rows without log records behind the last of all go with it. */
function lastOf(stretch: Stretch, { spans, to: ending, earliest, latest }: Reading, kind: Try["kind"]): Try {
  const { row, to: end } = spans.at(-1) as Span;
  const from = { seq: row.seq, at: end - 1, count: ending.count - 1 };
  const to = ending.count < stretch.to.count ? ending : stretch.to;
  return { from, to, earliest, latest, spans: [{ row, from: end - 1, to: end }], kind, stretch };
}

/** A part of a stretch that is to be sent, with what is known about requests that it was in. */
function readyOf({ from, to, earliest, latest }: Reading | Stretch, { request, origin, isSuspect }: Stretch): Stretch {
  const known = { ...(origin !== undefined && { origin }), ...(isSuspect && { isSuspect }) };
  return { from, to, earliest, latest, state: "ready", request, ...known };
}
