/** The latest audit and webhook events. */
import type { JSX } from "preact";
import { eventText } from "../../screen/event-text.ts";
import { time } from "../format.ts";
import { recentEvents } from "../live.ts";
import { Empty } from "../panel.tsx";
import { hrefOf } from "../route.ts";
import { isAbout } from "./reduce.ts";

const shownEvents = 10;

export function LatestEvents({ nodes }: { readonly nodes: readonly string[] }): JSX.Element {
  const events = recentEvents.value.filter((event) => isAbout(event, nodes)).slice(0, shownEvents);
  if (events.length === 0)
    return <Empty>No changes and no webhook events{nodes.length > 0 ? " about the chosen nodes" : " yet"}.</Empty>;
  return (
    <ul class="latest">
      {events.map((event) => (
        <li key={event.id}>
          <time dateTime={event.time}>{time(event.time)}</time>
          <span class={`badge ${event.severity === "WARN" ? "warn" : ""}`}>{event.type}</span>
          <a href={hrefOf({ view: "events", more: { id: event.id } })}>
            <bdi>{eventText(event)}</bdi>
          </a>
        </li>
      ))}
    </ul>
  );
}
