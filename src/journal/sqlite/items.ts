/** Quarantined lines and marks as one list of items, to be looked at and removed: the newest row first. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { RecordType, Source } from "../../records/types.ts";
import { endsOfObjects } from "../../records/json.ts";
import type { Mark, MarkFilter, Quarantine, QuarantineFilter, QuarantineItem, QuarantineLine } from "../index.ts";
import { Damaged } from "../packing.ts";
import { deadLetterReasons, markCondition, pageOfMarks, selectMarks } from "./marks.ts";
import { countsIn, type Evicted, linesOf, noteEvicted, type QuarantineRows } from "./quarantine.ts";
import { rowColumns, type StoredRow, textOf } from "./rows.ts";
import { quarantineRows } from "./schema.ts";

/** Records of a mark that are shown. */
const maxTexts = 100;

export interface QuarantineViewDeps {
  readonly database: DatabaseSync;
  readonly rows: QuarantineRows;
  /** Runs in a transaction of its own. @throws {Unavailable} */
  readonly write: <Result>(change: () => Result) => Result;
  /** Deletes marks in the caller's transaction. How many were there. */
  readonly removeMarks: (ids: readonly number[]) => number;
  readonly evictedMarks: () => readonly Evicted[];
}

/** Lines and marks as one list of items. */
export function quarantineView(deps: QuarantineViewDeps): Quarantine {
  const { database, rows } = deps;
  return {
    get evicted() {
      return [...rows.evicted, ...deps.evictedMarks()];
    },
    counts: (filter) => [...countsOfLines(database, filter), ...countsOfMarks(database, filter)],
    page(filter, { beforeId, limit }) {
      const before = placeOf(database, beforeId);
      const marks = marksMeant(filter) ? pageOfMarks(database, markFilter(filter), before, limit) : [];
      const items = [
        ...linesBefore(database, filter, before, limit),
        ...marks.map((mark) => itemOfMark(database, mark)),
      ];
      return items.sort((a, b) => b.seq - a.seq || numberOf(b.id) - numberOf(a.id)).slice(0, limit);
    },
    read(id) {
      const mark = /^m(\d{1,15})$/.exec(id);
      if (mark !== null) return readMark(database, Number(mark[1]));
      const [seq, line] = lineId(id) ?? [];
      const row = seq === undefined ? undefined : rows.read(seq);
      const text = row && linesOf(row)[line as number];
      if (row === undefined || text === undefined || text === "") return undefined;
      const stored = JSON.parse(text) as QuarantineLine;
      return { item: itemOfLine(row, line as number, stored), texts: [stored.text], isCut: stored.isCut === true };
    },
    remove(ids) {
      const lines = new Map<number, Set<number>>();
      for (const id of ids) {
        const [seq, line] = lineId(id) ?? [];
        if (seq !== undefined && line !== undefined) lines.set(seq, (lines.get(seq) ?? new Set()).add(line));
      }
      const marks = ids.filter((id) => /^m\d{1,15}$/.test(id)).map((id) => Number(id.slice(1)));
      return deps.write(() => {
        let removed = deps.removeMarks(marks);
        for (const [seq, cleared] of lines) removed += rows.clear(seq, cleared);
        return removed;
      });
    },
  };
}

function countsOfLines(database: DatabaseSync, filter: QuarantineFilter) {
  const counts = new Map<string, Evicted>();
  const { where, values } = rowCondition(filter);
  for (const row of database.prepare(`SELECT type, tally FROM ${quarantineRows}${where}`).all(...values)) {
    for (const [type, reason, lines] of countsIn(row as unknown as StoredRow)) {
      if (!isMeant(filter, type, reason)) continue;
      noteEvicted(counts, row["type"] as Evicted["class"], reason, lines);
    }
  }
  return counts.values();
}

function countsOfMarks(database: DatabaseSync, filter: QuarantineFilter) {
  const counts = new Map<string, Evicted>();
  if (!marksMeant(filter)) return [];
  const { where, values } = markCondition(markFilter(filter));
  const sql = `SELECT why, COUNT(*) AS items FROM mark WHERE ${where} GROUP BY why ORDER BY why`;
  for (const { why, items } of database.prepare(sql).all(...values) as { why: Mark["why"]; items: number }[])
    noteEvicted(counts, classOf(why), why, items);
  return counts.values();
}

/** What of a filter a row can be asked for, behind other conditions. */
function rowCondition(filter: QuarantineFilter): { readonly where: string; readonly values: SQLInputValue[] } {
  const values: SQLInputValue[] = [];
  let where = "";
  if (filter.class !== undefined) {
    where += " AND type = ?";
    values.push(filter.class);
  }
  if (filter.before !== undefined) {
    where += " AND accepted_at < ?";
    values.push(filter.before);
  }
  return { where, values };
}

function* linesBefore(
  database: DatabaseSync,
  filter: QuarantineFilter,
  before: { readonly seq: number; readonly line: number },
  limit: number,
): Generator<QuarantineItem> {
  const { where, values } = rowCondition(filter);
  const next = database.prepare(
    `SELECT ${rowColumns} FROM ${quarantineRows}${where} AND seq <= ? ORDER BY seq DESC LIMIT 1`,
  );
  let found = 0;
  let seq = before.seq;
  while (found < limit) {
    const row = next.get(...values, seq) as StoredRow | undefined;
    if (row === undefined) return;
    const lines = mayHold(row, filter) ? linesOf(row) : [];
    for (let line = lines.length - 1; line >= 0 && found < limit; line--) {
      const text = lines[line] as string;
      if (text === "" || (row.seq === before.seq && line >= before.line)) continue;
      const stored = JSON.parse(text) as QuarantineLine;
      if (!isMeant(filter, stored.type, stored.reason)) continue;
      found++;
      yield itemOfLine(row, line, stored);
    }
    seq = row.seq - 1;
  }
}

/** Whether a row has lines that the filter means, as far as its counts tell: without its text. */
function mayHold(row: StoredRow, filter: QuarantineFilter): boolean {
  return countsIn(row).some(([type, reason]) => isMeant(filter, type, reason));
}

function isMeant(filter: QuarantineFilter, type: RecordType | "unknown", reason: string): boolean {
  return (filter.type ?? type) === type && (filter.reason ?? reason) === reason;
}

/** Where a page goes on: behind an item, in the order of rows and on a row of lines or marks. */
function placeOf(database: DatabaseSync, id: string | undefined) {
  if (id === undefined) return { seq: Number.MAX_SAFE_INTEGER, line: 0, id: 0 };
  const line = lineId(id);
  if (line !== undefined) return { seq: line[0], line: line[1], id: 0 };
  const mark = numberOf(id);
  /** If it is gone, the marks made before it tell. */
  const row = database.prepare("SELECT seq FROM mark WHERE id <= ? ORDER BY id DESC LIMIT 1").get(mark);
  return { seq: (row as { seq: number } | undefined)?.seq ?? 0, line: 0, id: mark };
}

function lineId(id: string): readonly [seq: number, line: number] | undefined {
  const found = /^(\d{1,15})\.(\d{1,9})$/.exec(id);
  return found === null ? undefined : [Number(found[1]), Number(found[2])];
}

/** The line of a line's id, the number of a mark's. */
function numberOf(id: string): number {
  return Number(id.replace(/^(m|\d+\.)/, ""));
}

function itemOfLine(row: StoredRow, line: number, { type, reason, detail }: QuarantineLine): QuarantineItem {
  const { seq, accepted_at: at, source } = row;
  const itemClass = row.type as "invalid" | "sample";
  return {
    id: `${seq}.${line}`,
    class: itemClass,
    type,
    seq,
    from: line,
    records: 1,
    at,
    source: source as Source,
    reason,
    detail,
  };
}

function itemOfMark(database: DatabaseSync, mark: Mark): QuarantineItem {
  const row = database.prepare("SELECT type, source FROM batch WHERE seq = ?").get(mark.seq) as
    { type: RecordType; source: Source } | undefined;
  return {
    id: `m${mark.id}`,
    class: classOf(mark.why),
    type: row?.type ?? "unknown",
    seq: mark.seq,
    from: mark.from,
    records: mark.to - mark.from,
    at: mark.at,
    source: row?.source ?? "stream",
    reason: mark.why,
    detail: mark.message,
  };
}

function readMark(database: DatabaseSync, id: number): ReturnType<Quarantine["read"]> {
  const [mark] = selectMarks(database, { ids: [id] }, { afterId: 0, marks: 1 });
  if (mark === undefined) return undefined;
  const row = database.prepare(`SELECT ${rowColumns} FROM batch WHERE seq = ?`).get(mark.seq) as StoredRow | undefined;
  const texts = row === undefined ? [] : recordTexts(row, mark.from, Math.min(mark.to, mark.from + maxTexts));
  return { item: itemOfMark(database, mark), texts, isCut: mark.to - mark.from > texts.length };
}

/** Texts of a row's records from number `from` up to `to`; none if the row is damaged. */
function recordTexts(row: StoredRow, from: number, to: number): string[] {
  try {
    const text = textOf(row);
    const ends = endsOfObjects(text);
    return ends.slice(from, to).map((end, place) => {
      const begin = from + place === 0 ? 0 : (ends[from + place - 1] as number);
      return new TextDecoder().decode(text.subarray(begin, end)).trim();
    });
  } catch (error) {
    if (error instanceof Damaged) return [];
    throw error;
  }
}

function classOf(why: Mark["why"]): "dead_letter" | "note" {
  return deadLetterReasons.includes(why) ? "dead_letter" : "note";
}

function marksMeant(filter: QuarantineFilter): boolean {
  return filter.class !== "invalid" && filter.class !== "sample";
}

const noteReasons: readonly Mark["why"][] = ["partial", "unmeasured"];

function markFilter({ class: itemClass, reason, type, before }: QuarantineFilter): MarkFilter {
  const ofClass =
    itemClass === undefined
      ? [...deadLetterReasons, ...noteReasons]
      : itemClass === "note"
        ? noteReasons
        : deadLetterReasons;
  const why = reason === undefined ? ofClass : ofClass.filter((known) => known === reason);
  return {
    why,
    ...(type !== undefined && { type: type as RecordType }),
    ...(before !== undefined && { before }),
  };
}
