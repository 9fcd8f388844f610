/** What was never accepted and is kept to be looked at, in rows with a line per text; and its lines and the marks as one list of items. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { endsOfObjects } from "../../records/json.ts";
import type { RecordType, Source } from "../../records/types.ts";
import type {
  Mark,
  MarkFilter,
  Quarantine,
  QuarantineCount,
  QuarantineFilter,
  QuarantineItem,
  QuarantineLine,
  QuarantinePart,
} from "../index.ts";
import { Damaged, packText } from "../packing.ts";
import { deadLetterReasons, markCondition, noteReasons, pageOfMarks, selectMarks } from "./marks.ts";
import type { Retention } from "./retention.ts";
import { rowColumns, type RowWriter, type StoredRow, textOf } from "./rows.ts";
import { quarantined, quarantineRows } from "./schema.ts";
import type { Turn } from "./turn.ts";

/** Records of a mark that are shown. */
const maxTexts = 100;

/** Bytes on disk that all quarantine rows share; the oldest leave first. */
const maxBytes = 64 * 1024 * 1024;

/** Counted for a row beside its body, which bounds their number too. */
const overheadBytes = 1024;

/** How many lines of a row share type and reason. Cleared ones are not counted. */
type LineCount = readonly [type: RecordType | "unknown", reason: string, lines: number];

/** The rows themselves: all changes are in the caller's transaction. */
export class QuarantineRows {
  readonly #rows: RowWriter;
  readonly #stored: StatementSync;
  readonly #oldest: StatementSync;
  readonly #read: StatementSync;
  readonly #delete: StatementSync;
  readonly #evicted = new Map<string, QuarantineCount>();
  #bytes = 0;

  constructor(database: DatabaseSync, rows: RowWriter) {
    this.#rows = rows;
    const size = `LENGTH(body) + ${overheadBytes}`;
    this.#stored = database.prepare(`SELECT COALESCE(SUM(${size}), 0) AS bytes FROM ${quarantineRows}`);
    this.#oldest = database.prepare(`SELECT ${rowColumns} FROM ${quarantineRows} AND seq < ? ORDER BY seq LIMIT 1`);
    this.#read = database.prepare(`SELECT ${rowColumns} FROM batch WHERE seq = ? AND ${quarantined}`);
    this.#delete = database.prepare("DELETE FROM batch WHERE seq = ?");
    this.rolledBack();
  }

  /** Lines that left for want of space, since the start. */
  get evicted(): readonly QuarantineCount[] {
    return [...this.#evicted.values()];
  }

  insert(part: QuarantinePart, row: Pick<StoredRow, "seq" | "accepted_at" | "source" | "tailnet">): void {
    const { class: type, lines: records, length, body } = part;
    const tally = JSON.stringify(tallyOf(part.types, part.reasons));
    this.#rows.insert({ ...row, type, records, length, left_out: null, body, tally });
    this.#bytes += body.length + overheadBytes;
    while (this.#bytes > maxBytes) {
      const oldest = this.#oldest.get(row.seq) as StoredRow | undefined;
      if (oldest === undefined) return;
      this.#remove(oldest);
      const itemClass = oldest.type as QuarantineCount["class"];
      for (const [, reason, items] of countsIn(oldest)) addCount(this.#evicted, { class: itemClass, reason, items });
    }
  }

  read(seq: number): StoredRow | undefined {
    return this.#read.get(seq) as StoredRow | undefined;
  }

  /** Clears lines of a row, which is deleted with its last one. How many of them were there. */
  clear(seq: number, lines: ReadonlySet<number>): number {
    const row = this.read(seq);
    if (row === undefined) return 0;
    const before = linesOf(row);
    const after = before.map((text, line) => (lines.has(line) ? "" : text));
    const left = after.filter((text) => text !== "").map((text) => JSON.parse(text) as QuarantineLine);
    const cleared = before.filter((text) => text !== "").length - left.length;
    if (left.length === 0 && cleared > 0) this.#remove(row);
    else if (cleared > 0) {
      const text = new TextEncoder().encode(after.join("\n"));
      const body = packText(text);
      const types = left.map(({ type }) => type);
      const reasons = left.map(({ reason }) => reason);
      this.#rows.rewrite({ ...row, length: text.length, body, tally: JSON.stringify(tallyOf(types, reasons)) });
      this.#bytes += body.length - (row.body?.length ?? 0);
    }
    return cleared;
  }

  /** Reads its size anew: what was added is gone. */
  rolledBack(): void {
    this.#bytes = (this.#stored.get() as { bytes: number }).bytes;
  }

  #remove({ seq, body }: StoredRow): void {
    this.#delete.run(seq);
    this.#bytes -= (body?.length ?? 0) + overheadBytes;
  }
}

export function addCount(counts: Map<string, QuarantineCount>, more: QuarantineCount): void {
  const name = `${more.class} ${more.reason}`;
  counts.set(name, { ...more, items: (counts.get(name)?.items ?? 0) + more.items });
}

function tallyOf(types: QuarantinePart["types"], reasons: readonly string[]): LineCount[] {
  const counts = new Map<string, LineCount>();
  for (const [line, type] of types.entries()) {
    const reason = reasons[line] ?? "";
    counts.set(`${type} ${reason}`, [type, reason, (counts.get(`${type} ${reason}`)?.[2] ?? 0) + 1]);
  }
  return [...counts.values()];
}

/** The counts of a row's lines, without its text. */
function countsIn(row: Pick<StoredRow, "tally">): readonly LineCount[] {
  return row.tally === null ? [] : (JSON.parse(row.tally) as LineCount[]);
}

/** Lines of a row, `""` for those that are cleared; none if it is damaged. */
function linesOf(row: StoredRow): string[] {
  const text = readable(row);
  return text === undefined ? [] : new TextDecoder().decode(text).split("\n");
}

function readable(row: StoredRow): Uint8Array | undefined {
  try {
    return textOf(row);
  } catch (error) {
    if (error instanceof Damaged) return undefined;
    throw error;
  }
}

/** Lines and marks as one list of items. */
export function quarantineView(
  database: DatabaseSync,
  { rows, retention, turn }: { readonly rows: QuarantineRows; readonly retention: Retention; readonly turn: Turn },
): Quarantine {
  return {
    get evicted() {
      return [...rows.evicted, ...retention.evicted];
    },
    counts: (filter) => countsOf(database, filter),
    page(filter, { beforeId, limit }) {
      const before = placeOf(database, beforeId);
      const marks = pageOfMarks(database, markFilter(filter), before, limit).map((mark) => itemOfMark(database, mark));
      const items = [...linesBefore(database, filter, before, limit), ...marks];
      return items.sort((a, b) => b.seq - a.seq || numberOf(b.id) - numberOf(a.id)).slice(0, limit);
    },
    read(id) {
      const [mark] = markNumber(id);
      if (mark !== undefined) return readMark(database, mark);
      const [seq, line = 0] = lineId(id) ?? [];
      const row = seq === undefined ? undefined : rows.read(seq);
      const text = row && linesOf(row)[line];
      if (row === undefined || text === undefined || text === "") return undefined;
      const stored = JSON.parse(text) as QuarantineLine;
      return { item: itemOfLine(row, line, stored), texts: [stored.text], isCut: stored.isCut === true };
    },
    remove(ids) {
      const lines = new Map<number, Set<number>>();
      for (const id of ids) {
        const [seq, line] = lineId(id) ?? [];
        if (seq !== undefined && line !== undefined) lines.set(seq, (lines.get(seq) ?? new Set()).add(line));
      }
      return turn.write(() => {
        let removed = retention.removeMarks(ids.flatMap(markNumber)).length;
        for (const [seq, cleared] of lines) removed += rows.clear(seq, cleared);
        return removed;
      });
    },
  };
}

function countsOf(database: DatabaseSync, filter: QuarantineFilter): readonly QuarantineCount[] {
  const counts = new Map<string, QuarantineCount>();
  const { where, values } = rowCondition(filter);
  for (const row of database.prepare(`SELECT type, tally FROM ${quarantineRows}${where}`).all(...values)) {
    for (const [type, reason, lines] of countsIn(row as unknown as StoredRow))
      if (isMeant(filter, type, reason)) addCount(counts, { class: row["type"] as "invalid", reason, items: lines });
  }
  const condition = markCondition(markFilter(filter));
  const sql = `SELECT why, COUNT(*) AS items FROM mark WHERE ${condition.where} GROUP BY why ORDER BY why`;
  const found = database.prepare(sql).all(...condition.values) as { why: Mark["why"]; items: number }[];
  for (const { why, items } of found) addCount(counts, { class: classOf(why), reason: why, items });
  return [...counts.values()];
}

/** What of a filter a row can be asked for, behind other conditions. */
function rowCondition({ class: type, before }: QuarantineFilter) {
  const values: SQLInputValue[] = [];
  if (type !== undefined) values.push(type);
  if (before !== undefined) values.push(before);
  const where = `${type === undefined ? "" : " AND type = ?"}${before === undefined ? "" : " AND accepted_at < ?"}`;
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
  for (let seq = before.seq; found < limit;) {
    const row = next.get(...values, seq) as StoredRow | undefined;
    if (row === undefined) return;
    seq = row.seq - 1;
    /** Its counts tell without its text whether it has lines that the filter means. */
    if (!countsIn(row).some(([type, reason]) => isMeant(filter, type, reason))) continue;
    const lines = linesOf(row);
    for (let line = lines.length - 1; line >= 0 && found < limit; line--) {
      const text = lines[line] as string;
      if (text === "" || (row.seq === before.seq && line >= before.line)) continue;
      const stored = JSON.parse(text) as QuarantineLine;
      if (!isMeant(filter, stored.type, stored.reason)) continue;
      found++;
      yield itemOfLine(row, line, stored);
    }
  }
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

/** The number in a mark's id; none in any other. */
function markNumber(id: string): number[] {
  return /^m\d{1,15}$/.test(id) ? [numberOf(id)] : [];
}

/** The line of a line's id, the number of a mark's. */
function numberOf(id: string): number {
  return Number(id.replace(/^(m|\d+\.)/, ""));
}

function itemOfLine(row: StoredRow, line: number, { type, reason, detail }: QuarantineLine): QuarantineItem {
  const { seq, accepted_at: at } = row;
  const [itemClass, source] = [row.type as "invalid" | "sample", row.source as Source];
  return { id: `${seq}.${line}`, class: itemClass, type, seq, from: line, records: 1, at, source, reason, detail };
}

function itemOfMark(database: DatabaseSync, { id, why, seq, from, to, at, message }: Mark): QuarantineItem {
  const row = database.prepare("SELECT type, source FROM batch WHERE seq = ?").get(seq);
  const { type, source } = (row ?? { type: "unknown", source: "stream" }) as { type: RecordType; source: Source };
  const place = { seq, from, records: to - from, at };
  return { id: `m${id}`, class: classOf(why), type, ...place, source, reason: why, detail: message };
}

/** With the texts of its records; none if its row is damaged. */
function readMark(database: DatabaseSync, id: number): ReturnType<Quarantine["read"]> {
  const [mark] = selectMarks(database, { ids: [id] }, { afterId: 0, marks: 1 });
  if (mark === undefined) return undefined;
  const row = database.prepare(`SELECT ${rowColumns} FROM batch WHERE seq = ?`).get(mark.seq) as StoredRow | undefined;
  const text = (row && readable(row)) ?? new Uint8Array();
  const ends = endsOfObjects(text);
  const begins = [0, ...ends];
  const texts = ends
    .slice(mark.from, Math.min(mark.to, mark.from + maxTexts))
    .map((end, place) => new TextDecoder().decode(text.subarray(begins[mark.from + place], end)).trim());
  return { item: itemOfMark(database, mark), texts, isCut: mark.to - mark.from > texts.length };
}

function classOf(why: Mark["why"]): "dead_letter" | "note" {
  return deadLetterReasons.includes(why) ? "dead_letter" : "note";
}

function markFilter({ class: itemClass, reason, type, before }: QuarantineFilter): MarkFilter {
  const reasons = [...deadLetterReasons, ...noteReasons];
  const why = reasons.filter((one) => classOf(one) === (itemClass ?? classOf(one)) && one === (reason ?? one));
  return { why, ...(type !== undefined && { type: type as RecordType }), ...(before !== undefined && { before }) };
}
