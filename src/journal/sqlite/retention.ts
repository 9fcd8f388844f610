/**
 * What leaves the journal, and when: rows that are delivered, measured and old enough, keys by their age, and the oldest marks
 * once they hold too much. Work is bounded by time, not by a number of rows, so it keeps up with whatever append accepts.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { KeyClass, NewMark, QuarantineCount } from "../index.ts";
import { deadLetterReasons, type Marks, type RemovedMark } from "./marks.ts";
import { addCount } from "./quarantine.ts";
import { quarantined, quarantineRows } from "./schema.ts";
import type { SeenKeys } from "./seen-keys.ts";
import type { State } from "./state.ts";

/** How long one call may take for rows and marks, and for keys. */
const rowsMs = 5;
const keysMs = 3;

/** Rows deleted by one statement: a millisecond for rows of 44 KB. */
const rowsAtOnce = 64;

/** Counted for a mark beside its row, and for a row beside its body. */
const overheadBytes = 256;

/** Rows from a moment that lies this far ahead come from a clock that was wrong: they count as old. */
const aheadMs = 24 * 3_600_000;

/** How often the age is written down, and how much faster than time passes it may go to catch up after a pause. */
const saveEveryMs = 60_000;
const pace = 2;

export interface RetentionDeps {
  readonly database: DatabaseSync;
  readonly state: State;
  readonly marks: Marks;
  readonly seen: SeenKeys;
  readonly clock: Clock;
  /** Milliseconds since any moment, going on whatever becomes of the machine's clock. */
  readonly steady: Clock;
  readonly logger: Logger;
  readonly retentionMs: number;
  /** The most bytes that rows may take that only marks hold. */
  readonly maxMarkedBytes: number;
}

/** The moment: what else holds rows, keys and marks. */
export interface RetentionContext {
  /** Rows from here on are not delivered, not measured, or held by a replay. */
  readonly releasableBelow: number;
  readonly isShort: boolean;
  /** Marks that a retry may still come to. */
  readonly pinnedMarks: { readonly from: number; readonly until: number };
  readonly polledUntil: (keyClass: KeyClass) => number | undefined;
}

export class Retention {
  readonly #deps: RetentionDeps;
  readonly #first: StatementSync;
  readonly #young: StatementSync;
  readonly #deleteRange: StatementSync;
  readonly #nextPinned: StatementSync;
  readonly #size: StatementSync;
  readonly #oldestMark: StatementSync;
  readonly #evicted = new Map<string, QuarantineCount>();
  /** Rows below have been passed: those that are still there are pinned. */
  #passed = 1;
  /** Bytes of rows below `#passed` that have marks. */
  #markedBytes = 0;
  #hasNewNotes = true;
  #isWarned = false;
  /** The clock by which what is kept grows old, epoch milliseconds. */
  #age: number;
  #savedAge: number;
  #steadyAt: number;

  /** `createdAt`: when the series began. @throws {Damaged} */
  constructor(deps: RetentionDeps, createdAt: number) {
    this.#deps = deps;
    const { database, state, clock, steady } = deps;
    this.#steadyAt = steady();
    this.#savedAge = (state.readJson("age") as number | undefined) ?? createdAt;
    this.#age = Math.min(clock(), this.#savedAge);
    this.#first = database.prepare("SELECT seq FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1");
    this.#young = database.prepare(
      "SELECT seq FROM batch WHERE seq >= ? AND seq < ? AND accepted_at >= ? AND accepted_at <= ? ORDER BY seq LIMIT 1",
    );
    this.#deleteRange = database.prepare("DELETE FROM batch WHERE seq >= ? AND seq < ?");
    this.#nextPinned = database.prepare(
      `SELECT MIN(seq) AS seq FROM (SELECT MIN(seq) AS seq FROM mark WHERE seq >= ?1
        UNION ALL SELECT MIN(seq) FROM ${quarantineRows} AND seq >= ?1)`,
    );
    this.#size = database.prepare(
      `SELECT LENGTH(body) AS bytes, (SELECT COUNT(*) FROM mark WHERE mark.seq = batch.seq) AS marks FROM batch WHERE seq = ? AND NOT ${quarantined}`,
    );
    this.#oldestMark = database.prepare(
      "SELECT id FROM mark NOT INDEXED WHERE seq < ? AND (id < ? OR id >= ?) ORDER BY id LIMIT 1",
    );
  }

  /** Dead letters that left for want of space, since the start. */
  get evicted(): readonly QuarantineCount[] {
    return [...this.#evicted.values()];
  }

  /** Deletes what may leave, in the caller's transaction and for some milliseconds. Whether that was all. */
  run(context: RetentionContext): boolean {
    const { state, marks, seen } = this.#deps;
    this.#growOld();
    const hasTime = within(rowsMs);
    const areRowsDone = this.#leaveRows(context, hasTime) && this.#evictMarks(context, hasTime);
    const { polledUntil } = context;
    const areKeysDone = seen.leave({ now: this.#age, polledUntil, hasTime: within(keysMs) });
    if (Math.abs(this.#age - this.#savedAge) >= saveEveryMs) {
      state.writeJson("age", this.#age);
      this.#savedAge = this.#age;
      marks.forgetMessages();
    }
    return areRowsDone && areKeysDone;
  }

  /** Deletes marks, and their rows if nothing else holds them; in the caller's transaction. Those that were there. */
  removeMarks(ids: readonly number[]): readonly RemovedMark[] {
    const removed: RemovedMark[] = [];
    for (const id of ids) {
      const mark = this.#deps.marks.remove(id);
      if (mark === undefined) continue;
      removed.push(mark);
      if (mark.seq >= this.#passed) continue;
      this.#markedBytes -= overheadBytes;
      if (!this.#deps.marks.isMarked(mark.seq)) this.#release(mark.seq);
    }
    return removed;
  }

  /** Marks were made. On rows that have been passed they count from now on. */
  marked(marks: readonly NewMark[]): void {
    if (marks.some(({ why }) => !deadLetterReasons.includes(why))) this.#hasNewNotes = true;
    if (marks.some(({ seq }) => seq < this.#passed)) this.rolledBack();
  }

  /** What was passed may be there again: it is passed anew. */
  rolledBack(): void {
    this.#passed = 1;
    this.#markedBytes = 0;
  }

  /**
   * The age is never later than the machine's clock, and follows it back at once: what is kept then stays longer. If that leaps
   * ahead, or the process was down or asleep, it follows at twice the pace of time: a clock that is wrong for an hour must not
   * make the journal forget.
   */
  #growOld(): void {
    const { clock, steady } = this.#deps;
    const steadyAt = steady();
    const elapsedMs = Math.max(0, steadyAt - this.#steadyAt);
    this.#steadyAt = steadyAt;
    this.#age = Math.min(clock(), this.#age + pace * elapsedMs);
  }

  /** Whether all that may leave has left. */
  #leaveRows({ releasableBelow, isShort }: RetentionContext, hasTime: () => boolean): boolean {
    const youngFrom = isShort ? Number.MAX_SAFE_INTEGER : this.#age - this.#deps.retentionMs;
    const youngUntil = this.#deps.clock() + aheadMs;
    for (;;) {
      if (!hasTime()) return false;
      const first = (this.#first.get(this.#passed) as { seq: number } | undefined)?.seq ?? Number.POSITIVE_INFINITY;
      if (first >= releasableBelow) return true;
      const pinned = (this.#nextPinned.get(first) as { seq: number | null }).seq ?? Number.POSITIVE_INFINITY;
      const end = Math.min(releasableBelow, pinned === first ? first + 1 : pinned, first + rowsAtOnce);
      const young = this.#young.get(first, end, youngFrom, youngUntil) as { seq: number } | undefined;
      const passed = young?.seq ?? end;
      if (passed > first) {
        if (pinned === first) this.#hold(first);
        else this.#deleteRange.run(first, passed);
      }
      this.#passed = passed;
      if (young !== undefined) return true;
    }
  }

  /** From now on nothing but its marks holds the row. */
  #hold(seq: number): void {
    const row = this.#size.get(seq) as { bytes: number | null; marks: number } | undefined;
    if (row !== undefined) this.#markedBytes += (row.bytes ?? 0) + overheadBytes * (1 + row.marks);
  }

  #release(seq: number): void {
    const row = this.#size.get(seq) as { bytes: number | null } | undefined;
    if (row === undefined) return;
    this.#markedBytes -= (row.bytes ?? 0) + overheadBytes;
    this.#deleteRange.run(seq, seq + 1);
  }

  /**
   * The oldest marks leave while the rows that only marks hold take more than their share: a backend that refuses must not
   * stop the receiver. Whether that was all.
   */
  #evictMarks({ pinnedMarks }: RetentionContext, hasTime: () => boolean): boolean {
    if (this.#hasNewNotes) for (const id of this.#deps.marks.superfluousNotes()) this.#evict(id);
    this.#hasNewNotes = false;
    while (this.#markedBytes > this.#deps.maxMarkedBytes) {
      const { from, until } = pinnedMarks;
      const oldest = this.#oldestMark.get(this.#passed, from, until) as { id: number } | undefined;
      if (oldest === undefined) return true;
      if (!hasTime()) return false;
      this.#evict(oldest.id);
    }
    return true;
  }

  #evict(id: number): void {
    for (const { why, records } of this.removeMarks([id])) {
      const isDeadLetter = deadLetterReasons.includes(why);
      addCount(this.#evicted, { class: isDeadLetter ? "dead_letter" : "note", reason: why, items: records });
      if (!isDeadLetter || this.#isWarned) continue;
      this.#isWarned = true;
      this.#deps.logger.warn("dead letters take a quarter of state.max_bytes: the oldest leave from now on", {
        bytes: this.#deps.maxMarkedBytes,
      });
    }
  }
}

/** Whether that many milliseconds have not passed yet, from now on. */
function within(ms: number): () => boolean {
  const until = performance.now() + ms;
  return () => performance.now() < until;
}
