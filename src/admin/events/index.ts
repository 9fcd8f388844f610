/**
 * The accepted events of a running instance, read from the journal page by page: what `tail` shows. A reader says where it
 * is, so nothing is kept for it; while nobody reads, this costs nothing.
 */
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { Refusal } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { LogPosition } from "../../journal/index.ts";
import { timeText } from "../redeliveries.ts";
import { Pace } from "./pace.ts";
import { type EventPage, type EventQuery, idOf, namesEndOf, newPage, type OpenPage, placeOf, startOf } from "./page.ts";
import { EventReader, type EventReaderDeps } from "./reader.ts";

export { type AcceptedEvent, type EventPage, type EventQuery, type Gap } from "./page.ts";

export interface EventFeedDeps extends EventReaderDeps {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

/** Events on one page, and how long a request may wait. */
export const maxEvents = 2000;
export const maxWaitMs = 30_000;

/** Requests at once. */
const maxRequests = 64;

/** How long to search for events that match, if they are rare; and how long to look back for the last ones. */
const searchMs = 2000;
const headsAtOnce = 200;

/** What reading needs is dropped after so long without a request. */
const idleMs = 30_000;

export class EventFeed {
  readonly #deps: EventFeedDeps;
  readonly #pace = new Pace();
  readonly #ending = new AbortController();
  #opened: EventReader | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #requests = 0;

  constructor(deps: EventFeedDeps) {
    this.#deps = deps;
  }

  /** Records have been committed. */
  committed(): void {
    this.#pace.committed();
  }

  /** @throws {Refusal} `overloaded` if too many ask at once, `unparsable` for a position that is none. */
  async read(query: EventQuery): Promise<EventPage> {
    if (this.#requests >= maxRequests) {
      this.#deps.telemetry.add("tailscale2otel.admin.rejected", 1, { reason: "overloaded" });
      throw new Refusal("overloaded", `${maxRequests} requests are waiting for events already`);
    }
    const page = query.from === undefined ? undefined : this.#pageFrom(query.from);
    this.#requests++;
    clearTimeout(this.#idle);
    try {
      return await this.#read(query, page ?? newPage(await this.#start(query)));
    } finally {
      this.#requests--;
      if (this.#requests === 0 && !this.#ending.signal.aborted)
        this.#idle = setTimeout(() => this.#drop(), idleMs).unref();
    }
  }

  /** Those who wait are refused. */
  close(): void {
    this.#ending.abort();
    this.#pace.wake();
    clearTimeout(this.#idle);
    this.#drop();
  }

  async #read(query: EventQuery, page: OpenPage): Promise<EventPage> {
    const isWanted = namesEndOf(query.nodes);
    const beganAt = performance.now();
    let isEnd = false;
    for (;;) {
      isEnd = await this.#pace.step(() => this.#reader.advance(page, query, isWanted));
      const leftMs = beganAt + (isEnd ? query.waitMs : Math.max(query.waitMs, searchMs)) - performance.now();
      if (page.events.length > 0 || page.gap !== undefined || leftMs <= 0) break;
      if (isEnd && !this.#ending.signal.aborted) await this.#pace.commit(leftMs);
    }
    const [unread] = isEnd ? [] : this.#reader.heads(page.place.seq, 1);
    const [oldest] = query.since === undefined ? [] : this.#reader.heads(1, 1);
    return {
      events: page.events,
      next: idOf(this.#deps.journal, page.place),
      isEnd,
      behindSeconds:
        unread === undefined ? 0 : Math.max(0, Math.round((this.#deps.clock() - unread.acceptedAt) / 1000)),
      ...(page.gap === undefined ? {} : { gap: page.gap }),
      ...(oldest === undefined || oldest.seq === 1 ? {} : { oldest: timeText(oldest.acceptedAt) }),
    };
  }

  #pageFrom(position: string): OpenPage {
    const { place, isOurs } = placeOf(this.#deps.journal, position);
    return isOurs ? newPage(place) : { ...newPage(startOf(1)), gap: { reason: "other_journal", rows: 0 } };
  }

  /** Where a query without a position begins. */
  async #start(query: EventQuery): Promise<LogPosition> {
    const end = this.#deps.journal.lastSeq + 1;
    if (query.since !== undefined) return startOf(this.#reader.seqAt(query.since, end));
    return query.last === undefined ? startOf(end) : await this.#lastPlace(query.last, end, query);
  }

  /** The place of the event with that number from the end, of those that match; as far back as time allows. */
  async #lastPlace(last: number, end: number, query: EventQuery): Promise<LogPosition> {
    const isWanted = namesEndOf(query.nodes);
    const untilMs = performance.now() + searchMs;
    const first = this.#reader.heads(1, 1)[0]?.seq ?? end;
    let place = startOf(end);
    let missing = last;
    for (let to = end; to > first && missing > 0; to -= headsAtOnce) {
      const heads = await this.#pace.step(() => this.#reader.wanted(Math.max(first, to - headsAtOnce), to, query));
      for (const head of heads.toReversed()) {
        let before: LogPosition | undefined;
        do {
          if (missing <= 0 || performance.now() >= untilMs) return place;
          const found = await this.#pace.step(() => this.#reader.lastPlaces(head, isWanted, missing, before));
          place = found.places[0] ?? place;
          missing -= found.places.length;
          ({ before } = found);
        } while (before !== undefined);
      }
    }
    return place;
  }

  /** @throws {Refusal} `shutting_down` once this is closed. */
  get #reader(): EventReader {
    if (this.#ending.signal.aborted) throw new Refusal("shutting_down", "the program is stopping");
    return (this.#opened ??= new EventReader(this.#deps));
  }

  #drop(): void {
    this.#opened?.close();
    this.#opened = undefined;
  }
}
