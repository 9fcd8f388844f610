/** Events by the day on which they happened, as the clock of whoever looks at them says. */
import type { AcceptedEvent } from "../../admin/events/index.ts";

export interface Day {
  readonly title: string;
  /** Stays the same when events are added. */
  readonly key: string;
  readonly events: readonly AcceptedEvent[];
}

const dayMs = 86_400_000;

/** In the order of the events; a day may come twice if its events were received apart. */
export function daysOf(events: readonly AcceptedEvent[], now = Date.now()): readonly Day[] {
  const days: (Day & { readonly date: string; readonly events: AcceptedEvent[] })[] = [];
  for (const event of events) {
    const at = new Date(event.time);
    const date = at.toDateString();
    const last = days.at(-1);
    if (last?.date === date) last.events.push(event);
    else {
      const times = days.filter((day) => day.date === date).length;
      days.push({ title: titleOf(at, now), key: `${date} ${times}`, date, events: [event] });
    }
  }
  return days;
}

function titleOf(at: Date, now: number): string {
  if (Number.isNaN(at.getTime())) return "At an unknown time";
  const date = at.toDateString();
  const title = new Intl.DateTimeFormat(undefined, { dateStyle: "full" }).format(at);
  if (date === new Date(now).toDateString()) return `Today, ${title}`;
  if (date === new Date(now - dayMs).toDateString()) return `Yesterday, ${title}`;
  return title;
}
