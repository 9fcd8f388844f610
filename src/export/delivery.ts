/**
 * Delivers log records from the journal to one backend, at least once and oldest first, and moves the cursor past them.
 * Used three times: for fresh logs (the journal's cursor), a replay (delivered rows) and a retry (dead letters).
 *
 * - While all is well, up to `concurrency` requests are in flight, as long as their events lie within 30 minutes.
 * - After a failure that is not about the body, the whole destination backs off, then requests go one at a time.
 * - A refused request is narrowed (`narrowing.ts`); so is one that failed ten times over five minutes with a timeout, reset
 *   or server error. Log records that are given up are marked in the same commit as the cursor that passes them.
 */
import type { LogCursor } from "../journal/index.ts";
import { aboutRequest } from "./answer.ts";
import { Backlog, isBefore, sizeOf } from "./backlog.ts";
import { Narrowing, requestFor, type Try } from "./narrowing.ts";
import { type DeliveryState, exportBackoffMs, LossReport, Outage } from "./outage.ts";
import { type DeliveryDeps, type DeliveryKind, type Posted, refusedIfPartial } from "./requests.ts";
import { endThread, StepQueue, type Steps } from "./steps.ts";

/** How often idle delivery looks for rows by itself, so that a lost wake-up only delays delivery by seconds. */
const lookMs = 5_000;

/** While everything but empty exports is refused, the oldest and new log records are tried at least this often. */
const maxRestMs = 5_000;

/** If nothing is accepted for this many rounds, that is logged even if empty exports are accepted. */
const lastingRefusals = 5;

type PostedAs<Kind extends Posted["kind"]> = Extract<Posted, { readonly kind: Kind }>;

export class Delivery {
  readonly #kind: DeliveryKind;
  readonly #deps: DeliveryDeps;
  readonly #backlog: Backlog;
  readonly #narrowing: Narrowing;
  readonly #outage: Outage;
  readonly #losses: LossReport;
  readonly #abort = new AbortController();
  readonly #end = Promise.withResolvers<void>();
  /** Work on the backlog waits here until earlier work has its rows. */
  readonly #queue = new StepQueue((error) => this.#failedToRead(error));
  #run: "new" | "running" | "ending" | "ended" = "new";
  state: DeliveryState = { kind: "idle" };
  #sending = 0;
  /** Limit of log records per request, as learned from 413 answers. */
  #cap = Number.POSITIVE_INFINITY;
  /** Consecutive failures, and the number of the last request sent when the latest was counted. */
  #failures = 0;
  #failedAt = 0;
  /** Consecutive refusals while everything is refused. */
  #refusals = 0;
  /**
   * The first time that nothing of a request is accepted, an empty export is posted. Its answer decides only the pace, because
   * a backend may refuse empty exports too: `free` goes on at once, `held` tries one request per back-off step.
   */
  #pace: "unknown" | "asking" | "free" | "held" = "unknown";
  /** Cancel pending timers: the end of a pause (during which nothing is sent), another turn, a look for rows. */
  readonly #timers = new Map<"pause" | "turn" | "look", () => void>();

  constructor(kind: DeliveryKind, cursor: LogCursor, deps: DeliveryDeps) {
    this.#kind = kind;
    this.#deps = deps;
    this.#backlog = new Backlog(cursor, deps.source, deps.clock);
    this.#narrowing = new Narrowing(this.#backlog, deps.random, kind === "logs" ? "endless" : "ends");
    this.#outage = new Outage("log export", deps.logger, deps.clock);
    this.#losses = new LossReport(deps.logger, deps.timer);
  }

  /** Resolves when a replay or retry has finished, or delivery has been stopped. */
  get ended(): Promise<void> {
    return this.#end.promise;
  }

  /** True if a replay or retry had nothing left when it ended. */
  isThrough = false;

  start(): void {
    if (this.#run === "new") {
      this.#run = "running";
      this.#queue.add(() => this.#backlog.open());
    }
    this.#look();
  }

  /** Called when more rows have been committed. */
  wake(): void {
    this.#look();
  }

  /**
   * Tries pending log records one last time, without waiting, for at most `deadlineMs`; a replay or retry starts nothing
   * more. What is not delivered stays in the journal. Safe to call twice.
   */
  stop(deadlineMs: number): Promise<void> {
    if (this.#run === "new") this.#finish();
    if (this.#run !== "running") return this.ended;
    this.#run = "ending";
    const cancel = this.#deps.timer(deadlineMs, () => this.#finish());
    this.#endPause();
    this.#look();
    return this.ended.then(cancel);
  }

  #look(): void {
    this.#queue.add(() => this.#pump());
  }

  #finish(): void {
    this.#run = "ended";
    for (const cancel of this.#timers.values()) cancel();
    this.#queue.add(() => this.#conclude());
  }

  *#conclude(): Steps<void> {
    while (this.#backlog.canAdvance) yield* this.#advance();
    if (this.#kind !== "logs") this.isThrough = yield* this.#backlog.isDone();
    this.#losses.flush();
    this.#abort.abort();
    this.#end.resolve();
  }

  #failedToRead(error: unknown): void {
    if (this.#run !== "ended") endThread(error);
  }

  /** Sends whatever may be sent now. Runs again after every answer and every pause. */
  *#pump(): Steps<void> {
    if (!this.#isOn) return;
    yield* this.#advance();
    while (this.#isOn && !this.#timers.has("pause") && (yield* this.#sendNext()));
    if (!this.#isOn) return;
    this.#refreshState();
    if (this.#kind === "logs" && this.state.kind === "idle") this.#pumpAfter("look", lookMs);
    if (this.#sending > 0 || this.#timers.has("turn")) return;
    const isOver = this.#run === "ending" || (this.#kind !== "logs" && (yield* this.#backlog.isDone()));
    if (isOver && this.#isOn) this.#finish();
  }

  /** Checked after every read, because delivery may end while rows are read. */
  get #isOn(): boolean {
    return this.#run === "running" || this.#run === "ending";
  }

  *#advance(): Steps<void> {
    const progress = yield* this.#backlog.advance();
    if (this.#backlog.canAdvance && this.#isOn) this.#pumpAfter("turn", 0);
    if (progress === undefined) return;
    this.#losses.addMarks(progress.marks);
    this.#deps.onProgress(progress);
  }

  #pumpAfter(name: "pause" | "turn" | "look", delayMs: number): void {
    if (this.#timers.has(name)) return;
    const cancel = this.#deps.timer(delayMs, () => {
      this.#timers.delete(name);
      this.#look();
    });
    this.#timers.set(name, cancel);
  }

  /** Sends the next request, if one may be sent. Returns whether it did. */
  *#sendNext(): Steps<boolean> {
    if (this.#timers.has("turn") || (this.#run === "ending" && this.#kind !== "logs")) return false;
    const isCareful = this.#failures > 0 || this.#narrowing.isCareful;
    if (this.#sending >= (isCareful ? 1 : this.#deps.concurrency)) return false;
    if (!isCareful) return yield* this.#sendFresh();
    const mayAsk = this.#pace === "unknown" && this.#narrowing.isWholeRefused;
    const isEnough = mayAsk && this.#narrowing.isEnough;
    const next = isEnough ? undefined : yield* this.#narrowing.next(this.#most, this.#deps.clock());
    if (!this.#isOn) return false;
    if (next !== undefined) this.#send(next);
    else if (mayAsk) this.#askPace();
    else if (this.#narrowing.isCareful) this.#rest();
    return next !== undefined;
  }

  get #most(): number {
    return Math.max(1, Math.floor(Math.min(this.#deps.channel.maxLogRecords, this.#cap)));
  }

  *#sendFresh(): Steps<boolean> {
    const { stretches, head } = this.#backlog;
    const fresh = yield* this.#backlog.read(head, { logRecords: this.#most });
    if (!this.#isOn || !isBefore(fresh.from, fresh.to)) return false;
    const oldest = stretches.find(({ state }) => state === "sent");
    if (oldest !== undefined && fresh.latest > this.#backlog.limitBehind(oldest.earliest)) return false;
    const isSmall = sizeOf(fresh) > 0 && sizeOf(fresh) < this.#most;
    // More log records may arrive and join it until the request in flight is answered.
    if (isSmall && this.#sending > 0 && this.#run === "running") return false;
    this.#send(requestFor(this.#backlog.append(fresh), fresh));
    return true;
  }

  #send(tried: Try): void {
    const { kind, stretch, spans } = tried;
    const request = ++this.#narrowing.sent;
    if (kind === "request") stretch.state = spans.length === 0 ? "accepted" : "sent";
    if (spans.length === 0) return this.#pumpAfter("turn", 0);
    const answered = (posted: Posted): Steps<void> => {
      if (kind === "request" && stretch.state === "sent") stretch.state = "ready";
      return this.#answered(tried, request, this.#kind === "retry" ? refusedIfPartial(posted) : posted);
    };
    this.#post(tried, answered);
  }

  #post({ spans }: Pick<Try, "spans">, answered: (posted: Posted) => Steps<void> | void): void {
    this.#sending++;
    const taken = function* (this: Delivery, posted: Posted): Steps<void> {
      this.#sending--;
      if (!this.#isOn) return;
      const steps = answered(posted);
      if (steps !== undefined) yield* steps;
      yield* this.#pump();
    };
    this.#deps.channel
      .post(spans, this.#abort.signal)
      .then((posted) => this.#queue.add(() => taken.call(this, posted)))
      .catch((error: unknown) => this.#failedToRead(error));
  }

  *#answered(tried: Try, request: number, posted: Posted): Steps<void> {
    if (posted.kind === "failed") return yield* this.#failed(tried, request, posted);
    if (request > this.#failedAt) this.#failures = 0;
    if (posted.kind === "accepted") yield* this.#accepted(tried, request, posted);
    else if (posted.kind === "refused") yield* this.#refused(tried, request, posted);
    else if (sizeOf(tried) === 1) yield* this.#narrowing.unsendable(tried, request, posted.message);
    else this.#backlog.replace(tried.stretch, yield* this.#backlog.divide(tried.stretch, sizeOf(tried) >> 1));
  }

  *#accepted(tried: Try, request: number, { partial }: PostedAs<"accepted">): Steps<void> {
    const logRecords = sizeOf(tried);
    this.#refusals = 0;
    this.#pace = "unknown";
    if (logRecords >= this.#cap) this.#cap *= 1.1;
    const rejected = Math.min(partial?.rejected ?? 0, logRecords);
    const message = `${rejected} of ${logRecords} log records rejected: ${partial?.message}`;
    yield* this.#narrowing.accepted(tried, request, rejected > 0 ? { rejected, message } : undefined);
  }

  *#refused(tried: Try, request: number, { status, message }: PostedAs<"refused">): Steps<void> {
    if (status === 413 && sizeOf(tried) > 1) this.#cap = sizeOf(tried) >> 1;
    const why = status === 413 ? "too_large" : "rejected";
    yield* this.#narrowing.refused(tried, { why, message }, request, this.#deps.clock());
    if (this.#pace === "held" && tried.kind !== "oldest") this.#hold(message);
  }

  *#failed(tried: Try, request: number, { cause, why, retryAfterMs }: PostedAs<"failed">): Steps<void> {
    const isPersistent = aboutRequest.has(cause) && this.#narrowing.failsForMinutes(tried, this.#deps.clock());
    if (!isPersistent || tried.kind !== "oldest") this.#backOff(request, why, retryAfterMs);
    if (isPersistent)
      yield* this.#narrowing.refused(tried, { why: "failing", message: why }, request, this.#deps.clock());
  }

  #backOff(request: number, why: string, retryAfterMs: number | undefined): void {
    if (this.#run !== "ending") this.#outage.fail("waiting", why);
    if (request <= this.#failedAt) return;
    this.#failedAt = this.#narrowing.sent;
    this.#pauseFor(exportBackoffMs(++this.#failures, retryAfterMs, this.#deps.random));
  }

  #askPace(): void {
    this.#pace = "asking";
    this.#post({ spans: [] }, ({ kind }) => {
      this.#pace = kind === "accepted" ? "free" : "held";
      if (this.#pace === "held") this.#hold(this.#narrowing.why);
    });
  }

  /** Everything that was tried is refused; the next round begins with the oldest again. */
  #rest(): void {
    if (this.#pace === "held") return this.#hold(this.#narrowing.why);
    if (++this.#refusals >= lastingRefusals) this.#outage.fail("refusing", this.#narrowing.why);
    this.#pauseFor(Math.min(maxRestMs, exportBackoffMs(this.#refusals, undefined, this.#deps.random)));
  }

  #hold(why: string): void {
    this.#outage.fail("refusing", why);
    this.#pauseFor(exportBackoffMs(++this.#refusals, undefined, this.#deps.random));
  }

  #pauseFor(delayMs: number): void {
    this.#endPause();
    this.#pumpAfter("pause", delayMs);
    if (delayMs > 0) this.#narrowing.pause();
  }

  #endPause(): void {
    this.#timers.get("pause")?.();
    this.#timers.delete("pause");
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
