/** The view *Events*: what was changed in the tailnet and by whom, newest first; searched, filtered, and live. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { get } from "../api.ts";
import { counted, dateTime } from "../format.ts";
import { isVisible, reconnections, recentEvents } from "../live.ts";
import { Empty } from "../panel.tsx";
import { go, route } from "../route.ts";
import { EventFilters } from "./filters.tsx";
import { EventList } from "./list.tsx";
import { addressOf, type EventFilter, filterOf } from "./query.ts";
import { maxEvents, Timeline, type TimelineState } from "./timeline.ts";

/** The stream announces new audit and webhook events; connections are polled. */
const flowsEveryMs = 5000;

export function EventsView(): JSX.Element {
  const filter = filterOf(route.value);
  const key = JSON.stringify(filter);
  const timeline = useMemo(() => new Timeline(filter, get), [key]);
  useEffect(() => {
    void timeline.open();
    return () => timeline.close();
  }, [timeline]);
  return (
    <div class="view events">
      <div class="view-head">
        <h1>Events</h1>
      </div>
      <EventFilters filter={filter} seen={timeline.state.value.events} />
      <Scope filter={filter} />
      <Shown key={key} timeline={timeline} filter={filter} />
    </div>
  );
}

/** Says which part is shown unless it reaches up to now, and offers the way back. */
function Scope({ filter }: { readonly filter: EventFilter }): JSX.Element | null {
  const { since, until, id, ...rest } = filter;
  if (since === undefined && until === undefined && id === undefined) return null;
  const begin = since === undefined ? "" : ` from ${dateTime(since)}`;
  const end = until === undefined ? "" : ` to ${dateTime(until)}`;
  return (
    <p class="scope">
      {id === undefined ? `Received${begin}${end}` : "One event and those around it"}
      <button type="button" onClick={() => go({ more: addressOf(rest) })}>
        Show the newest events
      </button>
    </p>
  );
}

interface ShownProps {
  readonly timeline: Timeline;
  readonly filter: EventFilter;
}

function Shown({ timeline, filter }: ShownProps): JSX.Element {
  const state = timeline.state.value;
  const place = useRef<HTMLDivElement>(null);
  const hasFlows = filter.types.includes("flow");
  const isLive = isVisible.value;
  useEffect(() => void timeline.follow(), [timeline, recentEvents.value, reconnections.value]);
  useEffect(() => {
    if (!hasFlows || !isLive) return undefined;
    const timer = setInterval(() => void timeline.follow(), flowsEveryMs);
    return () => clearInterval(timer);
  }, [timeline, hasFlows, isLive]);
  useEffect(() => {
    if (state.waiting.length > 0 && isUnread(place.current)) timeline.showWaiting();
  }, [timeline, state.waiting]);
  const showWaiting = (): void => {
    timeline.showWaiting();
    scrollTo({ top: 0 });
  };
  return (
    <div class="timeline" ref={place} aria-busy={state.phase === "searching" && state.events.length === 0}>
      {state.isLost && <p class="notice">The event of this link has left the journal. These are the newest ones.</p>}
      {state.hasGap && <p class="notice">Some events left the journal before they could be shown.</p>}
      <p class="unseen" role="status">
        {saidOf(state)}
      </p>
      {state.waiting.length > 0 && (
        <button type="button" class="primary news" onClick={showWaiting}>
          {newsOf(state)}
        </button>
      )}
      {filter.id !== undefined && !state.isEnd && state.events.length > 0 && (
        <button type="button" class="more" onClick={() => void timeline.newer()}>
          Show newer events
        </button>
      )}
      {state.newerTrouble !== undefined && (
        <p class="trouble" role="alert">
          {state.newerTrouble}.
        </p>
      )}
      <EventList events={state.events} openId={filter.id} />
      {state.events.length === 0 && state.isStart && <Nothing filter={filter} />}
      <Older timeline={timeline} state={state} filter={filter} />
    </div>
  );
}

/** What a screen reader announces: results, but not every step of a search. */
function saidOf(state: TimelineState): string {
  if (state.waiting.length > 0) return newsOf(state);
  const shown = state.events.length === 1 ? "1 event is shown" : `${state.events.length} events are shown`;
  switch (state.phase) {
    case "searching":
      return "Searching";
    case "failed":
      return `The search failed: ${state.trouble}`;
    case "stopped":
      return `The search is stopped. ${shown}`;
    case "idle":
      return shown;
  }
}

function newsOf({ waiting }: TimelineState): string {
  return counted(waiting.length, "new event");
}

/** True unless somebody reads further down or has an event open; then nothing may move. */
function isUnread(place: HTMLElement | null): boolean {
  return place !== null && scrollY < 40 && place.querySelector("details[open]") === null;
}

function Nothing({ filter }: { readonly filter: EventFilter }): JSX.Element {
  const { text, actor, severity, nodes } = filter;
  if (text !== "" || actor !== "" || severity !== "info" || nodes.length > 0)
    return <Empty>No event matches. Remove a filter, or try other words: all of them have to be in the event.</Empty>;
  return (
    <Empty>
      No events yet. Configuration audit logs come from Tailscale by log streaming or polling, other events by a
      webhook: <code>tailscale2otel tailnet stream set</code> and <code>tailscale2otel tailnet webhook create</code> set
      them up.
    </Empty>
  );
}

interface OlderProps extends ShownProps {
  readonly state: TimelineState;
}

/** Shows how far back the search has got, and continues it when scrolled into view. */
function Older({ timeline, state, filter }: OlderProps): JSX.Element {
  const { phase, trouble, searchedTo, isStart, events } = state;
  const end = useRef<HTMLDivElement>(null);
  const isFull = events.length >= maxEvents;
  const canGoOn = phase === "idle" && !isStart && !isFull;
  useEffect(() => {
    if (!canGoOn || end.current === null || filter.id !== undefined) return undefined;
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting === true && void timeline.older(), {
      rootMargin: "300px",
    });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [timeline, canGoOn, events.length]);
  const reached = searchedTo === undefined ? "" : dateTime(searchedTo);
  return (
    <div class="older" ref={end}>
      <p class="note">
        {phase === "searching" && (reached === "" ? "Searching…" : `Searching… back to ${reached}`)}
        {phase === "stopped" && `Stopped. Searched back to ${reached === "" ? "now" : reached}.`}
        {phase === "failed" && <span class="trouble">{trouble}.</span>}
        {phase === "idle" && isStart && events.length > 0 && `There is nothing older${endOf(filter, reached)}.`}
        {phase === "idle" && isFull && `${maxEvents} events are shown, back to ${reached}.`}
      </p>
      {phase === "searching" && (
        <button type="button" onClick={() => timeline.stop()}>
          Stop
        </button>
      )}
      {phase !== "searching" && !isStart && !isFull && (
        <button type="button" onClick={() => void timeline.older()}>
          {phase === "failed" ? "Try again" : "Show older events"}
        </button>
      )}
      {isFull && !isStart && (
        <button type="button" onClick={() => go({ more: addressOf(before(filter, events.at(-1)?.acceptedAt ?? "")) })}>
          Show only older events
        </button>
      )}
    </div>
  );
}

function before(filter: EventFilter, acceptedAt: string): EventFilter {
  const { id: _, ...rest } = filter;
  return { ...rest, until: Date.parse(acceptedAt) + 1 };
}

function endOf({ since }: EventFilter, reached: string): string {
  return since === undefined && reached !== "" ? `: the journal goes back to ${reached}` : "";
}
