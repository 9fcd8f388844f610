/** Lists quarantined texts and marks together, newest row first, page by page, from what an engine stores. */
import type { QuarantineLine } from "./batch.ts";
import {
  conditionOf,
  isQuarantine,
  itemOf,
  itemOfLine,
  type Lines,
  linesOf,
  type MarkTable,
  maxTexts,
  parseItemId,
  quarantinedClasses,
  type StoredMark,
  textsOf,
} from "./items.ts";
import type { Awaitable, Quarantine, QuarantineCount, QuarantineFilter, QuarantineItem } from "./journal.ts";

/** Position of a mark in the list, which is ordered by row, first line and id. */
type MarkPlace = readonly [seq: number, line: number, id: number];

/** What an engine provides for the list. */
export interface QuarantineStore extends Pick<Quarantine, "remove" | "evicted"> {
  readonly table: MarkTable;
  /** The mark that an item's id names, or for a text the one that covers it. */
  find(itemId: string): Awaitable<StoredMark | undefined>;
  /** A row's text; empty if it is damaged or gone. */
  text(seq: number): Awaitable<Uint8Array>;
}

/** Quarantined texts count by line; a mark on accepted records counts as one item. */
const counted = `class, why AS reason,
  SUM(CASE WHEN class IN ('${quarantinedClasses.join("', '")}') THEN to_line - from_line ELSE 1 END) AS items`;

export function createQuarantine(store: QuarantineStore): Quarantine {
  const { table } = store;
  /** The row that was read last, because marks of one row are adjacent. */
  let last: { readonly seq: number; readonly lines: Lines } | undefined;

  /** The lines of a row from `from` up to `to`; none if the row is damaged. */
  async function linesIn(seq: number, from: number, to: number): Promise<string[]> {
    if (last?.seq !== seq) last = { seq, lines: linesOf(await store.text(seq)) };
    return textsOf(last.lines, from, to);
  }

  /** The position at which a page continues. */
  async function placeOf(itemId: string): Promise<MarkPlace> {
    const [seq = 0, line] = itemId.split(".").map(Number);
    if (line !== undefined) return [seq, line, 0];
    const id = Number(itemId.slice(1));
    /** If the mark is gone, the one created before it gives the position. */
    const [nearest] = await table.query<Pick<StoredMark, "seq" | "from_line">>(
      "seq, from_line",
      "WHERE id <= ? ORDER BY id DESC LIMIT 1",
      [id],
    );
    return [nearest?.seq ?? 0, nearest?.from_line ?? 0, id];
  }

  /** Up to 100 matching marks before that place, in descending order. */
  function marksBefore(place: MarkPlace, filter: QuarantineFilter): Awaitable<readonly StoredMark[]> {
    const { where, values } = conditionOf(filter, table);
    const isBefore = "(seq, from_line, id) < (CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint))";
    const order = "ORDER BY seq DESC, from_line DESC, id DESC LIMIT 100";
    return table.marks(`WHERE ${where} AND ${isBefore} ${order}`, [...values, ...place]);
  }

  async function* itemsBefore(filter: QuarantineFilter, first: MarkPlace): AsyncGenerator<QuarantineItem> {
    for (let found = await marksBefore(first, filter); found.length > 0;) {
      for (const mark of found) {
        const { seq, from_line: from, to_line: to } = mark;
        const texts = isQuarantine(mark.class)
          ? await linesIn(seq, from, seq === first[0] ? Math.min(to, first[1]) : to)
          : [];
        for (let line = texts.length - 1; line >= 0; line--) yield itemOfLine(mark, from + line, texts[line] as string);
        if (!isQuarantine(mark.class)) yield itemOf(mark);
      }
      const { seq, from_line: from, id } = found.at(-1) as StoredMark;
      found = await marksBefore([seq, from, id], filter);
    }
  }

  return {
    get evicted() {
      return store.evicted;
    },
    async counts(filter) {
      const { where, values } = conditionOf(filter, table);
      const rest = `WHERE ${where} GROUP BY class, why ORDER BY class, why`;
      return (await table.query<QuarantineCount>(counted, rest, values)).map((count) => ({ ...count }));
    },
    remove: (ids) => store.remove(ids),
    async page(filter, { beforeId, limit }) {
      const first: MarkPlace = beforeId === undefined ? [Number.MAX_SAFE_INTEGER, 0, 0] : await placeOf(beforeId);
      const items: QuarantineItem[] = [];
      for await (const item of itemsBefore(filter, first)) if (items.push(item) >= limit) break;
      return items;
    },
    async read(id) {
      const mark = await store.find(id);
      if (mark === undefined) return undefined;
      const { seq, from_line: from, to_line: to } = mark;
      const named = parseItemId(id);
      if (typeof named !== "object") {
        const texts = await linesIn(seq, from, Math.min(to, from + maxTexts));
        return { item: itemOf(mark), texts, isCut: to - from > texts.length };
      }
      const [stored] = await linesIn(seq, named.line, named.line + 1);
      if (stored === undefined) return undefined;
      const { text, isCut = false } = JSON.parse(stored) as QuarantineLine;
      return { item: itemOfLine(mark, named.line, stored), texts: [text], isCut };
    },
  };
}
