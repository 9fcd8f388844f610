/** Folds the ledger at its interval, and sooner if space waits for the snapshot; tidies the journal in between. */
import { attempt, calmLogger, type Logger } from "../lib/logger.ts";
import type { Clock } from "../lib/clock.ts";
import { type Journal, reasonOf } from "../journal/index.ts";
import type { Fold, Ledger } from "./index.ts";

export interface FoldingDeps {
  readonly ledger: Ledger;
  readonly journal: Pick<Journal, "wantsSnapshot" | "maintain" | "lost">;
  /** The last row at the start of the process: what comes after it is new. */
  readonly firstSeq: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A fold is committed, and can be exported. */
  readonly folded: (fold: Fold) => void;
}

const maintainMs = 1000;

/** While space is short a fold is made early, since rows can leave after it; but not more often than this. */
const earlyFoldMs = 5000;

/**
 * Starts once the ledger has caught up with the journal. What was restored, and the first record since the start, is folded within
 * seconds, whatever the interval: whoever has just started the program is waiting for it. Returns how to stop it; a fold under way
 * then ends by itself.
 */
export function startFolding(intervalMs: number, deps: FoldingDeps): () => void {
  const { ledger, journal, firstSeq, clock, folded } = deps;
  const logger = calmLogger(deps.logger, clock);
  let foldedAt = performance.now();
  let isFolding = false;
  let isTidying = false;
  let isStopped = false;
  /** Up to this row; nothing has been folded since the start while it is −1. */
  let foldedSeq = -1;
  const fold = async (): Promise<void> => {
    if (isFolding) return;
    isFolding = true;
    try {
      await ledger.minutes.settleInSteps();
      if (isStopped) return;
      foldedSeq = ledger.measuredSeq;
      foldedAt = performance.now();
      folded(await ledger.fold(clock()));
    } catch (error) {
      // Who leads next counts from the last snapshot on.
      if (journal.lost.aborted) return;
      const fields = { reason: reasonOf(error) };
      logger.error("cannot commit the counters; they are kept and committed with the next ones", fields);
    } finally {
      isFolding = false;
    }
  };
  const tidy = async (): Promise<void> => {
    const isFirst = foldedSeq <= firstSeq && ledger.measuredSeq > Math.max(foldedSeq, 0);
    if (isFirst || (performance.now() - foldedAt >= earlyFoldMs && journal.wantsSnapshot)) void fold();
    if (isTidying) return;
    isTidying = true;
    try {
      await journal.maintain();
    } finally {
      isTidying = false;
    }
  };
  const timers = [
    setInterval(() => void fold(), intervalMs),
    setInterval(() => void attempt("cannot tidy the journal; retrying", logger, tidy), maintainMs),
  ];
  return () => {
    isStopped = true;
    timers.forEach((timer) => clearInterval(timer));
  };
}
