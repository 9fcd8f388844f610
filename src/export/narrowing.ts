/**
 * What to try next once something was refused, and when a part is given up. Oldest first, one request at a time.
 *
 * 1. A refused request is cut into its first log record and two halves. A log record refused alone is accused.
 * 2. Behind what is accused, single log records are tried, each up to half of the accused part further on, so that a run of
 *    any length costs some tens of requests. What lies between them is accused too once ten were refused; before that,
 *    the first that is taken ends this, and what lies between is sent.
 * 3. A try goes no further than 30 minutes of event time (or a sixteenth of what the accused part covers) beyond the last: a
 *    backend such as Loki refuses what lies an hour behind the newest that it has taken.
 * 4. A part is dead if something younger was taken after it was accused, and then its first log record, its last and
 *    about eight random ones were refused once more.
 * 5. While nothing has been taken since the oldest part was accused, its first log record is tried again before anything
 *    younger is, unless that was a second ago. If it is taken, all accusations are void and delivery begins there.
 * 6. The first time that nothing of a request is taken, an empty export is posted. Its answer decides the pace alone.
 */
import { type Backlog, enoughSamples, isBefore, type Range, type Reading, type Refusal } from "./backlog.ts";
import { type Span, type Stretch, stretchOf } from "./backlog.ts";
import type { Random } from "./outage.ts";

/** A request to make: a stretch, or one log record of it, which is ready, accused, or the first that is accused. */
export interface Try extends Reading {
  readonly kind: "request" | "probe" | "confirmation" | "oldest";
  readonly stretch: Stretch;
  /** What lies before it in the stretch. */
  readonly gap: Range;
}

/** `unknown` until nothing of a request was taken, `asking` for an empty export, then what its answer says. */
export type Pace = "unknown" | "asking" | "free" | "held";

/** How often a part that fails without a word about its body must do so again. */
const enoughFailures = 3;
/** Log records between two probes at most: what lies between is read in one go. */
const maxStride = 50_000;
/** The oldest accused log record was tried just now if it was no longer ago. */
const oldestFreshMs = 1_000;

export class Narrowing {
  pace: Pace = "unknown";
  /** Requests that were sent; the number of the last. */
  sent = 0;
  readonly #backlog: Backlog;
  readonly #random: Random;
  /** Whether an end will come: what is accused by then is decided without anything younger. */
  readonly #ends: boolean;
  /** The accused part that is being tried once more, and how much of it was refused again. */
  #confirming: { readonly stretch: Stretch; readonly refused: Range } | undefined;
  #lastTaken = 0;
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
    const oldest = this.#oldest;
    const unproven = this.#confirming?.stretch ?? this.#toConfirm();
    const isFirst = unproven === oldest && (this.#confirming?.refused.logRecords ?? 0) === 0;
    const isFresh = Math.abs(now - this.#oldestTriedAt) <= oldestFreshMs;
    if (oldest !== undefined && this.isRefusingAll && !isFresh && !isFirst)
      return lastOf(oldest, this.#backlog.read(oldest.from, { logRecords: 1 }), "oldest", 0);
    if (unproven !== undefined) return this.#confirmation(unproven);
    const next = this.#forward(max);
    return next === undefined && this.#ends && oldest !== undefined ? this.#confirmation(oldest) : next;
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
    const { stretch, kind, logRecords, gap } = tried;
    const isOldestOpen = stretch === this.#backlog.stretches.find(({ state }) => state === "ready" || state === "sent");
    if (kind === "confirmation") this.#refusedAgain(tried, refusal);
    else if (kind !== "oldest" && isOldestOpen) {
      stretch.origin ??= { request, logRecords };
      if (logRecords === 1) this.#accuse(tried, refusal);
      else {
        const [first, rest] = this.#backlog.cut(stretch, 1);
        this.#backlog.replace(stretch, [first, ...this.#halves(rest)]);
      }
    }
    const oldest = this.#oldest;
    const isFirst = gap.logRecords === 0 && oldest !== undefined && !isBefore(oldest.from, gap.from);
    if (isFirst) this.#oldestTriedAt = now;
  }

  /** Whether one failure of it counts as a refusal: it belongs to what failed for minutes. */
  isSuspect({ kind, stretch }: Try): boolean {
    return stretch.isSuspect === true || (kind !== "request" && stretch.refusal?.why === "failing");
  }

  get #oldest(): Stretch | undefined {
    return this.#backlog.stretches.find(({ state }) => state === "accused");
  }

  /** The oldest accused part behind which something was taken since. Its end must be known: nothing ready lies behind it. */
  #toConfirm(): Stretch | undefined {
    const { stretches } = this.#backlog;
    let lastTaken = 0;
    let found: Stretch | undefined;
    for (let index = stretches.length - 1; index >= 0; index--) {
      const stretch = stretches[index] as Stretch;
      if (stretch.state === "taken") lastTaken = Math.max(lastTaken, stretch.request);
      const isWhole = stretches[index + 1]?.state !== "ready";
      if (stretch.state === "accused" && stretch.request < lastTaken && isWhole) found = stretch;
    }
    return found;
  }

  /** The next of ten or more log records of an accused part. */
  #confirmation(stretch: Stretch): Try {
    this.#confirming ??= { stretch, refused: { ...stretch, to: stretch.from, logRecords: 0 } };
    const { to: from, logRecords: before } = this.#confirming.refused;
    const stride = before === 0 ? 1 : Math.max(1, (stretch.logRecords - 1) / (enoughSamples - 1));
    const reading = this.#backlog.read(from, { logRecords: this.#someOf(stride), to: stretch.to });
    return lastOf(stretch, reading, "confirmation", before);
  }

  #refusedAgain({ stretch, to, gap }: Try, refusal: Refusal): void {
    const refused = { ...gap, to, logRecords: gap.logRecords + 1 };
    this.#confirming = { stretch, refused };
    stretch.refusal = refusal;
    if (refused.logRecords < stretch.logRecords) return;
    this.#confirming = undefined;
    stretch.request = this.sent;
    stretch.confirmations = (stretch.confirmations ?? 0) + 1;
    if (refusal.why !== "failing" || stretch.confirmations >= enoughFailures) stretch.state = "dead";
  }

  /** The oldest that is ready, or what is new; right behind what is accused, a single log record of it. */
  #forward(max: number): Try | undefined {
    const { stretches, head } = this.#backlog;
    const index = stretches.findIndex(({ state }) => state === "ready");
    const ready = stretches[index];
    const before = index < 0 ? stretches : stretches.slice(0, index);
    const run = before.at(-1);
    const until = this.#backlog.limitBehindAccused(before);
    let logRecords = max;
    if (run?.state === "accused") {
      // Between what is accused and what was taken, the end of what is refused is found by halving.
      const isBetween = ready !== undefined && stretches[index + 1]?.state === "taken";
      logRecords = Math.min(this.#someOf(run.logRecords / 2), isBetween ? Math.ceil(ready.logRecords / 2) : maxStride);
    }
    const from = ready?.from ?? head;
    const reading = this.#backlog.read(from, { logRecords, to: ready?.to, until });
    if (!isBefore(from, reading.to)) return undefined;
    const stretch = ready ?? this.#backlog.append(reading);
    if (run?.state === "accused" && reading.logRecords > 0) return lastOf(stretch, reading, "probe", 0);
    return requestFor(this.#cutTo(stretch, reading), reading);
  }

  /** A random number of log records from the half to all of so many, at least one. */
  #someOf(logRecords: number): number {
    return 1 + Math.floor((Math.min(maxStride, Math.max(1, logRecords)) - 1) * (0.5 + this.#random() / 2));
  }

  /** The beginning of a stretch as a stretch of its own. */
  #cutTo(stretch: Stretch, { logRecords, earliest, latest }: Range): Stretch {
    if (logRecords === stretch.logRecords) return stretch;
    const [near, far] = this.#backlog.cut(stretch, logRecords);
    const cut: Stretch = { ...near, earliest, latest };
    this.#backlog.replace(stretch, [cut, far]);
    return cut;
  }

  #accuse({ stretch, gap, ...tried }: Try, refusal: Refusal): void {
    const { from, to, logRecords: alone, earliest, latest } = tried;
    const range = { from: gap.from, to, logRecords: gap.logRecords + alone };
    const times = { earliest: Math.min(gap.earliest, earliest), latest: Math.max(gap.latest, latest) };
    const gaps = gap.logRecords === 0 ? [] : [{ ...gap, to: from }];
    const accused: Stretch = { ...stretch, ...range, ...times, state: "accused", request: this.sent, refusal, gaps };
    this.#backlog.replace(stretch, [accused, ...this.#readyBehind(stretch, tried, range.logRecords)]);
    const run = this.#backlog.stretches.find(({ state, to: end }) => state === "accused" && end === to);
    const { origin, logRecords } = run ?? accused;
    const isEnough = logRecords >= Math.min(enoughSamples, origin?.logRecords ?? 1);
    if (this.pace === "unknown" && isEnough && this.#lastTaken < (origin?.request ?? 0)) this.pace = "asking";
  }

  #decide(tried: Try, verdict: Pick<Stretch, "state" | "request" | "refusal" | "partial">): void {
    const { stretch, kind, gap } = tried;
    if (kind === "request") return void Object.assign(stretch, verdict);
    const decided: Stretch = { ...stretchOf(tried, verdict.state), ...verdict };
    const before = gap.logRecords === 0 ? [] : [readyOf(stretch, gap)];
    const { stretches } = this.#backlog;
    const run = stretches[stretches.indexOf(stretch) - 1];
    this.#confirming = undefined;
    this.#backlog.replace(stretch, [...before, decided, ...this.#readyBehind(stretch, tried, gap.logRecords + 1)]);
    if (kind === "probe" && run?.gaps !== undefined && run.gaps.length > 0) this.#openGaps(run, run.gaps);
    if (kind === "oldest" && verdict.state === "taken") this.#voidAccusations();
  }

  /** Too few were refused alone to accuse what lies between them. */
  #openGaps(run: Stretch, gaps: readonly Range[]): void {
    const parts: Stretch[] = [];
    let from = run.from;
    for (const gap of [...gaps, undefined]) {
      const to = gap?.from ?? run.to;
      const alone = this.#backlog.read(from, { logRecords: run.logRecords, to });
      parts.push({ ...run, ...stretchOf(alone, "accused"), request: run.request, to, gaps: [] });
      if (gap === undefined) break;
      parts.push(readyOf(run, gap));
      from = gap.to;
    }
    this.#backlog.replace(run, parts);
  }

  /** What lies behind the first log records of a stretch: something in it may be refused, so it is sent in halves. */
  #readyBehind(stretch: Stretch, { to }: Pick<Range, "to">, logRecords: number): Stretch[] {
    const left = stretch.logRecords - logRecords;
    return left === 0 ? [] : this.#halves(readyOf(stretch, { ...stretch, from: to, logRecords: left }));
  }

  #halves(stretch: Stretch): Stretch[] {
    return stretch.logRecords > 1 ? this.#backlog.cut(stretch, stretch.logRecords >> 1) : [stretch];
  }

  /** The oldest accused log record was taken: the backend refused everything for a while. */
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
  return { ...reading, kind: "request", stretch, gap: gapIn(stretch, reading, reading, 0) };
}

/** The last log record of a part of a stretch. `before`: log records of the stretch before that part. */
function lastOf(stretch: Stretch, part: Reading, kind: Try["kind"], before: number): Try {
  const { row, to: end } = part.spans.at(-1) as Span;
  const time = row.timeOf(end - 1);
  const at = { from: { seq: row.seq, at: end - 1 }, to: part.to, logRecords: 1, earliest: time, latest: time };
  const gap = gapIn(stretch, at, part, before + part.logRecords - 1);
  return { ...at, spans: [{ row, from: end - 1, to: end }], kind, stretch, gap };
}

function gapIn({ from }: Range, { from: to }: Range, { earliest, latest }: Range, logRecords: number): Range {
  return { from, to, logRecords, earliest, latest };
}

/** A part of a stretch that is to be sent, with what is known about requests that it was in. */
function readyOf({ request, origin, isSuspect }: Stretch, part: Range): Stretch {
  return { ...stretchOf(part, "ready"), request, ...(origin && { origin }), ...(isSuspect && { isSuspect }) };
}
