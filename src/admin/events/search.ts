/** Searches the journal backwards for events, in steps and for up to two seconds; the next request can continue from there. */
import type { LogPosition } from "../../journal/index.ts";
import type { Pace } from "../pace.ts";
import { startOf } from "./page.ts";
import { charactersOf, type EventReader, type FoundEvent, maxPageCharacters } from "./reader.ts";
import type { Wanted } from "./wanted.ts";

/** How long to search for events that match, if they are rare. */
export const searchMs = 2000;

/** Heads of rows read per step. */
const headsAtOnce = 1000;

export interface BackSearch {
  readonly from: LogPosition;
  readonly wanted: Wanted;
  /** The search ends with this many events. */
  readonly most: number;
  /** What to do once the events fill a page: end, or continue with their places only. */
  readonly beyondPage: "end" | "places";
  /** Called again for each step, because the feed may close. */
  readonly reader: () => EventReader;
  readonly pace: Pick<Pace, "step">;
}

export interface Searched {
  /** Newest first. Those beyond a page have only a place. */
  readonly found: readonly (Pick<FoundEvent, "place"> & Partial<FoundEvent>)[];
  /** Everything wanted between this and `from` has been found. */
  readonly reached: LogPosition;
  /** Nothing is before `reached`. */
  readonly isStart: boolean;
}

/** Searches backwards until it has enough, runs out of time or reaches the start. @throws {Refusal} once the feed is closed. */
export async function searchBack({ from, wanted, most, beyondPage, reader, pace }: BackSearch): Promise<Searched> {
  const endsAt = performance.now() + searchMs;
  const first = (await reader().heads(1, 1))[0]?.seq ?? from.seq;
  const found: Searched["found"][number][] = [];
  let reached = from;
  let characters = 0;
  /** The row of `from` is included if `from` is inside it. */
  let to = from.record > 0 || from.logRecord > 0 ? from.seq + 1 : from.seq;
  while (to > first) {
    const lowest = Math.max(first, to - headsAtOnce);
    const heads = await pace.step(() => reader().wanted(lowest, to, wanted));
    for (const head of heads.toReversed()) {
      let before = head.seq === from.seq ? from : undefined;
      do {
        const part = await pace.step(() => reader().lastEvents(head, wanted, most - found.length, before));
        for (const one of part.found) {
          found.push(beyondPage === "end" || characters < maxPageCharacters ? one : { place: one.place });
          characters += charactersOf(one.event);
        }
        ({ before } = part);
        reached = before ?? startOf(head.seq);
        const isFull = found.length >= most || (beyondPage === "end" && characters >= maxPageCharacters);
        if (isFull || performance.now() >= endsAt) return { found, reached, isStart: isFirst(reached, first) };
      } while (before !== undefined);
    }
    to = lowest;
    reached = startOf(to);
    if (performance.now() >= endsAt) break;
  }
  return { found, reached, isStart: isFirst(reached, first) };
}

function isFirst({ seq, record, logRecord }: LogPosition, first: number): boolean {
  return seq <= first && record === 0 && logRecord === 0;
}
