/** Groups events by the local day on which they happened, newest first. */
import type { AcceptedEvent } from "../../admin/events/index.ts";

export interface Day {
  readonly title: string;
  /** Stays the same when events are added. */
  readonly key: string;
  readonly events: readonly AcceptedEvent[];
}

const dayMs = 86_400_000;

/** `received`: newest first; events with equal times keep this order. An event that arrived late is placed by its own time. */
export function daysOf(received: readonly AcceptedEvent[], now = Date.now()): readonly Day[] {
  const timed = received.map((event) => ({ event, at: timeOf(event) })).toSorted((left, right) => right.at - left.at);
  const days = new Map<string, Day & { readonly events: AcceptedEvent[] }>();
  for (const { event } of timed) {
    const at = new Date(event.time);
    const key = at.toDateString();
    const day = days.get(key) ?? { title: titleOf(at, now), key, events: [] };
    days.set(key, day);
    day.events.push(event);
  }
  return [...days.values()];
}

/** Epoch milliseconds; events without a time sort last. */
function timeOf({ time }: AcceptedEvent): number {
  const at = Date.parse(time);
  return Number.isNaN(at) ? -Number.MAX_VALUE : at;
}

function titleOf(at: Date, now: number): string {
  if (Number.isNaN(at.getTime())) return "At an unknown time";
  const date = at.toDateString();
  const title = new Intl.DateTimeFormat(undefined, { dateStyle: "full" }).format(at);
  if (date === new Date(now).toDateString()) return `Today, ${title}`;
  if (date === new Date(now - dayMs).toDateString()) return `Yesterday, ${title}`;
  return title;
}
