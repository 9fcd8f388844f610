/** What is delivered again on demand: a replay of rows, a retry of marks. Each has a position of its own that survives a restart. */
import type { DatabaseSync } from "node:sqlite";
import { type LogCursor, type MarkFilter, type Redelivery, type RedeliveryProgress, startOfJournal } from "../index.ts";
import { Damaged } from "../packing.ts";
import { deadLetterReasons, markCondition } from "./marks.ts";
import { acceptedRows } from "./schema.ts";
import type { State } from "./state.ts";

type Name = Redelivery["name"];

/** Rows looked at before others get a turn: some milliseconds. */
const rowsAtOnce = 2000;

/** Methods that write do so in the caller's transaction; `committed` shows what they have written. */
export class Redeliveries {
  readonly #database: DatabaseSync;
  readonly #state: State;
  readonly #known = new Map<Name, Redelivery>();
  /** Reported, and not on disk yet: all of it as one report. */
  readonly #unsaved = new Map<Name, RedeliveryProgress>();
  /** As the open transaction has written them. */
  #written: Redelivery[] = [];
  #plans = 0;

  /** A position that is not what was written is none: what was asked for can be asked for again. */
  constructor(database: DatabaseSync, state: State) {
    this.#database = database;
    this.#state = state;
    for (const name of ["replay", "retry"] as const) {
      try {
        const found = state.readJson(stateName(name)) as Redelivery | undefined;
        if (found !== undefined) this.#known.set(name, found);
      } catch (error) {
        if (!(error instanceof Damaged)) throw error;
      }
    }
  }

  /** The one that is under way, or the last that was. */
  get(name: Name): Redelivery | undefined {
    return this.#known.get(name);
  }

  /** The first row that must stay for a replay. */
  get pinnedSeq(): number {
    return this.#plans > 0 ? 0 : (this.#running("replay")?.cursor.seq ?? Number.POSITIVE_INFINITY);
  }

  /** Marks that a retry may still come to: ids from `from` on, below `until`. */
  get pinnedMarks(): { readonly from: number; readonly until: number } {
    const retry = this.#running("retry");
    return { from: retry?.cursor.seq ?? 0, until: retry?.untilSeq ?? 0 };
  }

  /**
   * Rows below `end` received in that range. A long journal is looked through in steps, so that nobody waits for it; `check`
   * throws before a step if the journal has been closed meanwhile.
   */
  async planReplay(
    range: { readonly since: number; readonly until: number },
    id: number,
    { end, check }: { readonly end: number; readonly check: () => void },
  ): Promise<Redelivery> {
    check();
    const ahead = this.#database.prepare("SELECT seq FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1 OFFSET ?");
    const inRange = this.#database.prepare(
      `SELECT MIN(seq) AS first, MAX(seq) AS last, COALESCE(SUM(records), 0) AS total FROM batch
        WHERE seq >= ? AND seq < ? AND accepted_at BETWEEN ? AND ? AND ${acceptedRows}`,
    );
    let first: number | null = null;
    let last = 0;
    let total = 0;
    this.#plans++;
    try {
      for (let from = 1; from < end;) {
        const next = ahead.get(from, rowsAtOnce) as { seq: number } | undefined;
        const to = Math.min(next?.seq ?? end, end);
        const found = inRange.get(from, to, range.since, range.until) as Record<"first" | "last" | "total", number>;
        first ??= found.first;
        last = found.last ?? last;
        total += found.total;
        from = to;
        if (from < end) await new Promise(setImmediate);
        check();
      }
    } finally {
      this.#plans--;
    }
    return { name: "replay", id, range, cursor: beginningAt(first ?? 1), untilSeq: last + 1, total };
  }

  /** All dead letters of now that the filter means. */
  planRetry(filter: MarkFilter, id: number): Redelivery {
    const marks: MarkFilter = { ...filter, destination: "logs", why: filter.why ?? deadLetterReasons };
    const { where, values } = markCondition(marks);
    const sql = `SELECT MIN(id) AS first, MAX(id) AS last, COALESCE(SUM(to_line - from_line), 0) AS total FROM mark WHERE ${where}`;
    const found = this.#database.prepare(sql).get(...values);
    const { first, last, total } = found as { first: number | null; last: number | null; total: number };
    return { name: "retry", id, marks, cursor: beginningAt(first ?? 1), untilSeq: (last ?? 0) + 1, total };
  }

  begin(redelivery: Redelivery): void {
    this.#write(redelivery);
    this.#unsaved.delete(redelivery.name);
  }

  /** Ends the one that is under way. Whether there was one. */
  cancel(name: Name, now: number): boolean {
    const running = this.#running(name);
    if (running === undefined) return false;
    const cursor = this.#unsaved.get(name)?.cursor ?? running.cursor;
    this.#write({ ...running, cursor, endedAt: now, isCancelled: true });
    return true;
  }

  /** Takes a report; on disk with the next `write`. */
  progress(progress: RedeliveryProgress): void {
    if (this.#running(progress.name)?.id !== progress.id) return;
    const taken = [...(this.#unsaved.get(progress.name)?.taken ?? []), ...progress.taken];
    this.#unsaved.set(progress.name, { ...progress, taken });
  }

  get isWaiting(): boolean {
    return this.#unsaved.size > 0;
  }

  /** Writes what was reported. The marks that leave. */
  write(now: number): readonly number[] {
    const taken: number[] = [];
    for (const progress of this.#unsaved.values()) {
      const running = this.#running(progress.name);
      if (running === undefined) continue;
      taken.push(...progress.taken);
      this.#write({ ...running, cursor: progress.cursor, ...(progress.isOver && { endedAt: now }) });
    }
    return taken;
  }

  committed(): void {
    for (const redelivery of this.#written) {
      this.#known.set(redelivery.name, redelivery);
      this.#unsaved.delete(redelivery.name);
    }
    this.#written = [];
  }

  rolledBack(): void {
    this.#written = [];
  }

  #running(name: Name): Redelivery | undefined {
    const known = this.#known.get(name);
    return known?.endedAt === undefined ? known : undefined;
  }

  #write(redelivery: Redelivery): void {
    this.#state.writeJson(stateName(redelivery.name), redelivery);
    this.#written.push(redelivery);
  }
}

function stateName(name: Name): string {
  return `redelivery.${name}`;
}

function beginningAt(seq: number): LogCursor {
  return { ...startOfJournal, seq };
}
