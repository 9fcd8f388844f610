/** Tells the operator about refused requests without letting a sender fill the log: one line a kind and minute. */
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { hecAnswers, type HecAnswerName } from "./protocol.ts";

export interface RefusalLog {
  add(answer: HecAnswerName, peer: string): void;
}

const quietMs = 60_000;

export function createRefusalLog(logger: Logger, clock: Clock): RefusalLog {
  const kinds = new Map<HecAnswerName, { toldAt: number; untold: number }>();
  return {
    add(answer, peer) {
      const now = clock();
      const kind = kinds.get(answer);
      if (kind !== undefined && now - kind.toldAt < quietMs && now >= kind.toldAt) {
        kind.untold++;
        return;
      }
      const { status, rejected, when } = hecAnswers[answer];
      logger.warn(`stream request refused: ${when}`, { status, reason: rejected, peer, alsoRefused: kind?.untold });
      kinds.set(answer, { toldAt: now, untold: 0 });
    },
  };
}
