/** Polls a running instance and keeps what is needed to show rates and the latest events. */
import type { AcceptedEvent, EventPage, EventQuery } from "../admin/events/index.ts";
import type { Overview } from "../admin/overview.ts";

/** An instance, either in this process or behind its admin listener. */
export interface Watched {
  overview(): Promise<Overview>;
  events(query: EventQuery): Promise<EventPage>;
}

export interface Moment {
  readonly overview: Overview;
  readonly entriesPerSecond: number;
  readonly recordsPerSecond: number;
  /** The latest audit and the latest webhook events, oldest first, and those of them that are new since the last look. */
  readonly events: readonly AcceptedEvent[];
  readonly fresh: readonly AcceptedEvent[];
}

/** Events shown per type, so that everything fits on a terminal of 24 lines and a pipe is not flooded. */
const shownEvents = 3;

/** Rates are averages over this time. */
const rateMs = 20_000;

/** Maximum pages of events read per look; the rest is read at the next one. */
const pagesPerLook = 10;

const eventTypes = ["audit", "webhook"] as const;

interface Sample {
  readonly at: number;
  readonly entries: number;
  readonly records: number;
}

/** Returns a function that takes one look, to be called about once a second. It throws what the instance throws. */
export function createLook(): (watched: Watched) => Promise<Moment> {
  let samples: Sample[] = [];
  let startedAt = "";
  let events: readonly AcceptedEvent[] = [];
  let next: string | undefined;

  async function freshEvents(watched: Watched): Promise<readonly AcceptedEvent[]> {
    const ask = { nodes: [], limit: 500, waitMs: 0 };
    if (next === undefined) {
      const first: AcceptedEvent[] = [];
      for (const type of eventTypes) {
        const page = await watched.events({ ...ask, types: [type], last: shownEvents });
        next ??= page.next;
        first.push(...page.events);
      }
      return first;
    }
    const fresh: AcceptedEvent[] = [];
    for (let page = 0; page < pagesPerLook; page++) {
      const read = await watched.events({ ...ask, types: eventTypes, from: next });
      next = read.next;
      fresh.push(...read.events);
      if (read.isEnd) break;
    }
    return fresh;
  }

  return async (watched) => {
    const overview = await watched.overview();
    const known = new Set(events.map(({ id }) => id));
    const fresh = (await freshEvents(watched)).filter(({ id }) => !known.has(id));
    const all = [...events, ...fresh];
    events = eventTypes
      .flatMap((kind) => all.filter(({ type }) => type === kind).slice(-shownEvents))
      .toSorted((left, right) => Date.parse(left.time) - Date.parse(right.time));
    if (overview.startedAt !== startedAt) samples = [];
    ({ startedAt } = overview);
    const now = { at: Date.parse(overview.at), entries: overview.entries, records: overview.conservation.received };
    samples = [...samples.filter(({ at }) => at < now.at && at >= now.at - rateMs), now];
    const oldest = samples[0] ?? now;
    const perSecond = (amount: number): number =>
      now.at === oldest.at ? 0 : Math.max(0, (amount * 1000) / (now.at - oldest.at));
    return {
      overview,
      entriesPerSecond: perSecond(now.entries - oldest.entries),
      recordsPerSecond: perSecond(now.records - oldest.records),
      events,
      fresh: events.filter((event) => fresh.includes(event)),
    };
  };
}
