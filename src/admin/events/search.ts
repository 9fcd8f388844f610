/** Searches the journal backwards for events, in steps and for two seconds: whoever asks goes on where the search has got to. */
import type { LogPosition } from "../../journal/index.ts";
import type { Pace } from "../pace.ts";
import { startOf } from "./page.ts";
import { charactersOf, type EventReader, type FoundEvent, maxPageCharacters } from "./reader.ts";
import type { Wanted } from "./wanted.ts";

/** How long to search for events that match, if they are rare. */
export const searchMs = 2000;

/** Heads of rows that are read in a step. */
const headsAtOnce = 1000;

export interface BackSearch {
  readonly from: LogPosition;
  readonly wanted: Wanted;
  /** The search ends with so many. */
  readonly most: number;
  /** What to do once the events are as much text as a page holds: end, or go on with their places alone. */
  readonly beyondPage: "end" | "places";
  /** Read anew for each step: the feed may close. */
  readonly reader: () => EventReader;
  readonly pace: Pick<Pace, "step">;
}

export interface Searched {
  /** Newest first. Those beyond a page have no event. */
  readonly found: readonly (Pick<FoundEvent, "place"> & Partial<FoundEvent>)[];
  /** All that is wanted between this and `from` has been found. */
  readonly reached: LogPosition;
  /** Nothing is before that. */
  readonly isStart: boolean;
}

/** Searches from a place backwards until it has found enough, the time is over, or the journal begins. @throws {Refusal} once the feed is closed. */
export async function searchBack({ from, wanted, most, beyondPage, reader, pace }: BackSearch): Promise<Searched> {
  const endsAt = performance.now() + searchMs;
  const first = (await reader().heads(1, 1))[0]?.seq ?? from.seq;
  const found: Searched["found"][number][] = [];
  let reached = from;
  let characters = 0;
  /** The row of `from` is searched as well if that is inside of it. */
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
