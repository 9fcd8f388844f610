/**
 * The accepted events of a running instance, read from the journal page by page, as `tail` shows them. Readers send their
 * position, so no state is kept for them, and nothing is done while nobody reads.
 */
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { Refusal } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { LogPosition } from "../../journal/index.ts";
import { timeText } from "../../lib/rfc3339.ts";
import { Pace } from "../pace.ts";
import {
  type AcceptedEvent,
  type EventPage,
  type EventQuery,
  idOf,
  newPage,
  type OpenPage,
  placeOf,
  type SearchedBack,
  startOf,
} from "./page.ts";
import { EventReader, type EventReaderDeps } from "./reader.ts";
import { searchBack, searchMs } from "./search.ts";
import { type Wanted, wantedOf } from "./wanted.ts";

export { type AcceptedEvent, type EventPage, type EventQuery, type Gap } from "./page.ts";

export interface EventFeedDeps extends EventReaderDeps {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

/** Maximum events per page, and how long a request may wait. */
export const maxEvents = 2000;
export const maxWaitMs = 30_000;

/** Maximum length of the free text to search for. */
export const maxTextCharacters = 256;

/** Maximum requests at once, and how many of them may wait for events, so that waiting never prevents searching. */
const maxRequests = 64;
const maxWaiting = 48;

/** The reader is closed after this time without a request. */
const idleMs = 30_000;

export class EventFeed {
  readonly #deps: EventFeedDeps;
  /** Shared by all who read the journal for viewers. */
  readonly pace = new Pace();
  readonly #ending = new AbortController();
  #opened: EventReader | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #requests = 0;
  #waiting = 0;
  /** Reads in progress, by the last row and the query. */
  readonly #reading = new Map<string, Promise<EventPage>>();

  constructor(deps: EventFeedDeps) {
    this.#deps = deps;
  }

  committed(): void {
    this.pace.committed();
  }

  /**
   * Pages that follow the journal send the same query when something arrives, so they share one answer.
   * @throws {Refusal} `overloaded` if there are too many requests at once, `unparsable` for an invalid position.
   */
  read(query: EventQuery): Promise<EventPage> {
    if (query.waitMs > 0) return this.#readAlone(query);
    const key = `${this.#deps.journal.lastSeq} ${JSON.stringify(query)}`;
    let reading = this.#reading.get(key);
    if (reading === undefined) {
      reading = this.#readAlone(query).finally(() => this.#reading.delete(key));
      this.#reading.set(key, reading);
    }
    return reading;
  }

  async #readAlone(query: EventQuery): Promise<EventPage> {
    const { journal } = this.#deps;
    const from = query.from === undefined ? undefined : placeOf(journal, query.from, "from");
    const before = query.before === undefined ? undefined : placeOf(journal, query.before, "before");
    return this.#admitted(query.waitMs > 0 ? "waits" : "reads", async () => {
      const wanted = wantedOf(query);
      const gap = { reason: "other_journal", rows: 0 } as const;
      if (before?.isOurs === false) return { ...(await this.#answer([], startOf(1))), gap };
      if (from?.isOurs === false) return this.#read(query, wanted, { ...newPage(startOf(1)), gap });
      if (query.last !== undefined) return this.#readLast(query, query.last, wanted, before?.place);
      const end = this.#deps.journal.lastSeq + 1;
      const start = query.since === undefined ? end : await this.#reader.seqAt(query.since, end);
      return this.#read(query, wanted, newPage(from?.place ?? startOf(start)));
    });
  }

  /** The event with its texts in full; `undefined` if it has left the journal. @throws {Refusal} like `read`. */
  whole(id: string): Promise<AcceptedEvent | undefined> {
    const { place, isOurs } = placeOf(this.#deps.journal, id, "id");
    return this.#admitted("reads", () => this.pace.step(() => (isOurs ? this.#reader.whole(place) : undefined)));
  }

  /** Refuses requests that are still waiting. */
  close(): void {
    this.#ending.abort();
    this.pace.wake();
    clearTimeout(this.#idle);
    this.#drop();
  }

  async #admitted<Answer>(how: "waits" | "reads", work: () => Promise<Answer>): Promise<Answer> {
    const isFull = this.#requests >= maxRequests;
    const waits = how === "waits";
    if (isFull || (waits && this.#waiting >= maxWaiting)) {
      this.#deps.telemetry.add("tailscale2otel.admin.rejected", 1, { reason: "overloaded" });
      const [number, what] = isFull ? [maxRequests, "reading"] : [maxWaiting, "waiting for"];
      throw new Refusal("overloaded", `${number} requests are ${what} events already`);
    }
    this.#requests++;
    this.#waiting += Number(waits);
    clearTimeout(this.#idle);
    try {
      return await work();
    } finally {
      this.#requests--;
      this.#waiting -= Number(waits);
      if (this.#requests === 0 && !this.#ending.signal.aborted)
        this.#idle = setTimeout(() => this.#drop(), idleMs).unref();
    }
  }

  async #read(query: EventQuery, wanted: Wanted, page: OpenPage): Promise<EventPage> {
    const beganAt = performance.now();
    let isEnd = false;
    for (;;) {
      isEnd = await this.pace.step(() => this.#reader.advance(page, query, wanted));
      const leftMs = beganAt + (isEnd ? query.waitMs : Math.max(query.waitMs, searchMs)) - performance.now();
      if (page.events.length > 0 || page.gap !== undefined || leftMs <= 0) break;
      if (isEnd && !this.#ending.signal.aborted) await this.pace.commit(leftMs);
    }
    const [oldest] = query.since === undefined ? [] : await this.#reader.heads(1, 1);
    return {
      ...(await this.#answer(page.events, page.place)),
      ...(page.gap === undefined ? {} : { gap: page.gap }),
      ...(oldest === undefined || oldest.seq === 1 ? {} : { oldest: timeText(oldest.acceptedAt) }),
    };
  }

  /** The last events of all, or before a place or a time. If the last of all exceed a page, it begins with the first of them. */
  async #readLast(
    query: EventQuery,
    most: number,
    wanted: Wanted,
    before: LogPosition | undefined,
  ): Promise<EventPage> {
    const end = this.#deps.journal.lastSeq + 1;
    const from = before ?? startOf(query.until === undefined ? end : await this.#reader.seqAt(query.until, end));
    const reader = (): EventReader => this.#reader;
    const isOfAll = before === undefined && query.until === undefined;
    const beyondPage = isOfAll ? "places" : "end";
    const search = { from, wanted, most, beyondPage, reader, pace: this.pace } as const;
    const { found, reached, isStart } = await searchBack(search);
    const [head] = await this.#reader.heads(reached.seq, 1);
    const back: SearchedBack = {
      before: idOf(this.#deps.journal, reached),
      ...(head === undefined ? {} : { to: timeText(head.acceptedAt) }),
      isStart,
    };
    const events = found.flatMap(({ event }) => event ?? []).toReversed();
    if (events.length === found.length && (events.length > 0 || !isOfAll || query.waitMs === 0))
      return { ...(await this.#answer(events, from)), back };
    return { ...(await this.#read(query, wanted, newPage(found.at(-1)?.place ?? from))), back };
  }

  async #answer(events: readonly AcceptedEvent[], next: LogPosition): Promise<EventPage> {
    const { journal, clock } = this.#deps;
    const [unread] = next.seq > journal.lastSeq ? [] : await this.#reader.heads(next.seq, 1);
    return {
      events,
      next: idOf(journal, next),
      isEnd: next.seq > journal.lastSeq,
      behindSeconds: unread === undefined ? 0 : Math.max(0, Math.round((clock() - unread.acceptedAt) / 1000)),
    };
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
