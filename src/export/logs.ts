/** Delivers log events from the journal to one backend, at least once, in requests of many records, and moves the cursor behind them. */
import type { LogCursor } from "../journal/types.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Outage, type Random } from "./backoff.ts";
import type { DeliverySource } from "./delivery-source.ts";
import { type DeliveryState, isSameState } from "./delivery-state.ts";
import { Intake } from "./intake.ts";
import type { LogEncoder } from "./log-encoder.ts";
import { answer, halve, type Piece } from "./piece.ts";
import type { Channel } from "./protocol.ts";
import { type Posted, type RequestLimits, RequestWriter } from "./request-writer.ts";
import { Trial } from "./trial.ts";
import { type Advance, DeliveryWindow } from "./window.ts";

export interface LogDeliveryOptions extends RequestLimits {
  /** Requests past the cursor. */
  readonly concurrency: number;
}

/** Calls back after some milliseconds, unless the returned function is called first. */
export type Timer = (delayMs: number, callback: () => void) => () => void;

export interface LogDeliveryDeps {
  readonly source: DeliverySource;
  readonly channel: Channel;
  readonly encode: LogEncoder;
  readonly clock: Clock;
  readonly random: Random;
  readonly timer: Timer;
  readonly logger: Logger;
  /** The cursor has moved. What is set aside must be committed with it. */
  readonly onProgress: (advance: Advance) => void;
  readonly onState: (state: DeliveryState) => void;
}

/** While a request is under way, a small one waits this long for more to go along. */
const lingerMs = 100;

/** Pieces that need no request, passed before others get a turn. */
const maxPassedInOneTurn = 32;

const never = Number.POSITIVE_INFINITY;

export class LogDelivery {
  readonly #concurrency: number;
  readonly #deps: LogDeliveryDeps;
  readonly #outage: Outage;
  readonly #window: DeliveryWindow;
  readonly #intake: Intake;
  readonly #trial: Trial;
  readonly #writer: RequestWriter;
  readonly #abort = new AbortController();
  #committedSeq = 0;
  #isRunning = false;
  #isFinishing = false;
  #ending: PromiseWithResolvers<void> | undefined;
  #sending = 0;
  #lingerUntil: number | undefined;
  #isLastAnswerTaken = true;
  #cancelTimer: (() => void) | undefined;
  #state: DeliveryState = { kind: "idle" };

  constructor(cursor: LogCursor, options: LogDeliveryOptions, deps: LogDeliveryDeps) {
    this.#concurrency = options.concurrency;
    this.#deps = deps;
    this.#outage = new Outage("logs", deps);
    this.#window = new DeliveryWindow(cursor);
    this.#intake = new Intake(deps.source, cursor);
    this.#trial = new Trial(this.#window, deps);
    this.#writer = new RequestWriter(options, deps.channel, deps.encode);
  }

  start(committedSeq: number): void {
    this.#isRunning = true;
    this.wake(committedSeq);
  }

  /** Rows up to that one are committed. */
  wake(committedSeq: number): void {
    this.#committedSeq = Math.max(this.#committedSeq, committedSeq);
    this.#pump();
  }

  /** One last try of what is pending, without waits; after the deadline it is cut off. What is not delivered stays in the journal. */
  async stop(deadlineMs: number): Promise<void> {
    if (!this.#isRunning) return;
    if (this.#ending !== undefined) return this.#ending.promise;
    this.#ending = Promise.withResolvers();
    const cancel = this.#deps.timer(deadlineMs, () => {
      this.#abort.abort();
      this.#end();
    });
    for (const piece of this.#window.pieces) if (piece.state === "ready") piece.readyAt = 0;
    this.#pump();
    await this.#ending.promise;
    cancel();
  }

  /** Waits for the answers of what is under way, and begins nothing more. */
  finish(deadlineMs: number): Promise<void> {
    this.#isFinishing = true;
    return this.stop(deadlineMs);
  }

  #end(): void {
    this.#isRunning = false;
    this.#cancelTimer?.();
    this.#ending?.resolve();
  }

  /** Sends whatever may be sent now, and arranges to be called when there may be more. */
  #pump(): void {
    if (!this.#isRunning) return;
    this.#cancelTimer?.();
    let passed = 0;
    while (this.#advance() || this.#sendNext()) {
      if (this.#sending === 0 && ++passed > maxPassedInOneTurn) return this.#pumpAt(this.#deps.clock());
    }
    this.#refreshState();
    const nextAt = this.#nextPumpAt();
    const isThrough = this.#isFinishing || nextAt > this.#deps.clock();
    if (this.#ending !== undefined && this.#sending === 0 && isThrough) return this.#end();
    if (nextAt !== never) this.#pumpAt(nextAt);
  }

  #pumpAt(at: number): void {
    this.#cancelTimer = this.#deps.timer(Math.max(0, at - this.#deps.clock()), () => this.#pump());
  }

  #nextPumpAt(): number {
    let earliest = Math.min(this.#trial.testAt ?? never, this.#lingerUntil ?? never);
    if (this.#trial.isHolding || this.#sending >= this.#concurrency) return earliest;
    for (const piece of this.#window.pieces) if (piece.state === "ready") earliest = Math.min(earliest, piece.readyAt);
    return earliest;
  }

  #advance(): boolean {
    const before = this.#window.pieces.length;
    const advance = this.#window.advance(this.#deps.clock());
    if (advance !== undefined) this.#deps.onProgress(advance);
    return this.#window.pieces.length < before;
  }

  #sendNext(): boolean {
    const now = this.#deps.clock();
    if (this.#isFinishing || this.#sending >= this.#concurrency) return false;
    if (this.#trial.isTestDue(now)) return this.#test();
    if (this.#trial.isHolding) return false;
    const waiting = this.#window.pieces.find((piece) => piece.state === "ready" && piece.readyAt <= now);
    const piece = waiting ?? this.#nextPiece(now);
    if (piece === undefined) return false;
    if (piece.state === "ready") void this.#send(piece);
    return true;
  }

  #nextPiece(now: number): Piece | undefined {
    if (this.#window.requests >= this.#concurrency) return undefined;
    const { maxEvents } = this.#writer;
    this.#intake.fill(maxEvents, this.#committedSeq);
    const isSmall = this.#intake.events > 0 && this.#intake.events < maxEvents;
    const mayLinger = isSmall && this.#sending > 0 && this.#ending === undefined;
    if (mayLinger && now < (this.#lingerUntil ??= now + lingerMs)) return undefined;
    this.#lingerUntil = undefined;
    const piece = this.#intake.take(maxEvents);
    if (piece !== undefined) this.#window.add(piece);
    return piece;
  }

  async #send(piece: Piece): Promise<void> {
    piece.state = "sent";
    const posted = await this.#post(piece.events);
    if (!this.#isRunning) return;
    switch (posted.kind) {
      case "taken":
        answer(piece, { kind: "taken", partial: posted.partial });
        this.#isLastAnswerTaken = true;
        this.#trial.taken();
        break;
      case "rejected":
        this.#trial.refused(piece, {
          reason: posted.status === 413 ? "too_large" : "rejected",
          message: posted.message,
        });
        break;
      case "retry":
        this.#trouble(posted.why);
        this.#trial.failed(piece, posted.why, posted.retryAfterMs);
        break;
      case "unsent":
        if (piece.events.length > 1) this.#window.replace(piece, halve(piece, { isSuspect: piece.isSuspect }));
        else answer(piece, { kind: "dead", refusal: { reason: "internal", message: posted.message } });
        break;
    }
    this.#pump();
  }

  /** Sends the newest pending event alone, to learn whether the backend takes anything. */
  #test(): boolean {
    const newest = this.#deps.source.newest(this.#committedSeq) ?? this.#intake.last ?? this.#window.last;
    if (newest === undefined) {
      this.#trial.testFailed(undefined);
      return true;
    }
    this.#trial.beginTest();
    void this.#post([newest.log]).then((posted) => {
      if (!this.#isRunning) return;
      switch (posted.kind) {
        case "taken":
          this.#isLastAnswerTaken = true;
          this.#trial.testTaken(this.#window.pieceOf(newest.position));
          break;
        case "rejected":
          this.#trouble(`the backend refuses every request: ${posted.message}`);
          this.#trial.testRefused();
          break;
        case "retry":
          this.#trouble(posted.why);
          this.#trial.testFailed(posted.retryAfterMs);
          break;
        case "unsent":
          this.#trial.testFailed(undefined);
          break;
      }
      this.#pump();
    });
    return true;
  }

  async #post(events: Piece["events"]): Promise<Posted> {
    this.#sending++;
    const posted = await this.#writer.post(events, this.#abort.signal);
    this.#sending--;
    return posted;
  }

  #trouble(why: string): void {
    this.#isLastAnswerTaken = false;
    this.#outage.fail(why);
  }

  #refreshState(): void {
    const { pieces } = this.#window;
    const isTroubled = this.#trial.isHolding || pieces.some(isInTrouble);
    if (!isTroubled && this.#isLastAnswerTaken) this.#outage.recover();
    if (!pieces.some((piece) => piece.isPart)) this.#trial.rest();
    const { trouble } = this.#outage;
    const state: DeliveryState =
      trouble === undefined ? { kind: pieces.length > 0 ? "delivering" : "idle" } : { kind: "waiting", ...trouble };
    if (isSameState(state, this.#state)) return;
    this.#state = state;
    this.#deps.onState(state);
  }
}

function isInTrouble(piece: Piece): boolean {
  return piece.state === "accused" || (piece.failures > 0 && piece.state !== "answered");
}
