/** One look at the running program: everything that the demo shows, as numbers. */
import type { LogEvent } from "../catalogue/log-event.ts";
import type { Clock } from "../lib/clock.ts";
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
  readonly lost: number;
  readonly uncounted: number;
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
  /** The latest webhook events, oldest first. */
  readonly visits: readonly LogEvent[];
  /** How many of `visits` came since the last look. */
  readonly newVisits: number;
}

/** Rates are taken over this many folds. */
const foldsForRate = 6;

const rememberedEvents = 12;
const shownTalkers = 5;

/** Rows of events to read in one look; the rest is read at the next. */
const eventsPerRead = 2000;
const readsPerLook = 10;

/** Looks at the program; call it about once a second. */
export function createLook(watched: Watched, sent: SenderTotals, clock: Clock): () => Moment {
  const began = clock();
  const folds = [{ at: began, entries: 0 }];
  const changes = createLatest((name) => name === "tailscale.config.audit");
  const visits = createLatest((name) => name.startsWith("tailscale.webhook."));
  let nextSeq = 0;

  function readEvents(): void {
    for (let read = 0; read < readsPerLook; read++) {
      const page = watched.events(nextSeq, eventsPerRead);
      changes.take(page.events);
      visits.take(page.events);
      if (page.nextSeq === nextSeq) break;
      nextSeq = page.nextSeq;
    }
  }

  return () => {
    const fold = watched.fold();
    const entries = sumOf(fold.series("tailscale.network.flows"));
    if (folds.at(-1)?.at !== fold.at) folds.push({ at: fold.at, entries });
    if (folds.length > foldsForRate) folds.shift();
    readEvents();
    return {
      elapsedMs: clock() - began,
      sent,
      sums: watched.sums(),
      entries,
      entriesPerSecond: rateOf(folds),
      talkers: topTalkers(fold.series("tailscale.network.io.rollup"), shownTalkers),
      newChanges: changes.takeNew(),
      changes: changes.events,
      newVisits: visits.takeNew(),
      visits: visits.events,
    };
  };
}

/** The last events of some names, and how many were new. */
function createLatest(isWanted: (name: string) => boolean) {
  let events: readonly LogEvent[] = [];
  let found = 0;
  return {
    get events() {
      return events;
    },
    take(page: readonly LogEvent[]): void {
      const wanted = page.filter(({ name }) => isWanted(name));
      found += wanted.length;
      events = [...events, ...wanted].slice(-rememberedEvents);
    },
    /** How many came since this was last asked. */
    takeNew(): number {
      const taken = found;
      found = 0;
      return taken;
    },
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
