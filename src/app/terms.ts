/**
 * The terms of an instance that shares its journal: it waits to lead, leads until it loses the lead or the program stops, and
 * waits again. Whatever a term fails with, another one follows.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { AppendingJournal, Journal } from "../journal/index.ts";
import type { Logger } from "../lib/logger.ts";
import { reasonOf } from "../journal/index.ts";
import type { Leading } from "./leading.ts";

/** The part of the leading half that a term needs. */
export type Led = Pick<Leading, "begin" | "end" | "abandon">;

export interface TermsDeps<Half extends Led> {
  readonly journal: Pick<AppendingJournal, "lead">;
  readonly logger: Logger;
  /** Creates the leading half over the journal that this instance leads. */
  readonly make: (journal: Journal) => Promise<Half>;
  /** Pause after a term that could not begin. */
  readonly pauseMs?: number;
}

export interface Terms<Half extends Led> {
  /** Absent while another instance leads. */
  readonly leading: Half | undefined;
  /** Call once the receivers listen. Runs in the background. */
  start(): void;
  /** Ends the term by the deadline and lets another instance lead at once. May be called twice, and before `start`. */
  stop(deadlineMs: number): Promise<void>;
}

export function createTerms<Half extends Led>({ journal, logger, make, pauseMs = 1000 }: TermsDeps<Half>): Terms<Half> {
  const ending = new AbortController();
  let leading: Half | undefined;
  let running: Promise<void> = Promise.resolve();
  let endsAt = 0;

  async function serve(): Promise<void> {
    while (!ending.signal.aborted) {
      try {
        await serveTerm(await journal.lead(ending.signal));
      } catch (error) {
        if (ending.signal.aborted) return;
        logger.warn("this instance cannot lead; trying again", { reason: reasonOf(error) });
        await delay(pauseMs, undefined, { signal: ending.signal }).catch(() => undefined);
      }
    }
  }

  /** Resolves when the term is over. @throws what `make` throws, after the journal is released. */
  async function serveTerm(led: Journal): Promise<void> {
    let half: Half;
    try {
      half = await make(led);
    } catch (error) {
      await led.release();
      throw error;
    }
    leading = half;
    if (!led.lost.aborted && !ending.signal.aborted) {
      half.begin();
      logger.info("this instance leads: it counts, delivers and polls");
      await firstOf(led.lost, ending.signal);
    }
    leading = undefined;
    if (led.lost.aborted) {
      await half.abandon();
      const { reason } = led.lost as { readonly reason: unknown };
      if (!ending.signal.aborted)
        logger.warn("this instance no longer leads: it stops counting, delivering and polling", {
          reason: reasonOf(reason),
        });
      return;
    }
    await half.end(Math.max(0, endsAt - performance.now()));
    await led.release();
  }

  return {
    get leading() {
      return leading;
    },
    start() {
      running = serve();
    },
    async stop(deadlineMs) {
      endsAt = performance.now() + deadlineMs;
      ending.abort();
      await running;
    },
  };
}

/** Resolves once one of them is aborted. */
async function firstOf(...signals: readonly AbortSignal[]): Promise<void> {
  const first = AbortSignal.any([...signals]);
  if (first.aborted) return;
  await new Promise<void>((resolve) => first.addEventListener("abort", () => resolve(), { once: true }));
}
