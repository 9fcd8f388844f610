/**
 * The minutes of the history. They are written with each snapshot of the counters, so that every row is counted in them exactly
 * once.
 */
import type { MinuteGap, Minutes, Snapshot, StoredMinute } from "../journal.ts";
import type { MinuteBounds } from "../retention.ts";
import { gapAtStart } from "../stored.ts";
import { blobLiteral, numbers } from "./storage.ts";
import type { Change } from "./state.ts";
import type { Leading } from "./writer.ts";

/** Approximate size of a minute besides its detail. */
const minuteBytes = 400;

/** Minutes deleted per call. */
const deletedAtOnce = 500;

export class MinuteTable implements Minutes {
  readonly #deps: Leading;

  constructor(deps: Leading) {
    this.#deps = deps;
  }

  /**
   * Compares the minutes with the counters, whose snapshot may have been written without minutes. No minutes at all means they
   * are lost.
   */
  async begin(change: Change): Promise<void> {
    const { connection, schema, state } = this.#deps;
    const { measuredSeq } = state;
    const last = state.get("minutes");
    const [found] = await connection.query<{ any: boolean }>(`SELECT EXISTS (SELECT FROM ${schema}.minute) AS any`);
    const gap = gapAtStart(last, measuredSeq, found?.any === true);
    if (gap === undefined) return;
    if (gap.from === 1) change.run(`DELETE FROM ${schema}.minute`);
    change.set("minutes", { measuredSeq, gap });
  }

  get gap(): MinuteGap | undefined {
    return this.#deps.state.get("minutes")?.gap;
  }

  totals(since: number, before: number, limit: number) {
    const { connection, schema } = this.#deps;
    const sql = `SELECT at, totals FROM ${schema}.minute WHERE at >= $1 AND at < $2 ORDER BY at LIMIT $3`;
    return connection.query<Pick<StoredMinute, "at" | "totals">>(sql, [since, before, limit]);
  }

  async read(at: number): Promise<StoredMinute | undefined> {
    const { connection, schema } = this.#deps;
    const sql = `SELECT at, totals, detail FROM ${schema}.minute WHERE at = $1`;
    const [minute] = await connection.query<StoredMinute>(sql, [at]);
    return minute;
  }

  write(change: Change, { measuredSeq, minutes }: Snapshot): void {
    if (minutes === undefined) return;
    const { changed, gap } = minutes;
    if (changed.length > 0) {
      const rows = changed.map(
        ({ at, totals, detail }) => `(${numbers([at])}, ${blobLiteral(totals)}, ${blobLiteral(detail)})`,
      );
      const set = "ON CONFLICT (at) DO UPDATE SET totals = excluded.totals, detail = excluded.detail";
      const table = `${this.#deps.schema}.minute`;
      change.run(`INSERT INTO ${table} (at, totals, detail) VALUES ${rows.join(", ")} ${set}`);
    }
    change.set("minutes", { measuredSeq, gap });
  }

  /** Deletes some of the minutes outside the time range, or the oldest ones if all together take more space than `maxBytes`. */
  async release({ from, until, maxBytes }: MinuteBounds): Promise<void> {
    const { connection, schema, writer } = this.#deps;
    const due = await connection.query<{ at: number }>(
      `SELECT at FROM (SELECT at, SUM(octet_length(totals) + octet_length(detail) + ${minuteBytes}) OVER (ORDER BY at DESC) AS bytes
        FROM ${schema}.minute) m WHERE at < $1 OR at > $2 OR bytes > $3 ORDER BY at LIMIT ${deletedAtOnce}`,
      [Math.trunc(from), Math.trunc(until), Math.trunc(maxBytes)],
    );
    if (due.length > 0)
      await writer.run(`DELETE FROM ${schema}.minute WHERE at IN (${numbers(due.map(({ at }) => at))})`);
  }
}
