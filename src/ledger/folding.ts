/** Folds the ledger at its interval, or sooner if the journal needs a snapshot to free space, and tidies the journal in between. */
import { attempt, calmLogger, type Logger } from "../lib/logger.ts";
import type { Clock } from "../lib/clock.ts";
import { type Journal, reasonOf } from "../journal/index.ts";
import type { Fold, Ledger } from "./index.ts";

export interface FoldingDeps {
  readonly ledger: Ledger;
  readonly journal: Pick<Journal, "wantsSnapshot" | "maintain" | "lost">;
  /** The last row at the start of the process; later ones are new. */
  readonly firstSeq: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Called when a fold is committed and can be exported. */
  readonly folded: (fold: Fold) => void;
}

const maintainMs = 1000;

/** While space is short, a fold is made early, because rows can be evicted after it; but not more often than this. */
const earlyFoldMs = 5000;

/**
 * Called once the ledger has caught up with the journal. What was restored, and the first record since the start, are folded
 * within seconds, whatever the interval, because whoever has just started the program is waiting for them. Returns a function that
 * stops it; a fold in progress then ends by itself.
 */
export function startFolding(intervalMs: number, deps: FoldingDeps): () => void {
  const { ledger, journal, firstSeq, clock, folded } = deps;
  const logger = calmLogger(deps.logger, clock);
  let foldedAt = performance.now();
  let isFolding = false;
  let isTidying = false;
  let isStopped = false;
  /** The last row that has been folded since the start; −1 if there is none. */
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
      // The next leader counts from the last snapshot on.
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
