/** Marks: ranges of lines of rows kept for an operator, each of which pins its row: dead letters, notes and quarantined texts. */
import type { DatabaseSync } from "node:sqlite";
import type { QuarantinePart } from "../batch.ts";
import {
  addCount,
  deliveredClasses,
  isNote,
  isQuarantine,
  type MarkTable,
  maxNotes,
  maxQuarantinedBytes,
  overheadBytes,
  parseItemId,
  quarantinedClasses,
  type SqlValue,
  storedName,
  truncated,
} from "../items.ts";
import type { NewMark, QuarantineCount, Redelivery } from "../journal.ts";
import { primaryDestination } from "../journal.ts";
import { type NewRow, prepare, type Statements, type StoredRow, Table } from "./tables.ts";

type StoredMark = StoredRow<"mark">;

type ItemClass = QuarantineCount["class"];

/** Classes of marks that share one size limit. */
const sharing = { quarantined: quarantinedClasses, delivered: deliveredClasses } as const;

const quarantined = `class IN ('${quarantinedClasses.join("', '")}')`;

interface MarkedRow extends Pick<StoredRow<"batch">, "seq" | "type" | "source"> {
  readonly bytes: number;
}

const sqlOf = (columns: string) => ({
  row: `SELECT seq, type, source, COALESCE(LENGTH(body), 0) + ${overheadBytes} AS bytes FROM batch WHERE seq = ?`,
  pins: "SELECT COUNT(*) AS marks FROM (SELECT 1 FROM mark WHERE seq = ? LIMIT ?)",
  oldest: "SELECT id, seq FROM mark WHERE class = ? AND seq < ? AND (seq < ? OR id >= ?) ORDER BY seq LIMIT 1",
  older: `SELECT id FROM mark WHERE class = 'note' AND why = ? ORDER BY id DESC LIMIT -1 OFFSET ${maxNotes}`,
  covering: `SELECT ${columns} FROM mark WHERE ${quarantined} AND seq = ?1 AND from_line <= ?2 AND to_line > ?2`,
  byId: `SELECT ${columns} FROM mark WHERE id = ? AND NOT ${quarantined}`,
  delete: "DELETE FROM mark WHERE id = ? RETURNING seq, class, why AS reason, to_line - from_line AS items",
  deleteRow: "DELETE FROM batch WHERE seq = ?",
  held: `SELECT COALESCE(SUM(LENGTH(body) + ${overheadBytes}), 0) + ${overheadBytes} * (SELECT COUNT(*) FROM mark WHERE ${quarantined})
    AS bytes FROM batch WHERE seq IN (SELECT seq FROM mark WHERE ${quarantined})`,
});

/** Changes are made in the caller's transaction. */
export class Marks implements MarkTable {
  readonly listed = "SELECT value FROM json_each(?)";
  readonly #database: DatabaseSync;
  readonly #rows: Table<"batch">;
  readonly #table: Table<"mark">;
  readonly #sql: Statements<keyof ReturnType<typeof sqlOf>>;
  readonly #evicted = new Map<string, QuarantineCount>();
  /** Items removed in the open transaction for lack of space. */
  #leaving: QuarantineCount[] = [];
  /** Bytes of rows that only marks hold, and of these marks. */
  readonly #heldBytes = { quarantined: 0, delivered: 0 };
  /** Accepted rows below this one were due for deletion: those that still exist are held only by marks. */
  passedSeq = 1;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#rows = new Table(database, "batch");
    this.#table = new Table(database, "mark");
    this.#sql = prepare(database, sqlOf(this.#table.columns));
    this.rolledBack();
  }

  /** Items removed for lack of space since the start. */
  get evicted(): readonly QuarantineCount[] {
    return [...this.#evicted.values()];
  }

  /** Marks rows. No mark is created for a deleted row, because it would pin nothing. */
  add(marks: readonly NewMark[], destination = primaryDestination): void {
    let row: MarkedRow | undefined;
    for (const { seq, from, to, why, logRecords, at, message } of marks) {
      if (row?.seq !== seq) row = this.#rowOf(seq);
      if (row === undefined) continue;
      const [type, source] = [row.type, row.source];
      const range = { seq, from_line: from, to_line: to, type, source, why, log_records: logRecords, at };
      const of = { class: isNote(why) ? "note" : "dead_letter", destination: storedName(destination) };
      this.#table.insert({ ...range, ...of, message: truncated(message) });
      if (seq < this.passedSeq) this.#forgetPassed();
    }
    for (const why of new Set(marks.map((mark) => mark.why).filter(isNote)))
      for (const { id } of this.#sql.older.all(why) as { id: number }[]) this.#evict(id);
  }

  /** Stores texts as a row of their own. If all quarantined texts together exceed their limit, the oldest are removed. */
  quarantine(part: QuarantinePart, row: Pick<NewRow<"batch">, "seq" | "accepted_at" | "source" | "tailnet">): void {
    const { class: itemClass, type, reason: why, lines, length, body } = part;
    const { seq, source, accepted_at: at } = row;
    this.#rows.insert({ ...row, type: itemClass, records: lines, length, tally: null, left_out: null, body });
    const range = { seq, from_line: 0, to_line: lines, type, source, why, log_records: 0, at };
    this.#table.insert({ ...range, class: itemClass, message: "", destination: null });
    this.#heldBytes.quarantined += body.length + 2 * overheadBytes;
    this.#evictAbove("quarantined", maxQuarantinedBytes, () => true);
  }

  /** Removes the item with that id; for a text, this splits the mark that covers it. Returns true if it existed. */
  removeItem(itemId: string): boolean {
    const found = this.find(itemId);
    if (found === undefined) return false;
    const named = parseItemId(itemId);
    const [line, end] = typeof named === "object" ? [named.line, named.line + 1] : [found.from_line, found.to_line];
    for (const [from_line, to_line] of [
      [found.from_line, line],
      [end, found.to_line],
    ] as const) {
      if (from_line === to_line) continue;
      this.#table.insert({ ...found, from_line, to_line });
      this.#heldBytes.quarantined += overheadBytes;
    }
    this.remove(found.id);
    return true;
  }

  /** The mark that an item's id names, or for a text the one that covers it. */
  find(itemId: string): StoredMark | undefined {
    const { byId, covering } = this.#sql;
    const named = parseItemId(itemId) ?? 0;
    const found = typeof named === "number" ? byId.get(named) : covering.get(named.seq, named.line);
    const mark = found as StoredMark | undefined;
    return mark !== undefined && this.#table.isSound(mark) ? mark : undefined;
  }

  /** Omits marks whose checksum does not match. */
  marks(rest: string, values: readonly SqlValue[]): StoredMark[] {
    const found = this.query<StoredMark>(this.#table.columns, rest, values);
    return found.filter((mark) => this.#table.isSound(mark));
  }

  query<Row extends object>(columns: string, rest: string, values: readonly SqlValue[]): Row[] {
    return this.#database.prepare(`SELECT ${columns} FROM mark ${rest}`).all(...values) as Row[];
  }

  /** Deletes a mark, and its row if nothing else holds it. Returns what it was, if it existed. */
  remove(id: number): QuarantineCount | undefined {
    const removed = this.#sql.delete.get(id) as (QuarantineCount & { readonly seq: number }) | undefined;
    const row = removed && this.#rowOf(removed.seq);
    if (removed === undefined || row === undefined) return removed;
    const kind = kindOf(removed.class);
    if (kind === "delivered" && removed.seq >= this.passedSeq) return removed;
    this.#heldBytes[kind] -= overheadBytes;
    if (this.#pinsOf(removed.seq, 1) > 0) return removed;
    this.#heldBytes[kind] -= row.bytes;
    this.#sql.deleteRow.run(removed.seq);
    return removed;
  }

  /** From now on only its marks, if any, hold the row. */
  hold(seq: number): void {
    const row = this.#rowOf(seq);
    const pins = this.#pinsOf(seq, Number.MAX_SAFE_INTEGER);
    if (row === undefined || pins === 0 || isQuarantine(row.type)) return;
    this.#heldBytes.delivered += row.bytes + overheadBytes * pins;
  }

  /**
   * Removes dead letters and notes, oldest first, while the rows that only they hold exceed `maxBytes`, so that a backend that
   * rejects records does not stop the receiver. Marks that a running retry may still reach are kept. Returns true if nothing is
   * left to remove.
   */
  evictDelivered(maxBytes: number, hasTime: () => boolean, retries: readonly Redelivery[]): boolean {
    const from = Math.min(...retries.map(({ cursor }) => cursor.seq));
    const until = Math.max(0, ...retries.map(({ untilSeq }) => untilSeq));
    return this.#evictAbove("delivered", maxBytes, hasTime, [Number.isFinite(from) ? from : 0, until]);
  }

  committed(): void {
    for (const left of this.#leaving) addCount(this.#evicted, left);
    this.#leaving = [];
  }

  /** Rows passed may exist again, and added ones are gone, so both are counted again. */
  rolledBack(): void {
    this.#leaving = [];
    this.#forgetPassed();
    this.#heldBytes.quarantined = (this.#sql.held.get() as { bytes: number }).bytes;
  }

  #forgetPassed(): void {
    this.passedSeq = 1;
    this.#heldBytes.delivered = 0;
  }

  #evictAbove(
    kind: keyof typeof sharing,
    maxBytes: number,
    hasTime: () => boolean,
    kept: readonly [fromSeq: number, untilId: number] = [0, 0],
  ): boolean {
    const below = kind === "delivered" ? this.passedSeq : Number.MAX_SAFE_INTEGER;
    const { oldest } = this.#sql;
    while (this.#heldBytes[kind] > maxBytes) {
      const found = sharing[kind].map((one) => oldest.get(one, below, ...kept) as Pick<StoredMark, "id" | "seq">);
      const [first] = found.filter((mark) => mark !== undefined).toSorted((a, b) => a.seq - b.seq);
      if (first === undefined) return true;
      if (!hasTime()) return false;
      this.#evict(first.id);
    }
    return true;
  }

  #evict(id: number): void {
    const { class: itemClass, reason, items } = this.remove(id) as QuarantineCount;
    this.#leaving.push({ class: itemClass, reason, items });
  }

  #rowOf(seq: number): MarkedRow | undefined {
    return this.#sql.row.get(seq) as MarkedRow | undefined;
  }

  /** Number of marks on a row, counted up to `limit`. */
  #pinsOf(seq: number, limit: number): number {
    return (this.#sql.pins.get(seq, limit) as { marks: number }).marks;
  }
}

function kindOf(itemClass: ItemClass): keyof typeof sharing {
  return isQuarantine(itemClass) ? "quarantined" : "delivered";
}
