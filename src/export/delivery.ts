/**
 * Delivers log records from the journal to one backend, at least once and oldest first, and moves the cursor behind them.
 * Used three times: for fresh logs (the journal's cursor), a replay (delivered rows) and a retry (dead letters).
 *
 * - While all is well, up to `concurrency` requests are past the cursor, as long as their events lie within 30 minutes.
 * - After a failure without a word about the body there is one back-off for the destination, and then one try at a time.
 * - A refused request is narrowed (`narrowing.ts`); so is one that failed ten times over five minutes by timeout, reset or
 *   server error. What is given up is marked together with the cursor that passes it.
 */
import type { LogCursor, Progress } from "../journal/index.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Backlog, isBefore, sizeOf, type Stretch } from "./backlog.ts";
import { Narrowing, requestFor, type Try } from "./narrowing.ts";
import { type DeliveryState, exportBackoffMs, LossReport, Outage, type Random, type Timer } from "./outage.ts";
import type { Channel, DeliverySource, Posted } from "./requests.ts";

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

/** `logs` goes on for ever; the others end. */
export type DeliveryKind = "logs" | "replay" | "retry";

/** How often idle delivery looks for rows by itself: a wake-up that is lost costs seconds, not the delivery. */
const lookMs = 5_000;

/** Requests for finding out which log records of a retried request were rejected. */
const partialBudget = 64;

/** While everything is refused but empty exports are not, what is new is tried this long after the last time at most. */
const freshWaitMs = 5_000;

/** Rounds without anything taken after which that is said, though empty exports are taken. */
const lastingRefusals = 5;

export class Delivery {
  readonly #kind: DeliveryKind;
  readonly #deps: DeliveryDeps;
  readonly #backlog: Backlog;
  readonly #narrowing: Narrowing;
  readonly #outage: Outage;
  readonly #losses: LossReport;
  readonly #abort = new AbortController();
  readonly #end = Promise.withResolvers<void>();
  #run: "new" | "running" | "ending" | "ended" = "new";
  state: DeliveryState = { kind: "idle" };
  #sending = 0;
  /** Log records of a request that the backend does not call too large. */
  #cap = Number.POSITIVE_INFINITY;
  /** Failures in a row, and the request after which the last of them was counted. */
  #failures = 0;
  #failedAt = 0;
  /** Requests in a row that were refused while everything is. */
  #refusals = 0;
  /**
   * The first time that nothing of a request is accepted, an empty export is posted. Its answer decides the pace alone, as a
   * backend may refuse an empty one too: `free` goes on at once, `held` tries one request per back-off step.
   */
  #pace: "unknown" | "asking" | "free" | "held" = "unknown";
  /** Cancel what will go on by itself: the end of a pause, another turn, a look for rows. */
  readonly #timers = new Map<"pause" | "turn" | "look", () => void>();
  /** Nothing is sent during a pause: a back-off, or nothing is left to try. */
  #pause: "back-off" | "idle" = "back-off";

  constructor(kind: DeliveryKind, cursor: LogCursor, deps: DeliveryDeps) {
    this.#kind = kind;
    this.#deps = deps;
    this.#backlog = new Backlog(cursor, deps.source, deps.clock);
    this.#narrowing = new Narrowing(this.#backlog, deps.random, kind === "logs" ? "endless" : "ends");
    this.#outage = new Outage("log export", deps.logger, deps.clock);
    this.#losses = new LossReport(deps.logger, deps.timer);
  }

  /** Resolves when a replay or retry has come to its end, or once delivery was stopped. */
  get ended(): Promise<void> {
    return this.#end.promise;
  }

  get isThrough(): boolean {
    return this.#backlog.isDone;
  }

  start(): void {
    if (this.#run === "new") this.#run = "running";
    this.#pump();
  }

  /** More rows are committed. */
  wake(): void {
    if (this.#timers.has("pause") && this.#pause === "idle") this.#pauseFor("back-off", freshWaitMs);
    else this.#pump();
  }

  /**
   * One last try of what is pending, without waits, cut off after that many milliseconds; a replay or retry begins nothing
   * more. What is not delivered stays in the journal. Safe twice.
   */
  stop(deadlineMs: number): Promise<void> {
    if (this.#run === "new") this.#finish();
    if (this.#run !== "running") return this.ended;
    this.#run = "ending";
    const cancel = this.#deps.timer(deadlineMs, () => this.#finish());
    this.#endPause();
    this.#pump();
    return this.ended.then(cancel);
  }

  #finish(): void {
    this.#run = "ended";
    for (const cancel of this.#timers.values()) cancel();
    while (this.#backlog.canAdvance) this.#advance();
    this.#losses.flush();
    this.#abort.abort();
    this.#end.resolve();
  }

  /** Sends whatever may be sent now. Every answer and every end of a pause comes back here. */
  #pump(): void {
    if (this.#run === "new" || this.#run === "ended") return;
    this.#advance();
    while (!this.#timers.has("pause") && this.#sendNext());
    this.#refreshState();
    if (this.#kind === "logs" && this.state.kind === "idle") this.#pumpAfter("look", lookMs);
    if (this.#sending > 0 || this.#timers.has("turn")) return;
    if (this.#run === "ending" || (this.#kind !== "logs" && this.isThrough)) this.#finish();
  }

  #advance(): void {
    const progress = this.#backlog.advance();
    if (this.#backlog.canAdvance) this.#pumpAfter("turn", 0);
    if (progress === undefined) return;
    this.#losses.add(progress.marks);
    this.#deps.onProgress(progress);
  }

  #pumpAfter(name: "pause" | "turn" | "look", delayMs: number): void {
    if (this.#timers.has(name)) return;
    const cancel = this.#deps.timer(delayMs, () => {
      this.#timers.delete(name);
      this.#pump();
    });
    this.#timers.set(name, cancel);
  }

  #endPause(): void {
    this.#timers.get("pause")?.();
    this.#timers.delete("pause");
  }

  /** Whether there was something to send. */
  #sendNext(): boolean {
    if (this.#timers.has("turn") || (this.#run === "ending" && this.#kind !== "logs")) return false;
    const isCareful = this.#failures > 0 || this.#narrowing.isCareful;
    if (this.#sending >= (isCareful ? 1 : this.#deps.concurrency)) return false;
    if (!isCareful) return this.#sendFresh();
    const mayAsk = this.#pace === "unknown" && this.#narrowing.isWholeRefused;
    if (mayAsk && this.#narrowing.isEnough) return this.#askPace();
    const next = this.#narrowing.next(this.#maxLogRecords, this.#deps.clock());
    if (next !== undefined) this.#send(next);
    else if (mayAsk) this.#askPace();
    else if (this.#narrowing.isCareful) this.#rest();
    return next !== undefined;
  }

  get #maxLogRecords(): number {
    return Math.max(1, Math.floor(Math.min(this.#deps.channel.maxLogRecords, this.#cap)));
  }

  #sendFresh(): boolean {
    const { stretches, head } = this.#backlog;
    const fresh = this.#backlog.read(head, { logRecords: this.#maxLogRecords });
    if (!isBefore(fresh.from, fresh.to)) return false;
    const oldest = stretches.find(({ state }) => state === "sent");
    if (oldest !== undefined && fresh.latest > this.#backlog.limitBehind(oldest.earliest)) return false;
    const isSmall = sizeOf(fresh) > 0 && sizeOf(fresh) < this.#maxLogRecords;
    // More may come to go along until the request under way is answered.
    if (isSmall && this.#sending > 0 && this.#run === "running") return false;
    this.#send(requestFor(this.#backlog.append(fresh), fresh));
    return true;
  }

  #send(tried: Try): void {
    const request = ++this.#narrowing.sent;
    const isEmpty = sizeOf(tried) === 0;
    if (tried.kind === "request") tried.stretch.state = isEmpty ? "taken" : "sent";
    if (isEmpty) return this.#pumpAfter("turn", 0);
    this.#sending++;
    void this.#deps.channel.post(tried.spans, this.#abort.signal).then((posted) => {
      this.#sending--;
      if (this.#run === "ended") return;
      if (tried.kind === "request" && tried.stretch.state === "sent") tried.stretch.state = "ready";
      this.#answered(tried, request, posted);
      this.#pump();
    });
  }

  #answered(tried: Try, request: number, posted: Posted): void {
    const { stretch } = tried;
    if (posted.kind !== "failed" && request > this.#failedAt) this.#failures = 0;
    if (posted.kind !== "failed") this.#outage.answered(tried.from.count);
    switch (posted.kind) {
      case "taken":
        this.#refusals = 0;
        if (sizeOf(tried) >= this.#cap) this.#cap *= 1.1;
        this.#pace = "unknown";
        return this.#taken(tried, request, posted.partial);
      case "refused":
        return this.#refused(tried, request, posted);
      case "failed":
        return this.#failed(tried, request, posted);
      case "unsent":
        if (sizeOf(tried) === 1) return this.#narrowing.unsendable(tried, request, posted.message);
        return this.#halve(stretch);
    }
  }

  #taken(tried: Try, request: number, partial: Extract<Posted, { readonly kind: "taken" }>["partial"]): void {
    const { stretch } = tried;
    const logRecords = sizeOf(tried);
    if (partial === undefined || partial.rejected <= 0) return this.#narrowing.taken(tried, request);
    const budget = stretch.budget ?? { requests: partialBudget };
    if (this.#kind === "retry" && tried.kind === "request" && logRecords > 1 && budget.requests > 1) {
      budget.requests -= 2;
      stretch.budget = budget;
      return this.#halve(stretch);
    }
    const message = `${partial.rejected} of ${logRecords} log records rejected: ${partial.message}`;
    this.#narrowing.taken(tried, request, { rejected: Math.min(partial.rejected, logRecords), message });
  }

  #halve(stretch: Stretch): void {
    this.#backlog.replace(stretch, this.#backlog.divide(stretch, sizeOf(stretch) >> 1));
  }

  #refused(tried: Try, request: number, { status, message }: Extract<Posted, { readonly kind: "refused" }>): void {
    if (status === 413 && sizeOf(tried) > 1) this.#cap = sizeOf(tried) >> 1;
    const why = status === 413 ? "too_large" : "rejected";
    this.#narrowing.refused(tried, { why, message }, request, this.#deps.clock());
    if (this.#pace !== "held" || tried.kind === "oldest") return;
    this.#outage.fail("refusing", message);
    this.#pauseFor("back-off", exportBackoffMs(++this.#refusals, undefined, this.#deps.random));
  }

  #failed(
    tried: Try,
    request: number,
    { cause, why, retryAfterMs }: Extract<Posted, { readonly kind: "failed" }>,
  ): void {
    const isAboutRequest = cause === "timeout" || cause === "reset" || cause === "server";
    const isPersistent =
      isAboutRequest && (this.#narrowing.isSuspect(tried) || this.#outage.failsForMinutes(tried.from.count));
    if (!isPersistent || tried.kind !== "oldest") this.#backOff(request, why, retryAfterMs);
    if (!isPersistent) return;
    if (tried.kind === "request") tried.stretch.isSuspect = true;
    this.#narrowing.refused(tried, { why: "failing", message: why }, request, this.#deps.clock());
  }

  #backOff(request: number, why: string, retryAfterMs: number | undefined): void {
    if (this.#run !== "ending") this.#outage.fail("waiting", why);
    if (request <= this.#failedAt) return;
    this.#failedAt = this.#narrowing.sent;
    this.#pauseFor("back-off", exportBackoffMs(++this.#failures, retryAfterMs, this.#deps.random));
  }

  #askPace(): true {
    this.#pace = "asking";
    this.#sending++;
    void this.#deps.channel.post([], this.#abort.signal).then((posted) => {
      this.#sending--;
      this.#pace = posted.kind === "taken" ? "free" : "held";
      if (this.#pace === "held" && this.#run !== "ended") this.#rest();
      this.#pump();
    });
    return true;
  }

  /** Everything that was tried is refused: a later round begins with the oldest again. */
  #rest(): void {
    const waitMs = exportBackoffMs(++this.#refusals, undefined, this.#deps.random);
    if (this.#pace === "held" || this.#refusals >= lastingRefusals)
      this.#outage.fail("refusing", this.#narrowing.why);
    this.#pauseFor(this.#pace === "held" ? "back-off" : "idle", waitMs);
  }

  #pauseFor(why: "back-off" | "idle", delayMs: number): void {
    this.#endPause();
    this.#pause = why;
    this.#pumpAfter("pause", delayMs);
    if (delayMs > 0) this.#narrowing.pause();
  }

  #refreshState(): void {
    const isWell = this.#failures === 0 && !(this.#narrowing.isRefusingAll && this.#refusals > 0);
    if (isWell) this.#outage.recover();
    const isIdle = this.#backlog.stretches.length === 0;
    const state: DeliveryState = this.#outage.trouble ?? { kind: isIdle ? "idle" : "delivering" };
    const whyOf = (of: DeliveryState) => ("why" in of ? of.why : "");
    if (state.kind === this.state.kind && whyOf(state) === whyOf(this.state)) return;
    this.state = state;
    this.#deps.onState(state);
  }
}
