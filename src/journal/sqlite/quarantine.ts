/** What was never accepted, in rows with a line per text; and its lines and the marks as one list of items. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { endsOfObjects } from "../../records/json.ts";
import type { RecordType, Source } from "../../records/types.ts";
import { Damaged, packText, type QuarantineLine, type QuarantinePart } from "../batch.ts";
import type { Mark, MarkFilter, Quarantine, QuarantineCount, QuarantineFilter, QuarantineItem } from "../journal.ts";
import { deadLetterReasons, markCondition, type Marks, noteReasons } from "./marks.ts";
import { textOf } from "./rows.ts";
import { type NewRow, quarantineRows, type StoredRow, Table } from "./tables.ts";

type Row = StoredRow<"batch">;

/** Records of a mark that are shown. */
const maxTexts = 100;

/** Bytes on disk that all quarantine rows share; the oldest are removed first. */
const maxBytes = 64 * 1024 * 1024;

/** Counted for a row beside its body, which bounds their number too. */
const overheadBytes = 1024;

/** How many lines of a row share type and reason. Cleared ones are not counted. */
type LineCount = readonly [type: RecordType | "unknown", reason: string, lines: number];

export type Counts = Map<string, QuarantineCount>;

export function addCount(counts: Counts, more: QuarantineCount): void {
  const name = `${more.class} ${more.reason}`;
  counts.set(name, { ...more, items: (counts.get(name)?.items ?? 0) + more.items });
}

/** Changes are in the caller's transaction. */
export class QuarantineRows {
  readonly #table: Table<"batch">;
  readonly #evicted: Counts;
  readonly #stored: StatementSync;
  readonly #before: StatementSync;
  readonly #oldest: StatementSync;
  readonly #read: StatementSync;
  readonly #origin: StatementSync;
  readonly #delete: StatementSync;
  #bytes = 0;

  constructor(database: DatabaseSync, evicted: Counts) {
    this.#table = new Table(database, "batch");
    this.#evicted = evicted;
    const { columns } = this.#table;
    const rows = `SELECT ${columns} FROM ${quarantineRows}`;
    this.#stored = database.prepare(`SELECT SUM(LENGTH(body) + ${overheadBytes}) AS bytes FROM ${quarantineRows}`);
    this.#before = database.prepare(
      `${rows} AND seq <= ?1 AND (?2 IS NULL OR type = ?2) AND accepted_at < ?3 ORDER BY seq DESC LIMIT 1`,
    );
    this.#oldest = database.prepare(`${rows} AND seq < ? ORDER BY seq LIMIT 1`);
    this.#read = database.prepare(`SELECT ${columns} FROM batch WHERE seq = ?`);
    this.#origin = database.prepare("SELECT type, source FROM batch WHERE seq = ?");
    this.#delete = database.prepare("DELETE FROM batch WHERE seq = ?");
    this.rolledBack();
  }

  insert(part: QuarantinePart, row: Pick<NewRow<"batch">, "seq" | "accepted_at" | "source" | "tailnet">): void {
    const { class: type, lines: records, length, body, types, reasons } = part;
    const tally = tallyOf(types.map((one, line) => ({ type: one, reason: reasons[line] ?? "" })));
    this.#table.insert({ ...row, type, records, length, tally, left_out: null, body });
    this.#bytes += body.length + overheadBytes;
    while (this.#bytes > maxBytes) {
      const oldest = this.#oldest.get(row.seq) as Row | undefined;
      if (oldest === undefined) return;
      this.#remove(oldest);
      for (const [, reason, items] of countsIn(oldest))
        addCount(this.#evicted, { class: oldest.type as "invalid" | "sample", reason, items });
    }
  }

  /** Clears lines of a row, which is deleted with its last one. How many of them were there. */
  clear(seq: number, lines: ReadonlySet<number>): number {
    const row = this.read(seq);
    if (row === undefined || !isQuarantine(row)) return 0;
    const before = this.linesOf(row);
    const after = before.map((text, line) => (lines.has(line) ? "" : text));
    const left = after.filter((text) => text !== "").map((text) => JSON.parse(text) as QuarantineLine);
    const cleared = before.filter((text) => text !== "").length - left.length;
    if (cleared > 0 && left.length === 0) this.#remove(row);
    else if (cleared > 0) {
      const text = new TextEncoder().encode(after.join("\n"));
      const body = packText(text);
      this.#table.replace({ ...row, length: text.length, body, tally: tallyOf(left) });
      this.#bytes += body.length - (row.body?.length ?? 0);
    }
    return cleared;
  }

  read(seq: number): Row | undefined {
    return this.#read.get(seq) as Row | undefined;
  }

  /** Without its text. */
  originOf(seq: number): { readonly type: RecordType | "unknown"; readonly source: Source } {
    const found = this.#origin.get(seq) as { type: RecordType; source: Source } | undefined;
    return found ?? { type: "unknown", source: "stream" };
  }

  /** The newest row of a class up to `seq` that was received before a moment. */
  newest(seq: number, { class: type, before }: QuarantineFilter): Row | undefined {
    return this.#before.get(seq, type ?? null, before ?? Number.MAX_SAFE_INTEGER) as Row | undefined;
  }

  /** Lines of a row, `""` for those that are cleared; none if it is damaged. */
  linesOf(row: Row): string[] {
    const text = this.readable(row);
    return text === undefined ? [] : new TextDecoder().decode(text).split("\n");
  }

  readable(row: Row): Uint8Array | undefined {
    try {
      return textOf(this.#table, row);
    } catch (error) {
      if (error instanceof Damaged) return undefined;
      throw error;
    }
  }

  /** Adds up the rows again: what was added is gone. */
  rolledBack(): void {
    this.#bytes = (this.#stored.get() as { bytes: number | null }).bytes ?? 0;
  }

  #remove({ seq, body }: Row): void {
    this.#delete.run(seq);
    this.#bytes -= (body?.length ?? 0) + overheadBytes;
  }
}

function isQuarantine({ type }: Row): boolean {
  return type === "invalid" || type === "sample";
}

function tallyOf(lines: readonly Pick<QuarantineLine, "type" | "reason">[]): string {
  const counts = new Map<string, LineCount>();
  for (const { type, reason } of lines)
    counts.set(`${type} ${reason}`, [type, reason, (counts.get(`${type} ${reason}`)?.[2] ?? 0) + 1]);
  return JSON.stringify([...counts.values()]);
}

/** The counts of a row's lines, without its text. */
function countsIn(row: Pick<Row, "tally">): readonly LineCount[] {
  return row.tally === null ? [] : (JSON.parse(row.tally) as LineCount[]);
}

/** Lines and marks as one list, newest first. `write` runs a change in a transaction. */
export function quarantineView(
  database: DatabaseSync,
  rows: QuarantineRows,
  marks: Marks,
  evicted: Counts,
  write: (change: () => number) => number,
): Quarantine {
  return {
    get evicted() {
      return [...evicted.values()];
    },
    counts(filter) {
      const counts: Counts = new Map();
      const { class: type = null, before = Number.MAX_SAFE_INTEGER } = filter;
      const sql = `SELECT type, tally FROM ${quarantineRows} AND (?1 IS NULL OR type = ?1) AND accepted_at < ?2`;
      for (const row of database.prepare(sql).all(type, before) as unknown as Row[])
        for (const [lineType, reason, items] of countsIn(row))
          if (matches(filter, lineType, reason)) addCount(counts, { class: row.type as "invalid", reason, items });
      const { where, values } = markCondition(markFilterOf(filter));
      const byReason = `SELECT why, COUNT(*) AS items FROM mark WHERE ${where} GROUP BY why ORDER BY why`;
      for (const { why, items } of database.prepare(byReason).all(...values) as { why: Mark["why"]; items: number }[])
        addCount(counts, { class: classOf(why), reason: why, items });
      return [...counts.values()];
    },
    page(filter, { beforeId, limit }) {
      const place = placeOf(database, beforeId);
      const order = "(mark.seq, mark.id) < (?, ?) ORDER BY mark.seq DESC, mark.id DESC LIMIT ?";
      const values: SQLInputValue[] = [place.seq, place.mark, limit];
      const found = marks.select(markFilterOf(filter), order, values).map((mark) => itemOfMark(rows, mark));
      const items = [...linesBefore(rows, filter, place, limit), ...found];
      return items.sort((a, b) => b.seq - a.seq || numberOf(b.id) - numberOf(a.id)).slice(0, limit);
    },
    read(id) {
      if (isMarkId(id)) {
        const [mark] = marks.select({ ids: [numberOf(id)] }, "TRUE", []);
        return mark && readMark(rows, mark);
      }
      const [seq, line] = lineId(id) ?? [0, 0];
      const row = rows.read(seq);
      const text = row !== undefined && isQuarantine(row) ? rows.linesOf(row)[line] : undefined;
      if (row === undefined || text === undefined || text === "") return undefined;
      const stored = JSON.parse(text) as QuarantineLine;
      return { item: itemOfLine(row, line, stored), texts: [stored.text], isCut: stored.isCut === true };
    },
    remove(ids) {
      const lines = new Map<number, Set<number>>();
      for (const [seq, line] of ids.map(lineId).filter((one) => one !== undefined))
        lines.set(seq, (lines.get(seq) ?? new Set()).add(line));
      return write(() => {
        let removed = ids.filter((id) => isMarkId(id) && marks.remove(numberOf(id)) !== undefined).length;
        for (const [seq, cleared] of lines) removed += rows.clear(seq, cleared);
        return removed;
      });
    },
  };
}

function* linesBefore(
  rows: QuarantineRows,
  filter: QuarantineFilter,
  place: { readonly seq: number; readonly line: number },
  limit: number,
): Generator<QuarantineItem> {
  let found = 0;
  for (let seq = place.seq; found < limit;) {
    const row = rows.newest(seq, filter);
    if (row === undefined) return;
    seq = row.seq - 1;
    if (!countsIn(row).some(([type, reason]) => matches(filter, type, reason))) continue;
    const lines = rows.linesOf(row);
    for (let line = lines.length - 1; line >= 0 && found < limit; line--) {
      const text = lines[line] as string;
      if (text === "" || (row.seq === place.seq && line >= place.line)) continue;
      const stored = JSON.parse(text) as QuarantineLine;
      if (!matches(filter, stored.type, stored.reason)) continue;
      found++;
      yield itemOfLine(row, line, stored);
    }
  }
}

function matches(filter: QuarantineFilter, type: RecordType | "unknown", reason: string): boolean {
  return (filter.type ?? type) === type && (filter.reason ?? reason) === reason;
}

/** Where a page continues: behind an item, in the order of rows and on a row of lines or marks. */
function placeOf(database: DatabaseSync, id: string | undefined) {
  if (id === undefined) return { seq: Number.MAX_SAFE_INTEGER, line: 0, mark: 0 };
  const line = lineId(id);
  if (line !== undefined) return { seq: line[0], line: line[1], mark: 0 };
  const mark = numberOf(id);
  /** If it is gone, the marks made before it tell. */
  const row = database.prepare("SELECT seq FROM mark WHERE id <= ? ORDER BY id DESC LIMIT 1").get(mark);
  return { seq: (row as { seq: number } | undefined)?.seq ?? 0, line: 0, mark };
}

function lineId(id: string): readonly [seq: number, line: number] | undefined {
  const found = /^(\d{1,15})\.(\d{1,9})$/.exec(id);
  return found === null ? undefined : [Number(found[1]), Number(found[2])];
}

function isMarkId(id: string): boolean {
  return /^m\d{1,15}$/.test(id);
}

/** The line of a line's id, the number of a mark's. */
function numberOf(id: string): number {
  return Number(id.replace(/^(m|\d+\.)/, ""));
}

function itemOfLine(row: Row, from: number, { type, reason, detail }: QuarantineLine): QuarantineItem {
  const { seq, accepted_at: at, type: itemClass, source } = row as Row & { type: "invalid"; source: Source };
  return { id: `${seq}.${from}`, class: itemClass, type, seq, from, records: 1, at, source, reason, detail };
}

function itemOfMark(rows: QuarantineRows, { id, why, seq, from, to, at, message }: Mark): QuarantineItem {
  const origin = rows.originOf(seq);
  return {
    id: `m${id}`,
    class: classOf(why),
    ...origin,
    seq,
    from,
    records: to - from,
    at,
    reason: why,
    detail: message,
  };
}

/** With the texts of its records; none if its row is damaged. */
function readMark(rows: QuarantineRows, mark: Mark): ReturnType<Quarantine["read"]> {
  const row = rows.read(mark.seq);
  const text = (row && rows.readable(row)) ?? new Uint8Array();
  const ends = endsOfObjects(text);
  const begins = [0, ...ends];
  const texts = ends
    .slice(mark.from, Math.min(mark.to, mark.from + maxTexts))
    .map((end, place) => new TextDecoder().decode(text.subarray(begins[mark.from + place], end)).trim());
  return { item: itemOfMark(rows, mark), texts, isCut: mark.to - mark.from > texts.length };
}

function classOf(why: Mark["why"]): "dead_letter" | "note" {
  return deadLetterReasons.includes(why) ? "dead_letter" : "note";
}

function markFilterOf({ class: itemClass, reason, type, before }: QuarantineFilter): MarkFilter {
  const reasons = [...deadLetterReasons, ...noteReasons];
  const why = reasons.filter((one) => classOf(one) === (itemClass ?? classOf(one)) && one === (reason ?? one));
  return { why, ...(type !== undefined && { type: type as RecordType }), ...(before !== undefined && { before }) };
}
