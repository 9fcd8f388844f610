/** What was never accepted and is kept to be looked at: rows with a line per text, bounded together, found by an index of their own. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { RecordType } from "../../records/types.ts";
import type { Quarantine, QuarantineLine, QuarantinePart } from "../index.ts";
import { Damaged, packText } from "../packing.ts";
import { quarantined, quarantineRows } from "./schema.ts";
import { rowColumns, type RowWriter, type StoredRow, textOf } from "./rows.ts";
import type { State } from "./state.ts";

/** Bytes on disk that all quarantine rows share; the oldest leave first. */
const maxBytes = 64 * 1024 * 1024;

/** Counted for a row beside its body, which bounds their number too. */
const rowOverheadBytes = 1024;

/** How many lines of a row share type and reason. Cleared ones are not counted. */
type LineCount = readonly [type: RecordType | "unknown", reason: string, lines: number];

/** How many items of a class left for want of space. */
export type Evicted = Quarantine["evicted"][number];

/** The rows themselves: all changes are in the caller's transaction. */
export class QuarantineRows {
  readonly #database: DatabaseSync;
  readonly #rows: RowWriter;
  readonly #state: State;
  readonly #oldest: StatementSync;
  readonly #read: StatementSync;
  readonly #delete: StatementSync;
  readonly #evicted = new Map<string, Evicted>();
  #bytes: number;

  /** @throws {Damaged} */
  constructor(database: DatabaseSync, rows: RowWriter, state: State) {
    this.#database = database;
    this.#rows = rows;
    this.#state = state;
    this.#oldest = database.prepare(`SELECT MIN(seq) AS seq FROM ${quarantineRows}`);
    this.#read = database.prepare(`SELECT ${rowColumns} FROM batch WHERE seq = ? AND ${quarantined}`);
    this.#delete = database.prepare("DELETE FROM batch WHERE seq = ?");
    this.#bytes = this.#stored();
  }

  /** Lines that left for want of space, since the start. */
  get evicted(): readonly Evicted[] {
    return [...this.#evicted.values()];
  }

  insert(part: QuarantinePart, row: Pick<StoredRow, "seq" | "accepted_at" | "source" | "tailnet">): void {
    const stored = {
      ...row,
      type: part.class,
      records: part.lines,
      length: part.length,
      left_out: null,
      body: part.body,
    };
    this.#rows.insert({ ...stored, tally: JSON.stringify(countsOf(part.types, part.reasons)) });
    this.#add(part.body.length + rowOverheadBytes);
    while (this.#bytes > maxBytes && this.#evictOldest(row.seq));
  }

  read(seq: number): StoredRow | undefined {
    return this.#read.get(seq) as StoredRow | undefined;
  }

  /** Clears lines of a row, which is deleted with its last one. How many of them were there. */
  clear(seq: number, lines: ReadonlySet<number>): number {
    const row = this.read(seq);
    if (row === undefined) return 0;
    const left: string[] = [];
    let cleared = 0;
    for (const [line, text] of linesOf(row).entries()) {
      if (!lines.has(line) || text === "") left.push(text);
      else {
        left.push("");
        cleared++;
      }
    }
    if (cleared === 0) return 0;
    const size = row.body?.length ?? 0;
    const items = left.filter((text) => text !== "").map((text) => JSON.parse(text) as QuarantineLine);
    if (items.length === 0) {
      this.#delete.run(seq);
      this.#add(-size - rowOverheadBytes);
      return cleared;
    }
    const text = new TextEncoder().encode(left.join("\n"));
    const body = packText(text);
    const counts = countsOf(
      items.map(({ type }) => type),
      items.map(({ reason }) => reason),
    );
    this.#rows.rewrite({ ...row, length: text.length, body, tally: JSON.stringify(counts) });
    this.#add(body.length - size);
    return cleared;
  }

  /** Reads its size again: after a rollback what was added is gone. */
  rolledBack(): void {
    this.#bytes = this.#stored();
  }

  #stored(): number {
    return (this.#state.readJson("quarantine") as number | undefined) ?? measured(this.#database);
  }

  #evictOldest(newest: number): boolean {
    const { seq } = this.#oldest.get() as { seq: number | null };
    if (seq === null || seq === newest) return false;
    const row = this.read(seq);
    if (row === undefined) return false;
    this.#delete.run(seq);
    this.#add(-(row.body?.length ?? 0) - rowOverheadBytes);
    for (const [, reason, items] of countsIn(row))
      noteEvicted(this.#evicted, row.type as Evicted["class"], reason, items);
    return true;
  }

  #add(bytes: number): void {
    this.#bytes = Math.max(0, this.#bytes + bytes);
    this.#state.writeJson("quarantine", this.#bytes);
  }
}

/** Adds to counts of what left for want of space. */
export function noteEvicted(
  counts: Map<string, Evicted>,
  evictedClass: Evicted["class"],
  reason: string,
  more: number,
) {
  const items = (counts.get(`${evictedClass} ${reason}`)?.items ?? 0) + more;
  counts.set(`${evictedClass} ${reason}`, { class: evictedClass, reason, items });
}

function countsOf(types: QuarantinePart["types"], reasons: readonly string[]): LineCount[] {
  const counts = new Map<string, LineCount>();
  for (const [line, type] of types.entries()) {
    const reason = reasons[line] ?? "";
    counts.set(`${type} ${reason}`, [type, reason, (counts.get(`${type} ${reason}`)?.[2] ?? 0) + 1]);
  }
  return [...counts.values()];
}

/** The counts of a row's lines, without its text. */
export function countsIn(row: Pick<StoredRow, "tally">): readonly LineCount[] {
  return row.tally === null ? [] : (JSON.parse(row.tally) as LineCount[]);
}

/** Lines of a row, `""` for those that are cleared; none if it is damaged. */
export function linesOf(row: StoredRow): string[] {
  try {
    return new TextDecoder().decode(textOf(row)).split("\n");
  } catch (error) {
    if (error instanceof Damaged) return [];
    throw error;
  }
}

function measured(database: DatabaseSync): number {
  const sql = `SELECT COALESCE(SUM(LENGTH(body) + ${rowOverheadBytes}), 0) AS bytes FROM ${quarantineRows}`;
  return (database.prepare(sql).get() as { bytes: number }).bytes;
}
