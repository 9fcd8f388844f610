/**
 * The minutes of the history. They are written with each snapshot of the counters, so that every row is counted in them exactly
 * once.
 */
import type { DatabaseSync } from "node:sqlite";
import { Damaged } from "../batch.ts";
import type { MinuteGap, Minutes, Snapshot, StoredMinute } from "../journal.ts";
import type { MinuteBounds } from "../retention.ts";
import { gapAtStart } from "../stored.ts";
import { isDamage } from "./errors.ts";
import type { Health } from "./health.ts";
import type { State } from "./state.ts";
import { prepare, type Statements, type StoredRow, Table, transaction } from "./tables.ts";

/** Approximate size of a minute besides its detail. */
const minuteBytes = 400;

/** Minutes deleted per call; each takes a few pages. */
const deletedAtOnce = 64;

const sql = {
  totals: "SELECT at, bytes, crc, totals FROM minute WHERE at >= ? AND at < ? ORDER BY at LIMIT ?",
  minute: "SELECT at, bytes, crc, totals FROM minute WHERE at = ?",
  detail: "SELECT at, crc, detail FROM minute_detail WHERE at = ?",
  size: "SELECT COUNT(*) AS minutes, COALESCE(SUM(bytes), 0) AS bytes FROM minute",
  outside: `SELECT at FROM minute WHERE at < ? OR at > ? ORDER BY at LIMIT ${deletedAtOnce}`,
  oldest: `SELECT at FROM minute ORDER BY at LIMIT ${deletedAtOnce}`,
  delete: "DELETE FROM minute WHERE at = ?",
  deleteDetail: "DELETE FROM minute_detail WHERE at = ?",
  clear: "DELETE FROM minute",
  clearDetail: "DELETE FROM minute_detail",
};

export class MinuteTable implements Minutes {
  readonly #state: State;
  readonly #health: Health;
  readonly #minutes: Table<"minute">;
  readonly #details: Table<"minute_detail">;
  readonly #sql: Statements<keyof typeof sql>;
  /** Total size of all minutes; undefined after a change. */
  #bytes: number | undefined;

  /**
   * Compares the minutes with the counters, which may be from another snapshot after damage or another version. If there are no
   * minutes at all, they are lost.
   */
  constructor(database: DatabaseSync, state: State, health: Health) {
    this.#state = state;
    this.#health = health;
    this.#minutes = new Table(database, "minute");
    this.#details = new Table(database, "minute_detail");
    this.#sql = prepare(database, sql);
    const { measuredSeq } = state;
    const gap = gapAtStart(state.getReadable("minutes"), measuredSeq, this.#size() > 0);
    if (gap === undefined) return;
    transaction(database, () => {
      if (gap.from === 1) this.#clear();
      state.set("minutes", { measuredSeq, gap });
    });
    state.committed();
  }

  get gap(): MinuteGap | undefined {
    return this.#state.getReadable("minutes")?.gap;
  }

  totals(since: number, before: number, limit: number) {
    const rows = this.#watched(() => this.#sql.totals.all(since, before, limit)) as unknown as StoredRow<"minute">[];
    return rows.map((row) => ({ at: row.at, totals: this.#minutes.isSound(row) ? row.totals : undefined }));
  }

  read(at: number): StoredMinute | undefined {
    const minute = this.#watched(() => this.#sql.minute.get(at)) as StoredRow<"minute"> | undefined;
    if (minute === undefined) return undefined;
    const detail = this.#watched(() => this.#sql.detail.get(at)) as StoredRow<"minute_detail"> | undefined;
    const isSound = detail !== undefined && this.#minutes.isSound(minute) && this.#details.isSound(detail);
    if (!isSound) throw new Damaged("the summary of a minute is damaged");
    return { at, totals: minute.totals, detail: detail.detail };
  }

  /** Writes in the caller's transaction. */
  write({ measuredSeq, minutes }: Snapshot): void {
    if (minutes === undefined) return;
    const { changed, gap } = minutes;
    for (const { at, totals, detail } of changed) {
      this.#minutes.replace({ at, bytes: detail.length, totals });
      this.#details.replace({ at, detail });
    }
    this.#state.set("minutes", { measuredSeq, gap });
    this.#bytes = undefined;
  }

  /** Deletes some of the minutes outside the time range, or the oldest ones if all together take more space than `maxBytes`. */
  release({ from, until, maxBytes }: MinuteBounds): void {
    const outside = this.#sql.outside.all(from, until) as { at: number }[];
    this.#delete(outside);
    if (this.#size() > maxBytes) this.#delete(this.#sql.oldest.all() as { at: number }[]);
  }

  #size(): number {
    if (this.#bytes === undefined) {
      const { minutes, bytes } = this.#sql.size.get() as { minutes: number; bytes: number };
      this.#bytes = bytes + minutes * minuteBytes;
    }
    return this.#bytes;
  }

  #delete(minutes: readonly { readonly at: number }[]): void {
    for (const { at } of minutes) {
      this.#sql.delete.run(at);
      this.#sql.deleteDetail.run(at);
    }
    if (minutes.length > 0) this.#bytes = undefined;
  }

  /** Reports damage of more than a row, which ends the process. */
  #watched<Result>(read: () => Result): Result {
    try {
      return read();
    } catch (error) {
      if (isDamage(error)) this.#health.failed(error);
      throw error;
    }
  }

  #clear(): void {
    this.#sql.clear.run();
    this.#sql.clearDetail.run();
  }
}
