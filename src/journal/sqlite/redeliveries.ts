/** What is delivered again on demand: a replay of rows, a retry of marks. Each has a position of its own that survives a restart. */
import type { DatabaseSync } from "node:sqlite";
import { type LogCursor, type MarkFilter, type Redelivery, type RedeliveryProgress, startOfJournal } from "../index.ts";
import { Damaged } from "../packing.ts";
import { deadLetterReasons, markCondition } from "./marks.ts";
import type { State } from "./state.ts";

type Name = Redelivery["name"];

const names: readonly Name[] = ["replay", "retry"];

/** Rows looked at before others get a turn: some milliseconds. */
const rowsAtOnce = 2000;

export class Redeliveries {
  readonly #database: DatabaseSync;
  readonly #state: State;
  readonly #known = new Map<Name, Redelivery>();
  /** Reported, and not on disk yet: all of it as one report. */
  readonly #unsaved = new Map<Name, RedeliveryProgress>();
  /** As the open transaction has written them. */
  #written: Redelivery[] = [];
  #plans = 0;

  constructor(database: DatabaseSync, state: State) {
    this.#database = database;
    this.#state = state;
    for (const name of names) {
      const found = this.#read(name);
      if (found !== undefined) this.#known.set(name, found);
    }
  }

  /** The one that is under way, or the last that was. */
  get(name: Name): Redelivery | undefined {
    return this.#known.get(name);
  }

  /** The first row that must stay for a replay. */
  get pinnedSeq(): number {
    if (this.#plans > 0) return 0;
    const replay = this.#running("replay");
    return replay === undefined ? Number.POSITIVE_INFINITY : replay.cursor.seq;
  }

  /** Marks that a retry may still come to: ids from `from` on, below `until`. */
  get pinnedMarks(): { readonly from: number; readonly until: number } | undefined {
    const retry = this.#running("retry");
    return retry && { from: retry.cursor.seq, until: retry.untilSeq };
  }

  /** Rows below `deliveredBelow` received in that range. A long journal is looked through in steps, so that nobody waits for it. */
  async planReplay(range: { readonly since: number; readonly until: number }, id: number, deliveredBelow: number) {
    this.#plans++;
    try {
      return await this.#plannedReplay(range, id, deliveredBelow);
    } finally {
      this.#plans--;
    }
  }

  async #plannedReplay(
    range: { since: number; until: number },
    id: number,
    deliveredBelow: number,
  ): Promise<Redelivery> {
    const next = this.#database.prepare(
      "SELECT seq, accepted_at, records, type FROM batch WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?",
    );
    let first: number | undefined;
    let last = 0;
    let total = 0;
    let from = 1;
    for (;;) {
      const rows = next.all(from, deliveredBelow, rowsAtOnce) as {
        seq: number;
        accepted_at: number;
        records: number;
        type: string;
      }[];
      for (const { seq, accepted_at: at, records, type } of rows) {
        if (!isRecordType(type) || at < range.since || at > range.until) continue;
        first ??= seq;
        last = seq;
        total += records;
      }
      const end = rows.at(-1);
      if (end === undefined || rows.length < rowsAtOnce) break;
      from = end.seq + 1;
      await new Promise(setImmediate);
    }
    return { name: "replay", id, range, cursor: beginningAt(first ?? 1), untilSeq: last + 1, total };
  }

  /** All dead letters of now that the filter means. */
  planRetry(filter: MarkFilter, id: number): Redelivery {
    const marks: MarkFilter = { ...filter, destination: "logs", why: filter.why ?? deadLetterReasons };
    const { where, values } = markCondition(marks);
    const { first, last, total } = this.#database
      .prepare(
        `SELECT MIN(id) AS first, MAX(id) AS last, COALESCE(SUM(to_line - from_line), 0) AS total FROM mark WHERE ${where}`,
      )
      .get(...values) as { first: number | null; last: number | null; total: number };
    return { name: "retry", id, marks, cursor: beginningAt(first ?? 1), untilSeq: (last ?? 0) + 1, total };
  }

  /** In the caller's transaction; shown with `committed`. */
  begin(redelivery: Redelivery): void {
    this.#write(redelivery);
    this.#unsaved.delete(redelivery.name);
  }

  /** Ends the one that is under way, in the caller's transaction. Whether there was one. */
  cancel(name: Name, now: number): boolean {
    const running = this.#running(name);
    if (running === undefined) return false;
    const cursor = this.#unsaved.get(name)?.cursor ?? running.cursor;
    this.#write({ ...running, cursor, endedAt: now, isCancelled: true });
    return true;
  }

  /** Takes a report; on disk with the next `write`. */
  progress(progress: RedeliveryProgress): void {
    const running = this.#running(progress.name);
    if (running === undefined || running.id !== progress.id) return;
    const taken = [...(this.#unsaved.get(progress.name)?.taken ?? []), ...progress.taken];
    this.#unsaved.set(progress.name, { ...progress, taken });
  }

  get isWaiting(): boolean {
    return this.#unsaved.size > 0;
  }

  /** Writes what was reported, in the caller's transaction. The marks that leave. */
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

  /** A position that is not what was written is none: what was asked for can be asked for again. */
  #read(name: Name): Redelivery | undefined {
    try {
      return this.#state.readJson(stateName(name)) as Redelivery | undefined;
    } catch (error) {
      if (error instanceof Damaged) return undefined;
      throw error;
    }
  }
}

function stateName(name: Name): string {
  return `redelivery.${name}`;
}

function isRecordType(type: string): boolean {
  return type === "flow" || type === "audit" || type === "webhook";
}

function beginningAt(seq: number): LogCursor {
  return { ...startOfJournal, seq };
}
