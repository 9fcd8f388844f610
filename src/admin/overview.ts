/** The overview of a running instance that `top` shows; rates are the differences between two of them. */
import type { Clock } from "../lib/clock.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Talker } from "../ledger/talkers.ts";
import { timeText } from "../lib/rfc3339.ts";
import type { Conservation } from "../pipeline/observe.ts";
import type { DestinationStatus } from "./destinations.ts";
import type { CounterState, Health, Status } from "./status.ts";
import { degradedReasons } from "./troubles.ts";

/** Times are RFC 3339. */
export interface Overview {
  readonly version: string;
  readonly at: string;
  readonly startedAt: string;
  /** Why records are not accepted, and what is failing although they are. */
  readonly notReady: readonly string[];
  readonly degraded: readonly string[];
  readonly counters: CounterState;
  readonly conservation: Conservation;
  /** When the oldest record in the backlog was received; absent if there is no backlog. */
  readonly pendingSince?: string;
  /** Further destinations of logs; absent in the answer of an older version. */
  readonly destinations?: readonly Required<Pick<DestinationStatus, "name" | "records">>[];
  /** Connection entries counted so far. */
  readonly entries: number;
  /** The pairs of nodes with the most bytes, both directions together, and since when. */
  readonly talkers: readonly Talker[];
  readonly talkersSince: string;
}

export interface OverviewDeps {
  readonly status: () => Status & Health;
  readonly ledger: Pick<Ledger, "entries" | "talkers" | "shown">;
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly startedAt: number;
}

const shownTalkers = 20;

/** Talkers are ranked again after this time, for all viewers together. */
const rankedMs = 1000;

/** Returns a function that reads the current overview. */
export function createOverview({ status, ledger, clock, startedAt }: OverviewDeps): () => Overview {
  let talkers: readonly Talker[] = [];
  let rankedAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - rankedAt >= rankedMs) {
      talkers = ledger.talkers(shownTalkers);
      rankedAt = performance.now();
    }
    const now = status();
    const { version, notReady, counters, conservation, delivery, destinations = [] } = now;
    const { pendingSince } = delivery;
    return {
      version,
      at: timeText(clock()),
      startedAt: timeText(startedAt),
      notReady,
      degraded: degradedReasons(now),
      counters,
      conservation,
      ...(pendingSince === undefined ? {} : { pendingSince }),
      destinations: destinations.flatMap(({ name, records }) => (records === undefined ? [] : [{ name, records }])),
      entries: ledger.entries,
      talkers,
      talkersSince: timeText(Math.max(startedAt, ledger.shown.since ?? startedAt)),
    };
  };
}
