/** Whether a refusal is the fault of a record or of the backend: nothing is set aside before the backend has taken something else. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { backoffMs, type Random } from "./backoff.ts";
import { answer, halve, type Piece, type Refusal, release } from "./piece.ts";
import type { DeliveryWindow } from "./window.ts";

export interface TrialDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** A request that has failed this often, for this long, while others are taken, is treated like a refused one. */
const persistentFailures = 10;
const persistentForMs = 300_000;

/** Accused pieces that are gathered, while others are still being halved, before the backend is tested for them. */
const firstThreshold = 2;

/**
 * Refused pieces are halved until the guilty event is alone, which is then accused. Accused pieces wait for a test of
 * the backend: the newest pending event, sent alone. If it is taken, the backend is well: pieces refused alone are
 * tried once more, and a second refusal sets them aside. If it is not, the backend refuses everything: all is held, the
 * test is repeated with back-off, and once it passes all begin anew.
 */
export class Trial {
  readonly #window: DeliveryWindow;
  readonly #deps: TrialDeps;
  #isTesting = false;
  #isHolding = false;
  #failedTests = 0;
  #testAt = 0;
  #threshold = firstThreshold;
  #lastTakenAt = Number.NEGATIVE_INFINITY;

  constructor(window: DeliveryWindow, deps: TrialDeps) {
    this.#window = window;
    this.#deps = deps;
  }

  /** The backend refuses everything: nothing but the test may be sent. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Epoch milliseconds of the next test while holding. */
  get testAt(): number | undefined {
    return this.#isHolding && !this.#isTesting ? this.#testAt : undefined;
  }

  /** The backend has taken a request. */
  taken(): void {
    this.#lastTakenAt = this.#deps.clock();
    if (this.#isHolding) this.#beginAnew();
  }

  /** The backend has refused a piece for what it holds. */
  refused(piece: Piece, refusal: Refusal): void {
    if (piece.events.length > 1) this.#window.replace(piece, halve(piece, { isSuspect: false }));
    else if (piece.isConfirming) this.#setAside(piece, refusal);
    else accuse(piece, refusal);
  }

  /** A try of a piece has ended without a word about what it holds. */
  failed(piece: Piece, why: string, retryAfterMs: number | undefined): void {
    const now = this.#deps.clock();
    if (piece.failures++ === 0) piece.firstFailureAt = now;
    const isLong = piece.isSuspect || now - piece.firstFailureAt >= persistentForMs;
    if (isLong && piece.failures >= persistentFailures)
      return this.#persisted(piece, { reason: "failing", message: why });
    piece.state = "ready";
    if (!piece.isSuspect) piece.isConfirming = false;
    piece.readyAt = now + backoffMs(piece.isSuspect ? 1 : piece.failures, retryAfterMs, this.#deps.random);
  }

  /** Whether the newest pending event should be sent alone. */
  isTestDue(now: number): boolean {
    if (this.#isTesting) return false;
    if (this.#isHolding) return now >= this.#testAt;
    const accused = this.#accused().length;
    if (accused === 0) return false;
    if (accused >= this.#threshold) return true;
    return !this.#window.pieces.some((piece) => isBeingHalved(piece, now));
  }

  beginTest(): void {
    this.#isTesting = true;
  }

  /** The test was taken. `tested` is the piece that it was itself, if it was one. */
  testTaken(tested: Piece | undefined): void {
    const now = this.#deps.clock();
    this.#isTesting = false;
    this.#failedTests = 0;
    this.#lastTakenAt = now;
    const wasItselfAccused = tested?.state === "accused";
    if (wasItselfAccused) answer(tested, { kind: "taken", partial: undefined });
    if (this.#isHolding || wasItselfAccused) return this.#beginAnew();
    this.#threshold *= 2;
    for (const piece of this.#accused()) {
      if (piece.events.length > 1) {
        this.#window.replace(piece, halve(piece, { isSuspect: true }));
        continue;
      }
      piece.isSuspect = piece.refusal?.reason === "failing";
      piece.isConfirming = true;
      piece.failures = 0;
      piece.state = "ready";
      piece.readyAt = now;
    }
  }

  /** The test was refused: hold. */
  testRefused(): void {
    this.#isTesting = false;
    this.#isHolding = true;
    this.#testAt = this.#deps.clock() + backoffMs(++this.#failedTests, undefined, this.#deps.random);
  }

  /** The test came to no answer: an outage, in which every piece waits for itself. */
  testFailed(retryAfterMs: number | undefined): void {
    this.#isTesting = false;
    this.#isHolding = false;
    const readyAt = this.#deps.clock() + backoffMs(++this.#failedTests, retryAfterMs, this.#deps.random);
    for (const piece of this.#accused()) release(piece, readyAt);
  }

  /** Nothing is halved any more. */
  rest(): void {
    this.#threshold = firstThreshold;
  }

  /** The backend took something after it had refused everything: no refusal meanwhile is held against a piece. */
  #beginAnew(): void {
    this.#isHolding = false;
    this.#threshold = firstThreshold;
    const now = this.#deps.clock();
    for (const piece of this.#accused()) release(piece, now);
  }

  #persisted(piece: Piece, refusal: Refusal): void {
    const isBackendWell = this.#lastTakenAt > piece.firstFailureAt;
    if (piece.isConfirming) this.#setAside(piece, refusal);
    else if (piece.isSuspect && piece.events.length > 1 && isBackendWell)
      this.#window.replace(piece, halve(piece, { isSuspect: true }));
    else accuse(piece, refusal);
  }

  #setAside(piece: Piece, refusal: Refusal): void {
    const seq = piece.spans[0]?.record.seq;
    this.#deps.logger.warn("a log event that the backend does not take is set aside", { ...refusal, seq });
    answer(piece, { kind: "dead", refusal });
  }

  #accused(): Piece[] {
    return this.#window.pieces.filter((piece) => piece.state === "accused");
  }
}

function accuse(piece: Piece, refusal: Refusal): void {
  piece.state = "accused";
  piece.refusal = refusal;
}

function isBeingHalved(piece: Piece, now: number): boolean {
  if (!piece.isPart) return false;
  return piece.state === "sent" || (piece.state === "ready" && piece.readyAt <= now);
}
