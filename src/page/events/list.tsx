/** The list of events by day. Each is a line that opens. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { serverNow } from "../live.ts";
import { daysOf } from "./days.ts";
import { EventDetails } from "./details.tsx";
import { visible, wordsOf } from "./words.ts";

export interface EventListProps {
  /** Newest first. */
  readonly events: readonly AcceptedEvent[];
  /** The event that is open at first, and in sight. */
  readonly openId: string | undefined;
}

export function EventList({ events, openId }: EventListProps): JSX.Element {
  // The same element is not compared again, of which there may be a thousand.
  const drawn = useMemo(() => new WeakMap<AcceptedEvent, JSX.Element>(), [openId]);
  const itemOf = (event: AcceptedEvent): JSX.Element => {
    const known = drawn.get(event);
    if (known !== undefined) return known;
    const made = (
      <li key={event.id}>
        <EventLine event={event} isLinked={event.id === openId} />
      </li>
    );
    drawn.set(event, made);
    return made;
  };
  return (
    <>
      {daysOf(events, serverNow()).map(({ title, key, events: ofDay }) => (
        <section key={key} class="day" aria-label={title}>
          <h2>{title}</h2>
          <ol>{ofDay.map(itemOf)}</ol>
        </section>
      ))}
    </>
  );
}

interface EventLineProps {
  readonly event: AcceptedEvent;
  readonly isLinked: boolean;
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
        <time dateTime={event.time}>{clockText(event.time)}</time>
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

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

function clockText(at: string): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : clock.format(date);
}

function Severity({ severity }: Pick<AcceptedEvent, "severity">): JSX.Element {
  if (severity === "INFO") return <span class="unseen">Information</span>;
  return <span class="severity">▲ Warning</span>;
}
