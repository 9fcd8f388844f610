/** Reads events from the journal, a few milliseconds at a time: about 10 µs per connection that is shown, 1 µs per other one. */
import type { LogEvent } from "../../catalogue/log-event.ts";
import { formatRfc3339 } from "../../lib/rfc3339.ts";
import type { Journal, JournalReader, LogPosition, RowHead } from "../../journal/index.ts";
import type { ProcessorSettings } from "../../processors/index.ts";
import type { RecordType, Source } from "../../records/types.ts";
import { timeText } from "../redeliveries.ts";
import { type EventQuery, type Gap, idOf, type NamesEnd, type OpenPage, startOf } from "./page.ts";
import { type EventRow, EventRows } from "./rows.ts";

export interface EventReaderDeps {
  readonly journal: Pick<Journal, "identity" | "lastSeq" | "openReader">;
  readonly settings: ProcessorSettings;
}

/** How long one call reads. */
const stepMs = 8;

/** A page ends behind this much text. */
const maxPageCharacters = 1024 * 1024;

const headsAtOnce = 200;
/** Events made between two looks at the clock. */
const eventsAtOnce = 128;

/** The row that is decoded. */
interface OpenRow {
  readonly head: RowHead;
  readonly source: Source;
  readonly contents: EventRow;
}

/** `before`: where to go on in the row; nothing if all of it was searched, or enough was found. */
export interface LastPlaces {
  readonly places: readonly LogPosition[];
  readonly before: LogPosition | undefined;
}

export class EventReader {
  readonly #journal: EventReaderDeps["journal"];
  readonly #reader: JournalReader;
  readonly #rows: EventRows;
  #row: OpenRow | undefined;

  constructor({ journal, settings }: EventReaderDeps) {
    this.#journal = journal;
    this.#reader = journal.openReader();
    this.#rows = new EventRows(settings);
  }

  /** Reads on until the page is full, a gap follows its events, or the time is over. Returns whether all is read. */
  advance(page: OpenPage, query: EventQuery, isWanted: NamesEnd | undefined): boolean {
    const { lastSeq } = this.#journal;
    const endsAt = performance.now() + stepMs;
    while (page.place.seq <= lastSeq) {
      const heads = this.heads(page.place.seq, headsAtOnce).filter(({ seq }) => seq <= lastSeq);
      if (heads.length === 0) return skip(page, "deleted", lastSeq + 1);
      for (const head of heads) {
        if (head.seq > page.place.seq && !skip(page, "deleted", head.seq)) return false;
        if (!this.#passes(page, head, query, isWanted, endsAt)) return false;
        if (performance.now() >= endsAt) return page.place.seq > lastSeq;
      }
    }
    return true;
  }

  heads(fromSeq: number, rows: number): readonly RowHead[] {
    return this.#reader.heads(fromSeq, rows);
  }

  /** The heads of rows from `from` up to, but not including, `to` that hold records of a wanted type. */
  wanted(from: number, to: number, query: EventQuery): readonly RowHead[] {
    return this.heads(from, to - from).filter((head) => head.seq < to && isOfType(head, query));
  }

  /** The first row that was received then or later, by halving: rows are in the order of their receipt. */
  seqAt(time: number, end: number): number {
    let low = this.heads(1, 1)[0]?.seq ?? end;
    let high = end;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [head] = this.heads(middle, 1);
      if (head === undefined || head.seq >= high || head.acceptedAt >= time) high = middle;
      else low = head.seq + 1;
    }
    return low;
  }

  /** The last places in a row that match, at most so many, in order: before a place in it, and as far as a few milliseconds reach. */
  lastPlaces(head: RowHead, isWanted: NamesEnd | undefined, most: number, before?: LogPosition): LastPlaces {
    const endsAt = performance.now() + stepMs;
    const row = this.#open(head)?.contents;
    const places: LogPosition[] = [];
    if (row === undefined) return { places, before: undefined };
    const { seq, records } = head;
    let { record, logRecord } = before ?? { record: records - 1, logRecord: row.eventsOf(records - 1) };
    while (record >= 0 && places.length < most) {
      if (performance.now() >= endsAt) return { places: places.toReversed(), before: { seq, record, logRecord } };
      const from = Math.max(0, logRecord - eventsAtOnce);
      for (const [number] of row.events(record, from, logRecord, isWanted).toReversed())
        if (places.length < most) places.push({ seq, record, logRecord: number });
      logRecord = from;
      if (logRecord === 0 && --record >= 0) logRecord = row.eventsOf(record);
    }
    return { places: places.toReversed(), before: undefined };
  }

  close(): void {
    this.#reader.close();
  }

  /** Moves the page behind the row. Returns false if it stays inside or before it. */
  #passes(page: OpenPage, head: RowHead, query: EventQuery, isWanted: NamesEnd | undefined, endsAt: number): boolean {
    if (isOfType(head, query)) {
      const row = this.#open(head);
      if (row === undefined) return skip(page, "damaged", head.seq + 1);
      if (!this.#take(page, row, query, isWanted, endsAt)) return false;
    }
    page.place = startOf(head.seq + 1);
    return true;
  }

  /** Takes the row's events from the page's place on. Returns whether that was all of them. */
  #take(page: OpenPage, row: OpenRow, { limit }: EventQuery, isWanted: NamesEnd | undefined, endsAt: number): boolean {
    const { seq, records } = row.head;
    for (let { record, logRecord } = page.place; record < records; record++, logRecord = 0) {
      const events = row.contents.eventsOf(record);
      while (logRecord < events) {
        const isFull = page.events.length >= limit || page.characters >= maxPageCharacters;
        if (isFull || performance.now() >= endsAt) return false;
        const to = Math.min(events, logRecord + eventsAtOnce, logRecord + limit - page.events.length);
        for (const [number, event] of row.contents.events(record, logRecord, to, isWanted))
          this.#add(page, event, { seq, record, logRecord: number }, row);
        logRecord = to;
        page.place = { seq, record, logRecord };
      }
    }
    return true;
  }

  #add(page: OpenPage, event: LogEvent, place: LogPosition, { head, source }: OpenRow): void {
    const { name, severity, body, attributes } = event;
    page.events.push({
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
    });
    page.characters += body.length + 200;
    for (const value of Object.values(attributes)) page.characters += String(value).length + 30;
  }

  /** `undefined` if the row cannot be read. */
  #open(head: RowHead): OpenRow | undefined {
    if (this.#row?.head.seq === head.seq) return this.#row;
    this.#row = undefined;
    const [read] = this.#reader.read(head.seq, { rows: 1, bytes: 1 });
    if (read?.seq !== head.seq || read.damage !== undefined) return undefined;
    try {
      return (this.#row = { head, source: read.source, contents: this.#rows.open(read) });
    } catch {
      return undefined;
    }
  }
}

/** Goes on at `seq`, behind rows that cannot be shown. Returns whether the page can: it says so at its beginning only. */
function skip(page: OpenPage, reason: Gap["reason"], seq: number): boolean {
  const { events, gap, place } = page;
  if (events.length > 0 || (gap !== undefined && gap.reason !== reason)) return false;
  page.gap = { reason, rows: (gap?.rows ?? 0) + seq - place.seq };
  page.place = startOf(seq);
  return true;
}

function isOfType({ type }: RowHead, { types }: EventQuery): boolean {
  if (type !== "flow" && type !== "audit" && type !== "webhook") return false;
  return types.length === 0 || types.includes(type);
}
