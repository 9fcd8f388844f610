/** Folds the ledger at its interval, and sooner where space waits for the snapshot; tidies the journal in between. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Journal } from "../journal/index.ts";
import { attempt } from "../lib/attempt.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { withDelivery } from "./delivery.ts";
import type { Ledger, LedgerView } from "./index.ts";

export interface FoldingDeps {
  readonly ledger: Ledger;
  readonly journal: Journal;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A fold is committed, and can be exported. */
  readonly folded: () => void;
}

const maintainMs = 1000;

/** While space is short, a fold does not wait for its time when rows would leave after it; but not more often than this. */
const earlyFoldMs = 5000;

export class Folding {
  readonly #intervalMs: number;
  readonly #deps: FoldingDeps;
  #view: LedgerView;
  #foldedAt = performance.now();
  #timers: readonly ReturnType<typeof setInterval>[] = [];

  constructor(intervalMs: number, deps: FoldingDeps) {
    this.#intervalMs = intervalMs;
    this.#deps = deps;
    this.#view = deps.ledger.view;
  }

  /** The last committed fold, with what delivery counts. */
  get view(): LedgerView {
    return this.#view;
  }

  /** The ledger has been brought to the last committed row. */
  start(): void {
    this.#show(this.#deps.ledger.view);
    this.#timers = [
      setInterval(() => this.#foldInTime(), this.#intervalMs),
      setInterval(() => this.#tidy(), maintainMs),
    ];
  }

  /** @throws {Unavailable} when the snapshot cannot be committed; what it would have shown comes with the next one. */
  fold(): void {
    const { ledger, journal, telemetry, clock } = this.#deps;
    this.#show(ledger.fold(clock(), journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot)));
    for (const [metric, sets] of ledger.takeOverflowed())
      telemetry.add("tailscale2otel.series.overflowed", sets, { "metric.name": metric });
  }

  /** Safe twice. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  #show(view: LedgerView): void {
    const { journal } = this.#deps;
    this.#view = withDelivery(view, journal.cursor, journal.identity);
  }

  #foldInTime(): void {
    this.#foldedAt = performance.now();
    attempt("cannot commit the counters; they are kept and tried again", this.#deps.logger, () => {
      this.fold();
      this.#deps.folded();
    });
  }

  #tidy(): void {
    const { journal, logger } = this.#deps;
    attempt("cannot tidy the journal; it is tried again", logger, () => {
      if (performance.now() - this.#foldedAt >= earlyFoldMs && journal.wantsSnapshot) this.#foldInTime();
      journal.maintain();
    });
  }
}
