/** One look at the running program: everything that the demo shows, as numbers. */
import type { LogEvent } from "../../catalogue/log-event.ts";
import type { Clock } from "../../lib/clock.ts";
import type { SenderTotals } from "./sender.ts";
import { topTalkers } from "./talkers.ts";
import type { Series, Talker } from "./talkers.ts";

/** The terms of the two sums of conservation, in records. */
export interface Sums {
  readonly received: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly skipped: number;
  readonly quarantined: number;
  readonly delivered: number;
  readonly pending: number;
  readonly deadLettered: number;
}

/** The part of the program that the demo looks at. */
export interface Watched {
  sums(): Sums;
  /** The last committed fold: its time in epoch milliseconds, and the series of a metric. */
  fold(): {
    readonly at: number;
    readonly series: (metric: string) => readonly Series[];
  };
  events(fromSeq: number, limit: number): { readonly nextSeq: number; readonly events: readonly LogEvent[] };
}

export interface Moment {
  readonly elapsedMs: number;
  readonly sent: SenderTotals;
  readonly sums: Sums;
  /** Connection entries counted up to the last fold. */
  readonly entries: number;
  readonly entriesPerSecond: number;
  readonly talkers: readonly Talker[];
  /** The latest audit events, oldest first. */
  readonly changes: readonly LogEvent[];
  /** How many of `changes` came since the last look. */
  readonly newChanges: number;
}

/** Rates are taken over this many folds. */
const foldsForRate = 6;

const rememberedChanges = 12;
const shownTalkers = 10;

/** Rows of events to read in one look; the rest is read at the next. */
const eventsPerRead = 2000;
const readsPerLook = 10;

/** Looks at the program; call it about once a second. */
export function createLook(watched: Watched, sent: SenderTotals, clock: Clock): () => Moment {
  const began = clock();
  const folds = [{ at: began, entries: 0 }];
  let changes: LogEvent[] = [];
  let nextSeq = 0;

  function readChanges(): number {
    let found = 0;
    for (let read = 0; read < readsPerLook; read++) {
      const page = watched.events(nextSeq, eventsPerRead);
      const audits = page.events.filter((event) => event.name === "tailscale.config.audit");
      found += audits.length;
      changes = [...changes, ...audits].slice(-rememberedChanges);
      if (page.nextSeq === nextSeq) break;
      nextSeq = page.nextSeq;
    }
    return found;
  }

  return () => {
    const fold = watched.fold();
    const entries = sumOf(fold.series("tailscale.network.flows"));
    if (folds.at(-1)?.at !== fold.at) folds.push({ at: fold.at, entries });
    if (folds.length > foldsForRate) folds.shift();
    const newChanges = readChanges();
    return {
      elapsedMs: clock() - began,
      sent,
      sums: watched.sums(),
      entries,
      entriesPerSecond: rateOf(folds),
      talkers: topTalkers(fold.series("tailscale.network.io.rollup"), shownTalkers),
      changes,
      newChanges,
    };
  };
}

function rateOf(folds: readonly { at: number; entries: number }[]): number {
  const first = folds[0];
  const last = folds.at(-1);
  if (first === undefined || last === undefined || last.at <= first.at) return 0;
  return ((last.entries - first.entries) * 1000) / (last.at - first.at);
}

function sumOf(series: readonly Series[]): number {
  return series.reduce((sum, { value }) => sum + value, 0);
}
