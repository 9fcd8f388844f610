/** Tells the operator about refused requests without letting a sender fill the log: one line a kind and minute. */
import type { Clock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";

/** The row of a receiver's table that was answered with. */
export interface RefusalAnswer {
  readonly when: string;
  readonly status: number;
  readonly rejected?: string;
}

export interface RefusalLog {
  add(answer: RefusalAnswer, peer: string): void;
}

/** `subject`: what is refused, as a log line begins. */
export function createRefusalLog(subject: string, { logger, clock }: { logger: Logger; clock: Clock }): RefusalLog {
  const quiet = createOncePerMinute<RefusalAnswer>(clock);
  return {
    add(answer, peer) {
      const said = quiet(answer);
      if (said === undefined) return;
      const { status, rejected, when } = answer;
      const alsoRefused = said.suppressed === 0 ? undefined : said.suppressed;
      logger.warn(`${subject} refused: ${when}`, { status, reason: rejected, peer, alsoRefused });
    },
  };
}
