/** The latest audit and webhook events. */
import type { JSX } from "preact";
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { wordsOf } from "../events/words.ts";
import { time } from "../format.ts";
import { recentEvents } from "../live.ts";
import { Empty } from "../panel.tsx";
import { visible } from "../record-text.ts";
import { hrefOf } from "../route.ts";
import { isAbout } from "./reduce.ts";

const shownEvents = 10;

export function LatestEvents({ nodes }: { readonly nodes: readonly string[] }): JSX.Element {
  const recent = recentEvents.value;
  if (recent === undefined) return <Empty>Loading…</Empty>;
  const events = recent.filter((event) => isAbout(event, nodes)).slice(0, shownEvents);
  if (events.length === 0)
    return <Empty>No changes and no webhook events{nodes.length > 0 ? " about the chosen nodes" : " yet"}.</Empty>;
  return (
    <ul class="latest">
      {events.map((event) => (
        <li key={event.id}>
          <time dateTime={event.time}>{time(event.time)}</time>
          <span class={`badge ${event.severity === "WARN" ? "warn" : ""}`}>{event.type}</span>
          <a href={hrefOf({ view: "events", more: { id: event.id } })}>
            <bdi>{sentenceOf(event)}</bdi>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** In the words of the view *Events*; the text of a webhook event names all who take part. */
function sentenceOf(event: AcceptedEvent): string {
  const { actor, what, target } = wordsOf(event);
  if (event.type === "webhook") return visible(what);
  return visible(`${actor === "" ? "" : `${actor} `}${what}${target === "" || target === actor ? "" : `: ${target}`}`);
}
