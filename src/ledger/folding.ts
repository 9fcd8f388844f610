/** Folds the ledger at its interval, and sooner if space waits for the snapshot; tidies the journal in between. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { attempt } from "../lib/attempt.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Journal } from "../journal/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import type { EndBook } from "../processors/ends.ts";
import type { Fold, Ledger } from "./index.ts";

export interface FoldingDeps {
  readonly ledger: Ledger;
  readonly edges: EdgeBook;
  readonly ends: EndBook;
  readonly journal: Pick<Journal, "wantsSnapshot" | "maintain">;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A fold is committed, and can be exported. */
  readonly folded: (fold: Fold) => void;
}

const maintainMs = 1000;

/** While space is short a fold comes before its time, since rows can leave after it; but not more often than this. */
const earlyFoldMs = 5000;

export class Folding {
  readonly #intervalMs: number;
  readonly #deps: FoldingDeps;
  #foldedAt = performance.now();
  #isFolding = false;
  #timers: readonly ReturnType<typeof setInterval>[] = [];

  /** `intervalMs`: `otlp.metric_interval`. */
  constructor(intervalMs: number, deps: FoldingDeps) {
    this.#intervalMs = intervalMs;
    this.#deps = deps;
  }

  /** To be called once the ledger has caught up with the journal. */
  start(): void {
    this.#timers = [
      setInterval(() => void this.#foldInTime(), this.#intervalMs),
      setInterval(() => this.#tidy(), maintainMs),
    ];
  }

  /** Folds now. @throws {Unavailable} if the snapshot cannot be committed; the next fold has what it would have shown. */
  async fold(): Promise<Fold> {
    const { ledger, edges, ends, telemetry, clock } = this.#deps;
    const fold = await ledger.fold(clock());
    for (const [metric, sets] of ledger.takeOverflowed()) {
      telemetry.add("tailscale2otel.series.overflowed", sets, { "metric.name": metric });
    }
    const unnamed = edges.takeOverflowed() + ends.takeResets();
    if (unnamed > 0)
      telemetry.add("tailscale2otel.series.overflowed", unnamed, { "metric.name": "tailscale.network.io" });
    return fold;
  }

  /** Safe twice. A fold under way ends by itself. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  async #foldInTime(): Promise<void> {
    if (this.#isFolding) return;
    const { logger, folded } = this.#deps;
    this.#isFolding = true;
    this.#foldedAt = performance.now();
    try {
      folded(await this.fold());
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.error("cannot commit the counters; they are kept and committed with the next ones", { reason });
    } finally {
      this.#isFolding = false;
    }
  }

  #tidy(): void {
    const { journal, logger } = this.#deps;
    attempt("cannot tidy the journal; retrying", logger, () => {
      if (performance.now() - this.#foldedAt >= earlyFoldMs && journal.wantsSnapshot) void this.#foldInTime();
      journal.maintain();
    });
  }
}
