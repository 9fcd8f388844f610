/** The list of events by day, each a line that opens. */
import { Component, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { clockTime } from "../format.ts";
import { serverNow } from "../live.ts";
import { visible } from "../record-text.ts";
import { daysOf } from "./days.ts";
import { EventDetails } from "./details.tsx";
import { wordsOf } from "./words.ts";

export interface EventListProps {
  /** In order of receipt, newest first. They are shown by their own time. */
  readonly events: readonly AcceptedEvent[];
  /** The event that is initially open and scrolled into view. */
  readonly openId: string | undefined;
}

export function EventList({ events, openId }: EventListProps): JSX.Element {
  return (
    <>
      {daysOf(events, serverNow()).map(({ title, key, events: ofDay }) => (
        <section key={key} class="day" aria-label={title}>
          <h2>{title}</h2>
          <ol>
            {ofDay.map((event) => (
              <EventItem key={event.id} event={event} isLinked={event.id === openId} />
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}

interface EventLineProps {
  readonly event: AcceptedEvent;
  readonly isLinked: boolean;
}

/** Redraws only items that change, of up to a thousand. A memoized element would keep all its former siblings in memory. */
class EventItem extends Component<EventLineProps> {
  override shouldComponentUpdate({ event, isLinked }: EventLineProps): boolean {
    return event !== this.props.event || isLinked !== this.props.isLinked;
  }

  override render({ event, isLinked }: EventLineProps): JSX.Element {
    return (
      <li>
        <EventLine event={event} isLinked={isLinked} />
      </li>
    );
  }
}

function EventLine({ event, isLinked }: EventLineProps): JSX.Element {
  const place = useRef<HTMLDetailsElement>(null);
  const [isOpen, setOpen] = useState(isLinked);
  const { actor, what, target } = wordsOf(event);
  useEffect(() => {
    if (isLinked) place.current?.scrollIntoView({ block: "center" });
  }, [isLinked]);
  return (
    <details
      ref={place}
      class={`event ${event.type}${isLinked ? " linked" : ""}`}
      open={isOpen}
      onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
    >
      <summary>
        <time dateTime={event.time}>{clockTime(event.time)}</time>
        <span class="type">{event.type}</span>
        <Severity severity={event.severity} />
        <bdi class="actor">{visible(actor)}</bdi>
        <bdi class="what">{visible(what)}</bdi>
        <bdi class="target">{visible(target)}</bdi>
      </summary>
      {isOpen && <EventDetails event={event} />}
    </details>
  );
}

function Severity({ severity }: Pick<AcceptedEvent, "severity">): JSX.Element {
  if (severity === "INFO") return <span class="unseen">Information</span>;
  return <span class="severity">▲ Warning</span>;
}
