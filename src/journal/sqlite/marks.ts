/** Marks: ranges of records on their rows that a destination did not take. Each pins its row. And what redelivers rows and marks. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { Mark, MarkFilter, MarkReason, NewMark, Redelivery, RedeliveryProgress } from "../journal.ts";
import { startOfJournal } from "../journal.ts";
import type { State } from "./state.ts";
import { acceptedRows, type NewRow, type StoredRow, Table } from "./tables.ts";

/** Why records are dead letters. The other reasons are notes on records that were delivered all the same. */
export const deadLetterReasons: readonly MarkReason[] = ["rejected", "too_large", "failing", "internal"];

export const noteReasons: readonly MarkReason[] = ["partial", "unmeasured"];

/** Marks of one reason that is a note; the newest stay. */
const maxNotes = 100;

const maxMessageCharacters = 1024;

/** Counted for a mark beside its row, and for a row beside its body. */
const markBytes = 256;

interface RemovedMark {
  readonly seq: number;
  readonly records: number;
  readonly why: MarkReason;
}

/** Changes are in the caller's transaction. */
export class Marks {
  readonly #database: DatabaseSync;
  readonly #table: Table<"mark">;
  readonly #row: StatementSync;
  readonly #oldest: StatementSync;
  readonly #delete: StatementSync;
  #heldBytes = 0;
  #hasNewNotes = true;
  /** Rows below were due to leave: marks and quarantined lines alone hold those that are still there. */
  passedSeq = 1;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#table = new Table(database, "mark");
    this.#row = database.prepare(
      `SELECT COALESCE(LENGTH(body), 0) + ${markBytes} AS bytes, (SELECT COUNT(*) FROM mark WHERE mark.seq = batch.seq) AS marks FROM batch WHERE seq = ?`,
    );
    this.#oldest = database.prepare(
      "SELECT id FROM mark NOT INDEXED WHERE seq < ? AND (id < ? OR id >= ?) ORDER BY id LIMIT 1",
    );
    this.#delete = database.prepare("DELETE FROM mark WHERE id = ? RETURNING seq, to_line - from_line AS records, why");
  }

  /** A mark on a row that has left would pin nothing, and is not made. */
  add(marks: readonly NewMark[]): void {
    for (const mark of marks) {
      if (this.#rowOf(mark.seq) === undefined) continue;
      const { from, to, logRecords, ...same } = mark;
      const message = truncated(mark.message);
      this.#table.insert({ ...same, id: null, from_line: from, to_line: to, log_records: logRecords, message });
    }
  }

  /** Marks that share what the filter gives, with further conditions. One whose checksum does not match is passed over. */
  select(filter: MarkFilter, more: string, values: readonly SQLInputValue[]): readonly Mark[] {
    const { where, values: given } = markCondition(filter);
    const columns = this.#table.columns.split(", ").map((name) => `mark.${name}`);
    const found = this.#database.prepare(`SELECT ${columns.join(", ")} FROM mark WHERE ${where} AND ${more}`);
    return (found.all(...given, ...values) as unknown as StoredRow<"mark">[])
      .filter((row) => this.#table.isSound(row))
      .map(markOf);
  }

  /** Deletes a mark, and its row if nothing else holds it. What it was, if it was there. */
  remove(id: number): RemovedMark | undefined {
    const mark = this.#delete.get(id) as RemovedMark | undefined;
    if (mark === undefined || mark.seq >= this.passedSeq) return mark;
    this.#heldBytes -= markBytes;
    const row = this.#rowOf(mark.seq);
    if (row?.marks !== 0) return mark;
    this.#heldBytes -= row.bytes;
    this.#database.prepare("DELETE FROM batch WHERE seq = ?").run(mark.seq);
    return mark;
  }

  /** Bytes of rows that only marks hold. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** From now on only its marks hold the row, if it has any. */
  hold(seq: number): void {
    const row = this.#rowOf(seq);
    if (row !== undefined && row.marks > 0) this.#heldBytes += row.bytes + markBytes * row.marks;
  }

  /** The oldest mark that holds a row, but for the ids from `from` on and below `until`. */
  oldestHeld(from: number, until: number): number | undefined {
    return (this.#oldest.get(this.passedSeq, from, until) as { id: number } | undefined)?.id;
  }

  /** Ids of notes beyond the newest, once after there were new ones. */
  takeSuperfluousNotes(): readonly number[] {
    if (!this.#hasNewNotes) return [];
    this.#hasNewNotes = false;
    const older = `SELECT id FROM mark WHERE why = ? ORDER BY id DESC LIMIT -1 OFFSET ${maxNotes}`;
    return noteReasons.flatMap((why) =>
      (this.#database.prepare(older).all(why) as { id: number }[]).map(({ id }) => id),
    );
  }

  /** These were committed. On rows that have been passed they count from now on. */
  committed(marks: readonly NewMark[]): void {
    if (marks.some(({ why }) => noteReasons.includes(why))) this.#hasNewNotes = true;
    if (marks.some(({ seq }) => seq < this.passedSeq)) this.rolledBack();
  }

  /** What was passed may be there again: it is looked at again. */
  rolledBack(): void {
    this.passedSeq = 1;
    this.#heldBytes = 0;
  }

  #rowOf(seq: number): { readonly bytes: number; readonly marks: number } | undefined {
    return this.#row.get(seq) as { bytes: number; marks: number } | undefined;
  }
}

function markOf(row: NewRow<"mark">): Mark {
  const { id, from_line: from, to_line: to, log_records: logRecords, message, ...same } = row;
  const { destination, seq, why, at } = same as Pick<Mark, "destination" | "seq" | "why" | "at">;
  return { id: id as number, destination, seq, from, to, why, logRecords, message, at };
}

/** The filter as a condition of SQL on `mark`. */
export function markCondition(filter: MarkFilter): { readonly where: string; readonly values: SQLInputValue[] } {
  const conditions: readonly (readonly [sql: string, value: SQLInputValue | undefined])[] = [
    ["mark.id IN (SELECT value FROM json_each(?))", filter.ids && JSON.stringify(filter.ids)],
    ["destination = ?", filter.destination],
    ["why IN (SELECT value FROM json_each(?))", filter.why && JSON.stringify(filter.why)],
    ["(SELECT type FROM batch WHERE batch.seq = mark.seq) = ?", filter.type],
    ["at < ?", filter.before],
  ];
  const given = conditions.filter((one): one is readonly [string, SQLInputValue] => one[1] !== undefined);
  return { where: ["TRUE", ...given.map(([sql]) => sql)].join(" AND "), values: given.map(([, value]) => value) };
}

function truncated(message: string): string {
  const isLong = message.length > maxMessageCharacters;
  return `${message.slice(0, maxMessageCharacters).toWellFormed()}${isLong ? "…" : ""}`;
}

/** Rows looked at before others get a turn: some milliseconds. */
const plannedAtOnce = 2000;

/**
 * A replay of the accepted rows below `end` that were received in that range. `check` throws before a step if the journal
 * has been closed meanwhile.
 */
export async function planReplay(
  database: DatabaseSync,
  range: { readonly since: number; readonly until: number },
  { id, end, check }: { readonly id: number; readonly end: number; readonly check: () => void },
): Promise<Redelivery> {
  const ahead = database.prepare("SELECT seq FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1 OFFSET ?");
  const inRange = database.prepare(
    `SELECT MIN(seq) AS first, MAX(seq) AS last, COALESCE(SUM(records), 0) AS total FROM batch
      WHERE seq >= ? AND seq < ? AND accepted_at BETWEEN ? AND ? AND ${acceptedRows}`,
  );
  let plan = { first: undefined as number | undefined, last: 0, total: 0 };
  for (let from = 1; from < end;) {
    const next = ahead.get(from, plannedAtOnce) as { seq: number } | undefined;
    const to = Math.min(next?.seq ?? end, end);
    const found = inRange.get(from, to, range.since, range.until) as { first: number; last: number; total: number };
    plan = {
      first: plan.first ?? found.first ?? undefined,
      last: found.last ?? plan.last,
      total: plan.total + found.total,
    };
    from = to;
    if (from < end) await new Promise(setImmediate);
    check();
  }
  const cursor = { ...startOfJournal, seq: plan.first ?? 1 };
  return { name: "replay", id, range, cursor, untilSeq: plan.last + 1, total: plan.total };
}

/** A retry of the present dead letters that match. */
export function planRetry(database: DatabaseSync, filter: MarkFilter, id: number): Redelivery {
  const marks: MarkFilter = { ...filter, destination: "logs", why: filter.why ?? deadLetterReasons };
  const { where, values } = markCondition(marks);
  const sql = `SELECT COALESCE(MIN(id), 1) AS first, COALESCE(MAX(id), 0) AS last, COALESCE(SUM(to_line - from_line), 0) AS total FROM mark WHERE ${where}`;
  const found = database.prepare(sql).get(...values);
  const { first, last, total } = found as { first: number; last: number; total: number };
  return { name: "retry", id, marks, cursor: { ...startOfJournal, seq: first }, untilSeq: last + 1, total };
}

/** The redelivery of that name, unless it has ended. */
export function runningRedelivery(state: State, name: Redelivery["name"]): Redelivery | undefined {
  const known = state.getReadable(`redelivery.${name}`);
  return known?.endedAt === undefined ? known : undefined;
}

/** Writes what was reported of redeliveries, in the caller's transaction. Returns the ids of marks that leave. */
export function writeRedeliveries(
  state: State,
  reports: readonly RedeliveryProgress[],
  now: number,
): readonly number[] {
  const taken: number[] = [];
  for (const { name, id, cursor, taken: some, isOver } of reports) {
    const running = runningRedelivery(state, name);
    if (running?.id !== id) continue;
    taken.push(...some);
    state.set(`redelivery.${name}`, { ...running, cursor, ...(isOver && { endedAt: now }) });
  }
  return taken;
}
