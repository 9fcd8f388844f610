/**
 * Disk space: when an append is refused, when rows, marks and keys are deleted, and how pages are returned to the disk. Deletion
 * is limited by time, not by a number of rows, so it keeps up with whatever append accepts.
 */
import { recordTypes } from "../../records/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { type Append, reasonOf } from "../batch.ts";
import { type JournalSpace, type LogCursor, primaryDestination, type Redelivery } from "../journal.ts";
import { type Planned, replayOf, runningRedeliveries } from "../redelivery.ts";
import {
  Age,
  aheadMs,
  evictedShare,
  fullText,
  isShort,
  markedShare,
  minuteBounds,
  reserveBytes,
} from "../retention.ts";
import type { Destinations } from "./destinations.ts";
import type { Health, HealthDeps } from "./health.ts";
import type { Marks } from "./marks.ts";
import type { MinuteTable } from "./minutes.ts";
import type { SeenKeys } from "./seen-keys.ts";
import type { State } from "./state.ts";
import { prepare, type Statements } from "./tables.ts";

/** A log up to this size is covered by the reserve: it is checkpointed at 4 MiB, and one transaction can write as much again. */
const usualLogBytes = 8 * 1024 * 1024;

/** Overhead of a transaction besides its batches, and of a batch besides its own bytes, for tally and pages. */
const transactionBytes = 64 * 1024;
const batchBytes = 2 * 1024;
const keyBytes = 32;

/** The largest usual batch: 1 MiB. */
const maxWantedBytes = 1024 * 1024 + batchBytes;

/** Time limits of one call for rows and marks, and for keys. */
const rowsMs = 5;
const keysMs = 3;

/** Rows deleted per statement: 1 ms for rows of 44 KB. */
const rowsAtOnce = 64;

/** Rows considered by a replay's planning before it yields. */
const rowsPlannedAtOnce = 2000;

/**
 * Pages returned to the disk at once (1 MiB), how often if the disk is full, and the share of free pages above which it happens
 * otherwise.
 */
const vacuumPages = 256;
const vacuum = `PRAGMA incremental_vacuum(${vacuumPages})`;
const timesIfFull = 16;
const vacuumAbove = 1 / 5;

export interface SpaceDeps extends HealthDeps {
  readonly state: State;
  readonly marks: Marks;
  readonly minutes: MinuteTable;
  readonly destinations: Destinations;
  readonly seen: SeenKeys;
  readonly health: Health;
  /** A monotonic clock in milliseconds, independent of the system clock. */
  readonly steady: Clock;
  readonly retentionMs: number;
}

const sql = {
  pages: `SELECT page_count AS pages, freelist_count AS free, page_size AS bytes
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size`,
  first: "SELECT seq FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1",
  young:
    "SELECT seq FROM batch WHERE seq >= ? AND seq < ? AND accepted_at >= ? AND accepted_at <= ? ORDER BY seq LIMIT 1",
  pinned: "SELECT MIN(seq) AS seq FROM mark WHERE seq >= ?",
  delete: "DELETE FROM batch WHERE seq >= ? AND seq < ?",
  ahead: "SELECT seq FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1 OFFSET ?",
  inRange: `SELECT MIN(seq) AS first, MAX(seq) AS last, COALESCE(SUM(records), 0) AS total FROM batch
    WHERE seq >= ? AND seq < ? AND accepted_at BETWEEN ? AND ? AND type IN (SELECT value FROM json_each(?))`,
};

export class Space {
  readonly #deps: SpaceDeps;
  readonly #sql: Statements<keyof typeof sql>;
  #usedBytes = 0;
  /** Bytes that the last refused append needed, up to a bound: until there is space for as much, the next is refused too. */
  #wantedBytes = batchBytes;
  #isWarned = false;
  readonly #age: Age;
  /** Number of replays being planned. */
  #planned = 0;

  constructor(deps: SpaceDeps) {
    this.#deps = deps;
    this.#sql = prepare(deps.database, sql);
    this.#age = new Age(deps.clock, deps.steady, deps.state.get("age") ?? deps.state.identity.createdAt);
  }

  view(): JournalSpace {
    const refusal = this.#refusal(this.#wantedBytes);
    if (refusal === undefined) this.#wantedBytes = batchBytes;
    return { usedBytes: this.#usedBytes, limitBytes: this.#deps.storage.maxBytes, refusal };
  }

  /** Bytes that the batch needs in addition to the others in its transaction, or why it is refused: it would use the reserve. */
  admit(append: Append, admittedBytes: number): number | string {
    let bytes = batchBytes;
    for (const { body, records } of append.parts) bytes += body.length + records * keyBytes;
    for (const { body, lines } of append.quarantine) bytes += body.length + lines * keyBytes;
    const refusal = this.#refusal(admittedBytes + bytes, () => this.#truncateLog());
    if (refusal !== undefined) this.#wantedBytes = Math.min(bytes, maxWantedBytes);
    return refusal ?? bytes;
  }

  /**
   * True if delivered rows are to be deleted before the end of their retention. As of the last `measure`, because every append
   * calls it.
   */
  get isShort(): boolean {
    const { ballast, storage } = this.#deps;
    return !ballast.isHeld || isShort(this.#usedBytes, storage.maxBytes);
  }

  /** Determines how many bytes are used by the database, and by a log that is longer than usual. */
  measure(): void {
    const { pages, free, bytes } = this.#readPages();
    this.#usedBytes = (pages - free) * bytes + this.#logExcess;
  }

  /** Why there is no space for `bytes` more, if so. If `truncateLog` is given, a log that is too long is truncated first. */
  #refusal(bytes: number, truncateLog?: () => void): string | undefined {
    const { ballast, storage } = this.#deps;
    const { maxBytes } = storage;
    try {
      this.measure();
      if (!ballast.isHeld) return `the disk of the state directory is full: ${ballast.room}`;
      if (this.#usedBytes + bytes + transactionBytes <= maxBytes - reserveBytes) return undefined;
      if (truncateLog !== undefined && this.#logExcess > 0) {
        truncateLog();
        return this.#refusal(bytes);
      }
    } catch (error) {
      this.#usedBytes = maxBytes;
      return `the journal cannot be read: ${reasonOf(error)}`;
    }
    const behind = this.#deps.destinations.furthestBehind(this.#deps.state.cursor.seq);
    const holder = behind === undefined ? "" : `; the destination ${behind} is furthest behind`;
    return fullText(this.#usedBytes, maxBytes) + holder;
  }

  /**
   * Deletes what may be deleted, in the caller's transaction and for some milliseconds. Returns whether nothing is left to
   * delete, and the cursors that were moved past undelivered rows.
   */
  release(): { readonly isDone: boolean; readonly moved: ReadonlyMap<string, LogCursor> } {
    const { state, seen, minutes, clock, steady, storage, retentionMs } = this.#deps;
    const now = this.#age.advance();
    if (this.#age.isFarFrom(state.get("age"))) state.set("age", now);
    this.measure();
    const hasTime = timer(rowsMs, steady);
    const moved = this.#releaseRows(hasTime) && this.#evictMarks(hasTime) ? this.#evictUndelivered() : undefined;
    minutes.release(minuteBounds(now, clock(), retentionMs, storage.maxBytes));
    const areKeysDone = seen.release(now, timer(keysMs, steady));
    // More rows may be deleted once a cursor was moved.
    return { isDone: moved?.size === 0 && areKeysDone, moved: moved ?? new Map() };
  }

  /**
   * Plans a replay of the rows that were delivered to the destination and received in that range. They are examined in steps, and
   * none is deleted meanwhile. @throws {Unavailable} if the journal is closed before it is done.
   */
  async planReplay(
    range: NonNullable<Redelivery["range"]>,
    id: number,
    destination = primaryDestination,
  ): Promise<Redelivery> {
    const { state, destinations, health } = this.#deps;
    const account = destinations.accounts.find(({ name }) => name === destination);
    const types = JSON.stringify(account?.types ?? recordTypes);
    const end = (account ?? state).cursor.seq;
    const plan = { first: null as number | null, last: 0, total: 0 };
    this.#planned++;
    try {
      for (let from = 1; from < end;) {
        const next = this.#sql.ahead.get(from, rowsPlannedAtOnce) as { seq: number } | undefined;
        const to = Math.min(next?.seq ?? end, end);
        const found = this.#sql.inRange.get(from, to, range.since, range.until, types) as unknown as Planned;
        plan.first ??= found.first;
        plan.last = found.last ?? plan.last;
        plan.total += found.total;
        from = to;
        if (from < end) await new Promise(setImmediate);
        health.mustBeOpen();
      }
      return replayOf(plan, range, id, destination);
    } finally {
      this.#planned--;
    }
  }

  #running(name: Redelivery["name"]): readonly Redelivery[] {
    const { state, destinations } = this.#deps;
    return runningRedeliveries(state.redeliveries, name, destinations.names);
  }

  /** The first row that must not be deleted, regardless of what destinations that are not required still wait for. */
  get #requiredSeq(): number {
    const { state, destinations } = this.#deps;
    const replayed = this.#running("replay").map(({ cursor }) => cursor.seq);
    return Math.min(state.measuredSeq + 1, state.cursor.seq, destinations.lowestSeq("required"), ...replayed);
  }

  /** Evicts rows so that a destination that is not required does not stop the receivers. Returns the moved cursors. */
  #evictUndelivered(): ReadonlyMap<string, LogCursor> {
    const { destinations, storage } = this.#deps;
    if (!this.isShort) return new Map();
    return destinations.evict(this.#requiredSeq, storage.maxBytes * evictedShare);
  }

  #releaseRows(hasTime: () => boolean): boolean {
    const { destinations, marks, clock, retentionMs } = this.#deps;
    if (this.#planned > 0) return true;
    const below = Math.min(this.#requiredSeq, destinations.lowestSeq("all"));
    const youngFrom = this.isShort ? Number.MAX_SAFE_INTEGER : this.#age.now - retentionMs;
    const youngUntil = clock() + aheadMs;
    for (;;) {
      if (!hasTime()) return false;
      const first = (this.#sql.first.get(marks.passedSeq) as { seq: number } | undefined)?.seq ?? below;
      if (first >= below) return true;
      const pinned = (this.#sql.pinned.get(first) as { seq: number | null }).seq ?? below;
      const end = Math.min(below, pinned === first ? first + 1 : pinned, first + rowsAtOnce);
      const young = this.#sql.young.get(first, end, youngFrom, youngUntil) as { seq: number } | undefined;
      const passed = young?.seq ?? end;
      if (passed > first && pinned !== first) this.#sql.delete.run(first, passed);
      else if (passed > first) marks.hold(first);
      marks.passedSeq = passed;
      if (young !== undefined) return true;
    }
  }

  #evictMarks(hasTime: () => boolean): boolean {
    const { marks, storage, logger } = this.#deps;
    const bytes = storage.maxBytes * markedShare;
    const isDone = marks.evictDelivered(bytes, hasTime, this.#running("retry"));
    if (!this.#isWarned && marks.evicted.some((left) => left.class === "dead_letter")) {
      this.#isWarned = true;
      logger.warn("dead letters take a quarter of state.max_bytes: the oldest are deleted from now on", { bytes });
    }
    return isDone;
  }

  /** Reserves the ballast again if there is space, and returns free pages to the disk if there are many or the disk is full. */
  giveBack(): void {
    const { database, ballast, logger } = this.#deps;
    const wasHeld = ballast.isHeld;
    ballast.reserve();
    if (!wasHeld && ballast.isHeld) logger.info("the disk of the state directory has room again");
    const { pages, free } = this.#readPages();
    if (!ballast.isHeld) {
      /** Moved pages go through the log: unless it is truncated each time, the disk stays full. */
      this.#truncateLog();
      for (let time = 0; time < timesIfFull && this.#readPages().free > 0; time++) {
        database.exec(vacuum);
        this.#truncateLog();
      }
    } else if (free > vacuumPages && free > pages * vacuumAbove) database.exec(vacuum);
    else if (this.#logExcess > 0) this.#truncateLog();
  }

  /** Returns the log's space to the disk, or leaves it to the next call if a reader is using the log. */
  #truncateLog(): void {
    const { database, health } = this.#deps;
    if (health.unfit() !== undefined) return;
    database.exec("PRAGMA busy_timeout = 0");
    try {
      const { busy } = database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get() as { busy: number };
      if (busy === 0) health.logTruncated();
    } finally {
      database.exec("PRAGMA busy_timeout = 2000");
    }
  }

  #readPages(): { readonly pages: number; readonly free: number; readonly bytes: number } {
    return this.#sql.pages.get() as { pages: number; free: number; bytes: number };
  }

  get #logExcess(): number {
    return Math.max(0, this.#deps.health.logBytes - usualLogBytes);
  }
}

/** Returns a function that is true until `ms` milliseconds from now have passed. */
function timer(ms: number, steady: Clock): () => boolean {
  const until = steady() + ms;
  return () => steady() < until;
}
