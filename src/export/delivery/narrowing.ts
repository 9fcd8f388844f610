/**
 * What to try next once something was refused, and when a part is given up.
 *
 * 1. Oldest first, one request at a time. Of a refused request, at most 30 minutes of event time are looked at: the first log
 *    record, about eight random ones and the last are tried alone. The first that is taken ends this: those refused before
 *    it are accused, and everything between and behind is sent in halves.
 * 2. If all of them are refused, the part is accused as a whole, and single log records further on are tried, each at most
 *    a fifth of the accused part away, so that a run of any length costs some tens of requests.
 * 3. A try goes no further than 30 minutes of event time (or a sixteenth of what the accused part covers) beyond the last: a
 *    backend such as Loki refuses what lies an hour behind the newest that it has taken.
 * 4. A part is dead if something younger was taken after it was accused, and it was then refused once more.
 * 5. While nothing has been taken since the oldest part was accused, its first log record is tried again before anything
 *    younger is, unless that was a second ago. If it is taken, all accusations are void and delivery begins there.
 * 6. The first time that nothing of a request is taken, an empty export is posted. Its answer decides the pace alone.
 */
import { type Backlog, type Refusal, type Stretch, stretchOf } from "./backlog.ts";
import { isBefore, lastOf, type Random, type Range, type Reading } from "./source.ts";

/** A request to make. `sample`: one log record of the stretch; `oldest`: the first one that is accused, once more. */
export interface Try extends Reading {
  readonly kind: "request" | "sample" | "oldest";
  readonly stretch: Stretch;
}

/** `unknown` until nothing of a request was taken, `asking` for an empty export, then what its answer says. */
export type Pace = "unknown" | "asking" | "free" | "held";

const enoughSamples = 10;
/** How often a part that fails without a word about its body must do so again. */
const enoughFailures = 3;
/** Log records between two samples at most: what lies between is read in one go. */
const maxStride = 50_000;

/** The oldest accused log record was tried just now if it was no longer ago. */
const oldestFreshMs = 1_000;

interface Sample {
  readonly gap: Range;
  readonly at: Range;
  readonly refusal: Refusal;
}

/** Single log records of a stretch are being tried, in order; `beyond`: its last one, since it lies behind a long accused part. */
interface Sampling {
  readonly stretch: Stretch;
  readonly purpose: "accuse" | "confirm" | "beyond";
  /** Those refused so far, each with what was left out before it. */
  readonly samples: Sample[];
}

export class Narrowing {
  pace: Pace = "unknown";
  /** Requests that were sent; the number of the last. */
  sent = 0;
  readonly #backlog: Backlog;
  readonly #random: Random;
  /** Whether an end will come: what is accused by then is decided without anything younger. */
  readonly #ends: boolean;
  #sampling: Sampling | undefined;
  /** The gap before the sample that is being tried. */
  #gap: Range | undefined;
  #lastTaken = 0;
  #oldestTriedAt = Number.NEGATIVE_INFINITY;

  constructor(backlog: Backlog, random: Random, kind: "endless" | "ends") {
    this.#backlog = backlog;
    this.#random = random;
    this.#ends = kind === "ends";
  }

  /** Whether requests go one at a time. */
  get isCareful(): boolean {
    return this.#backlog.stretches.some(
      ({ state }) => state === "ready" || state === "sampling" || state === "accused",
    );
  }

  /** Whether something is accused and nothing was taken since. */
  get isRefusingAll(): boolean {
    const oldest = this.#oldest;
    return oldest !== undefined && this.#lastTaken <= oldest.request;
  }

  /** What the backend says to the oldest that is accused. */
  get why(): string {
    return this.#oldest?.refusal?.message ?? "";
  }

  /** After a pause the oldest is tried first. */
  pause(): void {
    this.#oldestTriedAt = Number.NEGATIVE_INFINITY;
  }

  /** The next request, or nothing if all that is there is accused. `max`: log records of a request. */
  next(max: number, now: number): Try | undefined {
    if (this.#sampling === undefined) this.#beginConfirming();
    const oldest = this.#oldest;
    const isFirst = this.#sampling?.stretch === oldest && this.#sampling?.samples.length === 0;
    const isFresh = Math.abs(now - this.#oldestTriedAt) <= oldestFreshMs;
    if (oldest !== undefined && this.isRefusingAll && !isFirst && !isFresh) {
      const first = this.#backlog.read(oldest.from, { logRecords: 1 });
      return { ...first, kind: "oldest", stretch: oldest };
    }
    if (this.#sampling !== undefined) return this.#nextSample(this.#sampling);
    const next = this.#forward(max);
    if (next !== undefined || !this.#ends || oldest === undefined) return next;
    return this.#nextSample(this.#confirm(oldest));
  }

  /** The backend took it. `request`: its number. */
  taken(tried: Try, request: number, partial?: NonNullable<Stretch["partial"]>): void {
    this.#backlog.newestTaken = Math.max(this.#backlog.newestTaken, tried.latest);
    this.#lastTaken = Math.max(this.#lastTaken, request);
    this.pace = "unknown";
    this.#decide(tried, { state: "taken", request, ...(partial === undefined ? {} : { partial }) });
  }

  /** A log record that cannot be sent at all says nothing about the backend. */
  unsendable(tried: Try, request: number, message: string): void {
    this.#decide(tried, { state: "dead", request, refusal: { why: "internal", message } });
  }

  refused(tried: Try, refusal: Refusal, request: number, now: number): void {
    const { stretch, kind } = tried;
    if (kind === "sample") this.#sampleRefused(tried, refusal);
    else if (kind === "request" && stretch === this.#backlog.oldestOpen) {
      stretch.request = this.sent;
      stretch.origin ??= request;
      stretch.refusal = refusal;
      if (stretch.logRecords > 1) this.#beginSampling(stretch);
      else this.#accuse(stretch, [{ ...stretch, state: "accused" }]);
    }
    const oldest = this.#oldest;
    if (oldest !== undefined && !isBefore(oldest.from, tried.from)) this.#oldestTriedAt = now;
  }

  /** Whether one failure of it counts as a refusal: it belongs to what failed for minutes. */
  isSuspect({ kind, stretch }: Try): boolean {
    return stretch.isSuspect === true || (kind !== "request" && stretch.refusal?.why === "failing");
  }

  #decide(tried: Try, verdict: Pick<Stretch, "state" | "request" | "refusal" | "partial">): void {
    const { stretch, kind } = tried;
    const decided = { ...stretchOf(tried, verdict.state), ...verdict };
    if (kind === "request") Object.assign(stretch, verdict);
    else if (kind === "sample") this.#endSampling(decided);
    else this.#void(stretch, decided);
  }

  get #oldest(): Stretch | undefined {
    return this.#backlog.stretches.find(({ state }) => state === "accused" || state === "sampling");
  }

  /** The oldest that is ready, or what is new. Behind a long part of which nothing was taken, a single log record of it. */
  #forward(max: number): Try | undefined {
    const { stretches, head } = this.#backlog;
    const index = stretches.findIndex(({ state }) => state === "ready");
    const ready = stretches[index];
    const before = index < 0 ? stretches : stretches.slice(0, index);
    const last = before.at(-1);
    const isBehindLong = this.isRefusingAll && last?.state === "accused" && last.logRecords >= enoughSamples;
    const logRecords = isBehindLong ? Math.ceil(Math.min(maxStride, last.logRecords / 5) * this.#half()) : max;
    const limit = { logRecords, to: ready?.to, until: this.#backlog.limitBehindAccused(before) };
    const reading = this.#backlog.read(ready?.from ?? head, limit);
    if (!isBefore(reading.from, reading.to)) return undefined;
    const stretch = ready === undefined ? this.#backlog.append(reading, "ready") : this.#cutTo(ready, reading);
    if (!isBehindLong || reading.logRecords === 0) return { ...reading, to: stretch.to, kind: "request", stretch };
    stretch.state = "sampling";
    this.#sampling = { stretch, purpose: "beyond", samples: [] };
    return this.#nextSample(this.#sampling);
  }

  /** The beginning of a stretch as a stretch of its own. */
  #cutTo(stretch: Stretch, { logRecords, earliest, latest }: Range): Stretch {
    if (logRecords === stretch.logRecords) return stretch;
    const [near, far] = this.#backlog.cut(stretch, logRecords);
    const cut: Stretch = { ...near, earliest, latest, state: "ready" };
    this.#backlog.replace(stretch, [cut, { ...far, state: "ready" }]);
    return cut;
  }

  /** From a half to one. */
  #half(): number {
    return 0.5 + this.#random() / 2;
  }

  #beginSampling(refused: Stretch): void {
    const { from, to, logRecords } = refused;
    const { earliest } = this.#backlog.read(from, { logRecords: 1 });
    const part = this.#backlog.read(from, { logRecords, to, until: this.#backlog.limitBehind(earliest) });
    const stretch = this.#cutTo(refused, part);
    stretch.state = "sampling";
    this.#sampling = { stretch, purpose: "accuse", samples: [] };
  }

  /** The oldest accused part is tried once more if something younger was taken since. */
  #beginConfirming(): void {
    let lastTaken = 0;
    let found: Stretch | undefined;
    for (const stretch of this.#backlog.stretches.toReversed()) {
      if (stretch.state === "taken") lastTaken = Math.max(lastTaken, stretch.request);
      if (stretch.state === "accused" && stretch.request < lastTaken) found = stretch;
    }
    if (found !== undefined) this.#confirm(found);
  }

  #confirm(stretch: Stretch): Sampling {
    return (this.#sampling = { stretch, purpose: "confirm", samples: [] });
  }

  #nextSample({ stretch, purpose, samples }: Sampling): Try {
    const from = samples.at(-1)?.at.to ?? stretch.from;
    // At most nine strides lead from the first log record to the last, so that ten samples or more are taken.
    const stride = samples.length === 0 ? 1 : Math.max(1, (stretch.logRecords - 1) / (enoughSamples - 1));
    const ahead = 1 + Math.floor((stride - 1) * this.#half());
    const logRecords = purpose === "beyond" ? stretch.logRecords : ahead;
    const reading = this.#backlog.read(from, { logRecords, to: stretch.to });
    const sample = lastOf(reading);
    this.#gap = { ...rangeOf(reading), to: sample.from, logRecords: reading.logRecords - 1 };
    return { ...sample, kind: "sample", stretch };
  }

  #sampleRefused(tried: Try, refusal: Refusal): void {
    const { stretch, samples, purpose } = this.#sampling as Sampling;
    samples.push({ gap: this.#gap as Range, at: rangeOf(tried), refusal });
    stretch.refusal = refusal;
    if (purpose !== "confirm") stretch.request = this.sent;
    if (countOf(samples) < stretch.logRecords) return;
    if (purpose === "confirm") this.#confirmed(stretch, refusal);
    else this.#endSampling(undefined);
  }

  /** All of an accused part was refused once more. One that fails must do so several times, with something taken in between. */
  #confirmed(stretch: Stretch, { why }: Refusal): void {
    this.#sampling = undefined;
    stretch.request = this.sent;
    stretch.confirmations = (stretch.confirmations ?? 0) + 1;
    if (why !== "failing" || stretch.confirmations >= enoughFailures) stretch.state = "dead";
  }

  /** Ends sampling with a log record that was decided, or because nothing is left to sample. */
  #endSampling(decided: Stretch | undefined): void {
    const { stretch, samples, purpose } = this.#sampling as Sampling;
    this.#sampling = undefined;
    const parts: Stretch[] = [];
    const ready = (range: Range) => {
      if (range.logRecords > 0) parts.push({ ...stretch, ...range, state: "ready" });
    };
    const last = samples.at(-1)?.at.to ?? stretch.from;
    const logRecords = countOf(samples);
    const latest = samples.reduce((most, { gap }) => Math.max(most, gap.latest), stretch.earliest);
    const isEnough = purpose === "beyond" || samples.length >= enoughSamples;
    const isWhole = isEnough || samples.every(({ gap }) => gap.logRecords === 0);
    if (purpose === "confirm") ready({ ...stretch, to: last, logRecords });
    else if (isWhole && samples.length > 0) parts.push({ ...stretch, to: last, logRecords, latest, state: "accused" });
    else {
      for (const { gap, at, refusal } of samples) {
        ready(gap);
        parts.push({ ...stretch, ...at, refusal, state: "accused" });
      }
    }
    if (decided !== undefined) {
      ready(this.#gap as Range);
      parts.push(decided);
    }
    const left = stretch.logRecords - logRecords - (decided === undefined ? 0 : 1 + (this.#gap as Range).logRecords);
    const rest = { ...stretch, from: decided?.to ?? last, logRecords: left };
    if (left > 1) this.#backlog.cut(rest, left >> 1).forEach(ready);
    else ready(rest);
    this.#accuse(stretch, parts);
  }

  #accuse(stretch: Stretch, parts: readonly Stretch[]): void {
    this.#backlog.replace(stretch, parts);
    const isAccused = parts.some(({ state }) => state === "accused");
    if (isAccused && this.pace === "unknown" && this.#lastTaken < (stretch.origin ?? 0)) this.pace = "asking";
  }

  /** The oldest accused log record was taken: the backend refused everything for a while. */
  #void(oldest: Stretch, decided: Stretch): void {
    this.#sampling = undefined;
    const rest = { ...oldest, from: decided.to, logRecords: oldest.logRecords - 1 };
    this.#backlog.replace(oldest, rest.logRecords > 0 ? [decided, rest] : [decided]);
    for (const stretch of this.#backlog.stretches)
      if (stretch.state === "accused" || stretch.state === "sampling") {
        stretch.state = "ready";
        delete stretch.isSuspect;
      }
    this.#backlog.rewind();
  }
}

/** Log records from the beginning to the last sample. */
function countOf(samples: readonly Sample[]): number {
  return samples.reduce((sum, { gap }) => sum + gap.logRecords + 1, 0);
}

function rangeOf({ from, to, logRecords, earliest, latest }: Range): Range {
  return { from, to, logRecords, earliest, latest };
}
