/** Reads events from the journal, a few milliseconds at a time: about 10 µs per connection shown, 1 µs per other one. */
import type { LogEvent } from "../../catalogue/log-event.ts";
import { formatRfc3339, timeText } from "../../lib/rfc3339.ts";
import { Refusal } from "../../errors.ts";
import type { Awaitable, Journal, JournalReader, LogPosition, RowHead } from "../../journal/index.ts";
import type { ProcessorSettings } from "../../processors/index.ts";
import { type RecordType, recordTypes, type Source } from "../../records/types.ts";
import { type AcceptedEvent, type EventQuery, type Gap, idOf, type OpenPage, startOf } from "./page.ts";
import { type EventRow, EventRows } from "./rows.ts";
import type { Wanted } from "./wanted.ts";

export interface EventReaderDeps {
  readonly journal: Pick<Journal, "identity" | "lastSeq" | "openReader">;
  readonly settings: ProcessorSettings;
}

/** How long one call may read. */
const stepMs = 8;

/** A page ends after this much text. */
export const maxPageCharacters = 1024 * 1024;

const headsAtOnce = 200;
/** Events built between two checks of the clock. */
const eventsAtOnce = 128;

/** The currently decoded row. */
interface OpenRow {
  readonly head: RowHead;
  readonly source: Source;
  readonly contents: EventRow;
}

export interface FoundEvent {
  readonly place: LogPosition;
  readonly event: AcceptedEvent;
}

/** Newest first. `before`: the rest of the row before this place has not been searched; `undefined` if all of it has. */
export interface LastEvents {
  readonly found: readonly FoundEvent[];
  readonly before: LogPosition | undefined;
}

export class EventReader {
  readonly #journal: EventReaderDeps["journal"];
  readonly #reader: JournalReader;
  readonly #rows: EventRows;
  #row: OpenRow | undefined;
  #isClosed = false;

  constructor({ journal, settings }: EventReaderDeps) {
    this.#journal = journal;
    this.#reader = journal.openReader();
    this.#rows = new EventRows(settings);
  }

  /**
   * Reads on until the page is full, a gap follows its events, or the time is up. Resolves with true if everything has been read.
   * Calls of this, `lastEvents` and `whole` must not overlap.
   */
  async advance(page: OpenPage, query: Pick<EventQuery, "limit">, wanted: Wanted): Promise<boolean> {
    const { lastSeq } = this.#journal;
    const endsAt = performance.now() + stepMs;
    while (page.place.seq <= lastSeq) {
      const heads = (await this.heads(page.place.seq, headsAtOnce)).filter(({ seq }) => seq <= lastSeq);
      if (heads.length === 0) return skip(page, "deleted", lastSeq + 1);
      for (const head of heads) {
        if (head.seq > page.place.seq && !skip(page, "deleted", head.seq)) return false;
        if (wanted.inRow(head)) {
          const row = await this.#open(head);
          if (row === undefined ? !skip(page, "damaged", head.seq + 1) : !this.#take(page, row, query, wanted, endsAt))
            return false;
        }
        page.place = startOf(head.seq + 1);
        if (performance.now() >= endsAt) return page.place.seq > lastSeq;
      }
    }
    return true;
  }

  /** @throws {Refusal} `shutting_down` once this is closed, like every method that reads. */
  heads(fromSeq: number, rows: number): Promise<readonly RowHead[]> {
    return this.#answered(() => this.#reader.heads(fromSeq, rows));
  }

  /** The heads of rows from `from` up to `to` (exclusive) that may contain wanted events. */
  async wanted(from: number, to: number, { inRow }: Wanted): Promise<readonly RowHead[]> {
    return (await this.heads(from, to - from)).filter((head) => head.seq < to && inRow(head));
  }

  /** The first row received at that time or later, by binary search: rows are in the order of receipt. */
  async seqAt(time: number, end: number): Promise<number> {
    let low = (await this.heads(1, 1))[0]?.seq ?? end;
    let high = end;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [head] = await this.heads(middle, 1);
      if (head === undefined || head.seq >= high || head.acceptedAt >= time) high = middle;
      else low = head.seq + 1;
    }
    return low;
  }

  /** The last wanted events in a row, at most `most`: before a place in it, and as far as a few milliseconds reach. */
  async lastEvents(head: RowHead, wanted: Wanted, most: number, before?: LogPosition): Promise<LastEvents> {
    const endsAt = performance.now() + stepMs;
    const row = await this.#open(head);
    const found: FoundEvent[] = [];
    if (row === undefined) return { found, before: undefined };
    const { seq, records } = head;
    const { contents } = row;
    let { record, logRecord } = before ?? { record: records, logRecord: 0 };
    do {
      if (logRecord === 0) {
        if (--record < 0) return { found, before: undefined };
        logRecord = contents.eventsOf(record);
      }
      const from = Math.max(0, logRecord - eventsAtOnce);
      for (const [number, event] of contents.events(record, from, logRecord, wanted).toReversed()) {
        const place = { seq, record, logRecord: number };
        found.push({ place, event: this.#accepted(event, place, row) });
        if (found.length >= most) return { found, before: place };
      }
      logRecord = from;
    } while (performance.now() < endsAt);
    return { found, before: { seq, record, logRecord } };
  }

  /** The event at a place with its texts in full; `undefined` if it has been deleted or cannot be read. */
  async whole({ seq, record, logRecord }: LogPosition): Promise<AcceptedEvent | undefined> {
    const [head] = await this.heads(seq, 1);
    const row =
      head?.seq === seq && recordTypes.some((type) => type === head.type) ? await this.#open(head) : undefined;
    const event = row?.contents.whole(record, logRecord);
    return row && event && this.#accepted(event, { seq, record, logRecord }, row);
  }

  close(): void {
    this.#isClosed = true;
    this.#reader.close();
  }

  /** Answers of a reader that was closed in the meantime are discarded. */
  async #answered<Answer>(read: () => Awaitable<Answer>): Promise<Answer> {
    try {
      const answer = await read();
      if (!this.#isClosed) return answer;
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
    throw new Refusal("shutting_down", "the program is stopping");
  }

  /** Adds the row's events from the page's place on. Returns true if it reached the end of the row. */
  #take(page: OpenPage, row: OpenRow, { limit }: Pick<EventQuery, "limit">, wanted: Wanted, endsAt: number): boolean {
    const { seq, records } = row.head;
    for (let { record, logRecord } = page.place; record < records; record++, logRecord = 0) {
      const events = row.contents.eventsOf(record);
      while (logRecord < events) {
        const isFull = page.events.length >= limit || page.characters >= maxPageCharacters;
        if (isFull || performance.now() >= endsAt) return false;
        const to = Math.min(events, logRecord + eventsAtOnce, logRecord + limit - page.events.length);
        for (const [number, event] of row.contents.events(record, logRecord, to, wanted))
          this.#add(page, event, { seq, record, logRecord: number }, row);
        logRecord = to;
        page.place = { seq, record, logRecord };
      }
    }
    return true;
  }

  #add(page: OpenPage, event: LogEvent, place: LogPosition, row: OpenRow): void {
    page.events.push(this.#accepted(event, place, row));
    page.characters += charactersOf(event);
  }

  #accepted(event: LogEvent, place: LogPosition, { head, source }: OpenRow): AcceptedEvent {
    const { name, severity, body, attributes } = event;
    return {
      id: idOf(this.#journal, place),
      type: head.type as RecordType,
      source,
      acceptedAt: timeText(head.acceptedAt),
      time: formatRfc3339(event.time),
      observedTime: formatRfc3339(event.observedTime),
      name,
      severity,
      body,
      attributes,
    };
  }

  /** `undefined` if the row cannot be read. */
  async #open(head: RowHead): Promise<OpenRow | undefined> {
    if (this.#row?.head.seq === head.seq) return this.#row;
    this.#row = undefined;
    const [read] = await this.#answered(() => this.#reader.read(head.seq, { rows: 1, bytes: 1 }));
    if (read?.seq !== head.seq || read.damage !== undefined) return undefined;
    try {
      return (this.#row = { head, source: read.source, contents: this.#rows.open(read) });
    } catch {
      return undefined;
    }
  }
}

/** Skips to `seq`, past rows that cannot be shown. Returns false if the page must end first: a gap can only be at its start. */
function skip(page: OpenPage, reason: Gap["reason"], seq: number): boolean {
  const { events, gap, place } = page;
  if (events.length > 0 || (gap !== undefined && gap.reason !== reason)) return false;
  page.gap = { reason, rows: (gap?.rows ?? 0) + seq - place.seq };
  page.place = startOf(seq);
  return true;
}

/** Approximate length of an event's text. */
export function charactersOf({ body, attributes }: Pick<LogEvent, "body" | "attributes">): number {
  let characters = body.length + 200;
  for (const value of Object.values(attributes)) characters += String(value).length + 30;
  return characters;
}
