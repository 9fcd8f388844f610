/** The events shown, in order of receipt, newest first: searched backwards in steps, followed forwards, and capped at a thousand. */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { AcceptedEvent, EventPage } from "../../admin/events/index.ts";
import { type get, troubleOf } from "../api.ts";
import { type EventFilter, isShown, parametersOf } from "./query.ts";

/** `stopped`: by the user; the search can be resumed. */
export type Phase = "searching" | "idle" | "stopped" | "failed";

export interface TimelineState {
  /** Newest first. */
  readonly events: readonly AcceptedEvent[];
  /** Arrived later, and not yet among `events`. */
  readonly waiting: readonly AcceptedEvent[];
  readonly phase: Phase;
  readonly trouble?: string | undefined;
  /** Why events newer than a linked one could not be read. */
  readonly newerTrouble?: string | undefined;
  /** Time of receipt of the last event searched, RFC 3339. */
  readonly searchedTo?: string | undefined;
  /** Nothing older exists. */
  readonly isStart: boolean;
  /** Everything newer is in `events` or `waiting`. */
  readonly isEnd: boolean;
  /** The linked event no longer exists. */
  readonly isLost: boolean;
  /** Something is missing between these events. */
  readonly hasGap: boolean;
}

export const maxEvents = 1000;

/** Events per search, and neighbors shown on each side of a linked event. */
const searchedAtOnce = 50;
const neighbors = 15;

/** Limits of catching up. If they do not suffice, the newest events replace all that are shown. */
const followed = { events: maxEvents, ms: 20_000 };
/** Wait after a failed request. */
const retryMs = 5000;

/** A page may end early, so the neighbors of an event may take several. */
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
  /** Where to continue searching backwards, and following forwards. */
  #before: string | undefined;
  #next: string | undefined;
  #isFollowing = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isAskedAgain = false;
  /** Set if the waiting events do not adjoin the shown ones: where to continue searching once they have replaced them. */
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

  /** Searches for more older events. */
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

  /** Reads newer events into `waiting`, where they stay until the user asks for them. */
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
      // The page's frame reports that the instance does not answer.
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined;
        void this.follow();
      }, retryMs);
    } finally {
      this.#isFollowing = false;
    }
  }

  /** Shows some of the events after a linked one. */
  async newer(most = searchedAtOnce): Promise<void> {
    const wanted = this.#state.peek().events.length + most;
    this.#change({ newerTrouble: undefined });
    try {
      for (let pages = 0; pages < newerPages && !this.#state.peek().isEnd; pages++) {
        const missing = wanted - this.#state.peek().events.length;
        if (missing <= 0) break;
        // The linked event is returned once more.
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

  /** Loads a linked event and its neighbors. Returns false if the event no longer exists. */
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

  /** Finds an event by its id, even if it does not match the filter. */
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
      // Follows up if the first page was cut, or if a request to follow came before the first page was read.
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

  /** Returns true if everything new could be read. */
  async #catchUp(): Promise<boolean> {
    const beganAt = performance.now();
    for (let events = 0; events < followed.events && performance.now() - beganAt < followed.ms;) {
      const page = await this.#readNewer("waiting");
      if (page.isEnd) return true;
      events += page.events.length;
    }
    return false;
  }

  /** More arrives than can be read, so this skips to the newest events and leaves the rest to the search. */
  async #leap(): Promise<void> {
    const page = await this.#ask({ last: searchedAtOnce });
    this.#next = page.next;
    this.#leapt = page.back?.before;
    this.#change({ waiting: page.events.toReversed().filter((event) => isShown(event, this.#filter)) });
  }

  /** Drops the oldest events beyond the maximum; they can be searched for again. */
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
