/** The events that are shown, in the order of their receipt, newest first: searched backwards in steps, followed forwards, and never more than a thousand. */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { AcceptedEvent, EventPage } from "../../admin/events/index.ts";
import { type get, troubleOf } from "../api.ts";
import { type EventFilter, isShown, parametersOf } from "./query.ts";

/** `stopped`: by a person; the search can go on. */
export type Phase = "searching" | "idle" | "stopped" | "failed";

export interface TimelineState {
  /** Newest first. */
  readonly events: readonly AcceptedEvent[];
  /** Have come since, and are not among `events` yet. */
  readonly waiting: readonly AcceptedEvent[];
  readonly phase: Phase;
  readonly trouble?: string | undefined;
  /** Why newer events than those of a link could not be read. */
  readonly newerTrouble?: string | undefined;
  /** When what was searched last was received, RFC 3339. */
  readonly searchedTo?: string | undefined;
  /** There is nothing older. */
  readonly isStart: boolean;
  /** There is nothing newer that is not here or waiting. */
  readonly isEnd: boolean;
  /** The event of the link is gone. */
  readonly isLost: boolean;
  /** Something is missing between these events. */
  readonly hasGap: boolean;
}

export const maxEvents = 1000;

/** How many more are searched for at once, and the neighbors of an event. */
const searchedAtOnce = 50;
const neighbors = 15;

/** What is read to catch up. If that is not enough, the newest events replace all that are shown. */
const followed = { events: maxEvents, ms: 20_000 };
/** After an answer that is none. */
const retryMs = 5000;

/** A page may end early, so several are read for the neighbors of an event. */
const newerPages = 10;

const nothing: TimelineState = {
  events: [],
  waiting: [],
  phase: "searching",
  isStart: false,
  isEnd: false,
  isLost: false,
  hasGap: false,
};

export class Timeline {
  readonly #filter: EventFilter;
  readonly #get: typeof get;
  readonly #state = signal(nothing);
  readonly #closing = new AbortController();
  #searching = new AbortController();
  /** Where to search on, and where to follow on. */
  #before: string | undefined;
  #next: string | undefined;
  #isFollowing = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isAskedAgain = false;
  /** The events that wait do not follow on those that are shown: where to search on once they have replaced them. */
  #leapt: string | undefined;

  constructor(filter: EventFilter, ask: typeof get) {
    this.#filter = filter;
    this.#get = ask;
  }

  get state(): ReadonlySignal<TimelineState> {
    return this.#state;
  }

  async open(): Promise<void> {
    const { id } = this.#filter;
    if (id !== undefined && (await this.#openAt(id))) return;
    await this.older();
  }

  /** Searches for some more. */
  async older(): Promise<void> {
    const { events, isStart } = this.#state.peek();
    this.#searching.abort();
    const search = new AbortController();
    this.#searching = search;
    const most = Math.min(events.length + searchedAtOnce, maxEvents);
    if (isStart || events.length >= maxEvents) return;
    this.#change({ phase: "searching", trouble: undefined });
    try {
      while (this.#state.peek().events.length < most && !this.#state.peek().isStart) {
        const page = await this.#ask(this.#place(), search.signal);
        if (search.signal.aborted || this.#closing.signal.aborted) return;
        this.#addOlder(page);
      }
      this.#change({ phase: "idle" });
    } catch (error) {
      if (search.signal.aborted || this.#closing.signal.aborted) return;
      this.#change({ phase: "failed", trouble: troubleOf(error) });
    }
  }

  stop(): void {
    this.#searching.abort();
    if (this.#state.peek().phase === "searching") this.#change({ phase: "stopped" });
  }

  /** Reads what has come since; it waits until it is asked for. */
  async follow(): Promise<void> {
    this.#isAskedAgain = true;
    if (this.#isFollowing || this.#closing.signal.aborted || this.#filter.until !== undefined) return;
    this.#isFollowing = true;
    try {
      while (this.#isAskedAgain && this.#next !== undefined && this.#state.peek().isEnd) {
        this.#isAskedAgain = false;
        if (!(await this.#catchUp())) await this.#leap();
      }
    } catch {
      // The frame of the page says so if the instance does not answer.
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined;
        void this.follow();
      }, retryMs);
    } finally {
      this.#isFollowing = false;
    }
  }

  /** Shows some of what comes after the events of a link. */
  async newer(most = searchedAtOnce): Promise<void> {
    const wanted = this.#state.peek().events.length + most;
    this.#change({ newerTrouble: undefined });
    try {
      for (let pages = 0; pages < newerPages && !this.#state.peek().isEnd; pages++) {
        const missing = wanted - this.#state.peek().events.length;
        if (missing <= 0) break;
        // The event of the link comes once more.
        const limit = this.#next === this.#filter.id ? missing + 1 : missing;
        const { isEnd } = await this.#readNewer("events", limit);
        this.#change({ isEnd });
      }
    } catch (error) {
      this.#change({ newerTrouble: troubleOf(error) });
    }
  }

  showWaiting(): void {
    const { events, waiting } = this.#state.peek();
    if (this.#leapt !== undefined) {
      this.#before = this.#leapt;
      this.#change({ isStart: false, searchedTo: waiting.at(-1)?.acceptedAt });
    }
    this.#change({ waiting: [], ...this.#bounded(this.#leapt === undefined ? [...waiting, ...events] : waiting) });
    this.#leapt = undefined;
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#retry);
    this.#searching.abort();
  }

  /** The event of a link and its neighbors. Returns whether it is still there. */
  async #openAt(id: string): Promise<boolean> {
    try {
      const event = await this.#find(id);
      if (event === undefined) {
        this.#change({ isLost: true });
        return false;
      }
      const older = await this.#ask({ last: neighbors, before: id });
      this.#next = id;
      this.#change({ events: [event], phase: "idle" });
      this.#addOlder(older);
      await this.newer(neighbors);
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#change({ phase: "failed", trouble: troubleOf(error) });
    }
    return true;
  }

  /** The event, whether it matches the filter or not. */
  async #find(id: string): Promise<AcceptedEvent | undefined> {
    if (!/^[0-9a-z]{1,11}(?:\.\d{1,15}){3}$/.test(id)) return undefined;
    const { events } = await this.#get<EventPage>("/api/v1/events", { from: id, limit: 1 }, this.#closing.signal);
    return events[0]?.id === id ? events[0] : undefined;
  }

  #place(): Readonly<Record<string, string | number>> {
    const last = searchedAtOnce;
    if (this.#before !== undefined) return { last, before: this.#before };
    return this.#filter.until === undefined ? { last } : { last, until: this.#filter.until };
  }

  #ask(place: Readonly<Record<string, string | number>>, stop = this.#closing.signal): Promise<EventPage> {
    return this.#get<EventPage>("/api/v1/events", { ...parametersOf(this.#filter), ...place }, stop);
  }

  #addOlder({ events: found, back, next, isEnd, gap }: EventPage): void {
    const { since } = this.#filter;
    const { events } = this.#state.peek();
    const isPast = since !== undefined && back?.to !== undefined && Date.parse(back.to) < since;
    if (this.#next === undefined) {
      this.#next = next;
      this.#change({ isEnd: isEnd || this.#filter.until === undefined });
      // A first page that was cut is followed to its end, and what has come since it was made was not read.
      if (!isEnd || this.#isAskedAgain) void this.follow();
    }
    this.#before = back?.before;
    this.#change({
      searchedTo: back?.to,
      isStart: back === undefined || back.isStart || isPast,
      hasGap: this.#state.peek().hasGap || gap !== undefined,
      ...this.#bounded([...events, ...found.toReversed().filter((event) => isShown(event, this.#filter))]),
    });
  }

  async #readNewer(into: "events" | "waiting", limit = searchedAtOnce * 4): Promise<EventPage> {
    const page = await this.#ask({ from: this.#next ?? "", limit });
    this.#next = page.next;
    const known = new Set([...this.#state.peek().events, ...this.#state.peek().waiting].map(({ id }) => id));
    const found = page.events.toReversed().filter((event) => isShown(event, this.#filter) && !known.has(event.id));
    const { events, waiting, hasGap } = this.#state.peek();
    if (into === "events") this.#change(this.#bounded([...found, ...events]));
    else if (found.length > 0) this.#change({ waiting: [...found, ...waiting].slice(0, maxEvents) });
    if (page.gap !== undefined && !hasGap) this.#change({ hasGap: true });
    return page;
  }

  /** Returns whether all that has come could be read. */
  async #catchUp(): Promise<boolean> {
    const beganAt = performance.now();
    for (let events = 0; events < followed.events && performance.now() - beganAt < followed.ms;) {
      const page = await this.#readNewer("waiting");
      if (page.isEnd) return true;
      events += page.events.length;
    }
    return false;
  }

  /** More comes than can be read, so what is between is left to the search. */
  async #leap(): Promise<void> {
    const page = await this.#ask({ last: searchedAtOnce });
    this.#next = page.next;
    this.#leapt = page.back?.before;
    this.#change({ waiting: page.events.toReversed().filter((event) => isShown(event, this.#filter)) });
  }

  /** If there are too many, the oldest leave, and can be searched for again. */
  #bounded(events: readonly AcceptedEvent[]): Partial<TimelineState> {
    if (events.length <= maxEvents) return { events };
    const kept = events.slice(0, maxEvents);
    const last = kept.at(-1);
    this.#before = last?.id;
    return { events: kept, isStart: false, searchedTo: last?.acceptedAt };
  }

  #change(change: Partial<TimelineState>): void {
    if (!this.#closing.signal.aborted) this.#state.value = { ...this.#state.peek(), ...change };
  }
}
