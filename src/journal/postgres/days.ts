/** The partitions by day: created before their day, and dropped as a whole once everything in them can be deleted. */
import type { DayTable } from "./schema.ts";
import { heldDay } from "./storage.ts";
import type { Leading } from "./writer.ts";

export const dayMs = 86_400_000;

/** Days around today that have a partition, because what arrives now is of these days. */
const around: Readonly<Record<DayTable, readonly number[]>> = { batch: [0, 1], flow_key: [-1, 0, 1] };

/** Rows held only by marks that are moved at once. */
const movedAtOnce = 500;

export class Days {
  readonly #deps: Leading;
  readonly #made: Readonly<Record<DayTable, Set<number>>> = { batch: new Set(), flow_key: new Set() };
  #isRead = false;

  constructor(deps: Leading) {
    this.#deps = deps;
  }

  /** Days of batches that have a partition. */
  get ofRows(): readonly number[] {
    return [...this.#made.batch].toSorted((a, b) => a - b);
  }

  /** Creates missing partitions. One that cannot be created now is created later, and its rows are moved to it. */
  async make(now: number): Promise<void> {
    const { schema, writer } = this.#deps;
    await this.#read();
    const today = Math.floor(now / dayMs);
    for (const table of ["batch", "flow_key"] as const)
      for (const day of around[table].map((one) => today + one)) {
        if (this.#made[table].has(day)) continue;
        await writer.run(`SELECT ${schema}.make_day('${table}', ${day})`);
        this.#made[table].add(day);
      }
  }

  /** Drops a day of batches if all its rows are before `below`; rows with a mark are kept. Returns true if it was dropped. */
  async dropRows(day: number, below: number): Promise<boolean> {
    const { connection, schema: s, writer } = this.#deps;
    const table = `${s}.batch_${day}`;
    const ask = async () =>
      (await connection.query<{ last: number | null }>(`SELECT MAX(seq) AS last FROM ${table}`))[0]?.last ?? null;
    let last = await ask();
    if (last !== null && last >= below) return false;
    const held = `SELECT b.seq FROM ${table} b WHERE EXISTS (SELECT FROM ${s}.mark m WHERE m.seq = b.seq) LIMIT ${movedAtOnce}`;
    while ((await connection.query(held)).length > 0)
      await writer.run(`UPDATE ${s}.batch SET day = ${heldDay} WHERE day = ${day} AND seq IN (${held})`);
    last = await ask();
    const [sum] = await connection.query<{ bytes: number }>(
      `SELECT COALESCE(SUM(bytes), 0)::bigint AS bytes FROM ${table}`,
    );
    await writer.run(`SELECT ${s}.drop_rows(${day}, ${last ?? "NULL"}, ${sum?.bytes ?? 0})`);
    // An instance whose clock is behind may have written to it in the meantime.
    const [left] = await connection.query<{ any: boolean }>(`SELECT to_regclass($1) IS NOT NULL AS any`, [table]);
    if (left?.any === true) return false;
    this.#made.batch.delete(day);
    return true;
  }

  async #read(): Promise<void> {
    if (this.#isRead) return;
    const { connection, schema } = this.#deps;
    for (const table of ["batch", "flow_key"] as const) {
      const found = await connection.query<{ day: number }>(
        `SELECT substr(c.relname, ${table.length + 2})::integer AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = $1::regclass AND c.relname ~ '_-?[0-9]+$'`,
        [`${schema}.${table}`],
      );
      for (const { day } of found) this.#made[table].add(day);
    }
    this.#isRead = true;
  }
}
