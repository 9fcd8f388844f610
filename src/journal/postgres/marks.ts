/** Marks: ranges of lines of rows kept for an operator, each of which holds its row, and their eviction when space is short. */
import { recordTypes } from "../../records/types.ts";
import {
  addCount,
  deliveredClasses,
  isNote,
  maxNotes,
  maxQuarantinedBytes,
  overheadBytes,
  parseItemId,
  quarantinedClasses,
  type StoredMark,
  storedName,
  truncated,
} from "../items.ts";
import { Damaged, textOf } from "../batch.ts";
import { type NewMark, primaryDestination, type QuarantineCount, type Redelivery } from "../journal.ts";
import type { QuarantineStore } from "../quarantine.ts";
import { markedShare } from "../retention.ts";
import { markTable } from "./rows.ts";
import type { Change } from "./state.ts";
import { heldDay, numbers, textLiteral, textOrNull } from "./storage.ts";
import type { Leading } from "./writer.ts";

/** Maximum marks of one kind evicted at once. */
const leavingAtOnce = 500;

const list = (classes: readonly string[]): string => classes.map((name) => `'${name}'`).join(", ");
const accepted = list(recordTypes);

interface Leaving extends QuarantineCount {
  readonly id: number;
}

export class Marks {
  readonly #deps: Leading;
  readonly #maxBytes: number;
  readonly #evicted = new Map<string, QuarantineCount>();

  constructor(deps: Leading, maxBytes: number) {
    this.#deps = deps;
    this.#maxBytes = maxBytes;
  }

  /** Items evicted for lack of space since the term began. */
  get evicted(): readonly QuarantineCount[] {
    return [...this.#evicted.values()];
  }

  /** Marks rows. No mark is created for a deleted row, because it would hold nothing. */
  add(change: Change, marks: readonly NewMark[], destination = primaryDestination): void {
    if (marks.length === 0) return;
    const rows = marks.map(({ seq, from, to, why, logRecords, at, message }) => {
      const markClass = isNote(why) ? "note" : "dead_letter";
      const range = numbers([seq, from, to, logRecords, Math.trunc(at)]);
      return `(${range}, '${markClass}', ${textLiteral(why)}, ${textLiteral(truncated(message))})`;
    });
    const s = this.#deps.schema;
    change.run(`INSERT INTO ${s}.mark (seq, from_line, to_line, log_records, at, class, type, source, why, message, destination)
      SELECT v.seq, v.first, v.last, v.refused, v.at, v.class, b.type, b.source, v.why, v.message, ${textOrNull(storedName(destination))}
      FROM (VALUES ${rows.map((row, n) => row.replace("(", `(${n}, `)).join(", ")})
        AS v(n, seq, first, last, refused, at, class, why, message)
      JOIN ${s}.batch b ON b.seq = v.seq AND b.type IN (${accepted}) ORDER BY v.n`);
  }

  /** Deletes marks, and rows that nothing else holds. */
  remove(change: Change, ids: readonly number[]): void {
    if (ids.length > 0) change.run(`SELECT ${this.#deps.schema}.remove_marks(ARRAY[${numbers(ids)}]::bigint[])`);
  }

  /**
   * Evicts the oldest notes beyond their maximum number, and the oldest quarantined texts and rows held only by marks beyond
   * their share of space. Dead letters that a running retry may still reach are kept. Returns the number of evicted dead letters.
   */
  async evict(retries: readonly Redelivery[]): Promise<number> {
    const from = Math.min(...retries.map(({ cursor }) => cursor.seq));
    const until = Math.max(0, ...retries.map(({ untilSeq }) => untilSeq));
    const isRetried = Number.isFinite(from) ? `m.seq >= ${from} AND m.id < ${until}` : "FALSE";
    const ofQuarantine = await this.#evictAbove(quarantinedClasses, "TRUE", maxQuarantinedBytes);
    const ofDelivered = await this.#evictAbove(
      deliveredClasses,
      `b.day = ${heldDay} AND NOT (${isRetried})`,
      this.#maxBytes * markedShare,
    );
    const leaving = [...(await this.#tooManyNotes()), ...ofQuarantine, ...ofDelivered];
    if (leaving.length === 0) return 0;
    await this.#deps.writer.write((change) => {
      this.remove(
        change,
        leaving.map(({ id }) => id),
      );
      change.afterwards(() => {
        for (const { class: itemClass, reason, items } of leaving)
          addCount(this.#evicted, { class: itemClass, reason, items });
      });
    }, "may fail");
    return leaving.filter((one) => one.class === "dead_letter").length;
  }

  /** The oldest marks of these classes whose rows exceed `maxBytes`. A row is kept until its last mark is removed. */
  async #evictAbove(classes: readonly string[], which: string, maxBytes: number): Promise<readonly Leaving[]> {
    const { connection, schema: s } = this.#deps;
    const held = `SELECT m.seq, MIN(b.bytes) + ${overheadBytes} * COUNT(*) AS bytes FROM ${s}.mark m
      JOIN ${s}.batch b ON b.seq = m.seq WHERE m.class IN (${list(classes)}) AND ${which} GROUP BY m.seq`;
    const above = `SELECT seq FROM (SELECT seq, SUM(bytes) OVER (ORDER BY seq DESC) AS above FROM (${held}) h) h WHERE above > $1`;
    return connection.query<Leaving>(
      `SELECT id, class, why AS reason, to_line - from_line AS items FROM ${s}.mark m
        WHERE class IN (${list(classes)}) AND seq IN (${above}) ORDER BY seq, id LIMIT ${leavingAtOnce}`,
      [Math.trunc(maxBytes)],
    );
  }

  #tooManyNotes(): Promise<readonly Leaving[]> {
    const { connection, schema: s } = this.#deps;
    return connection.query<Leaving>(
      `SELECT id, class, why AS reason, to_line - from_line AS items FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY why ORDER BY id DESC) AS newest FROM ${s}.mark WHERE class = 'note') n
      WHERE newest > ${maxNotes} ORDER BY id LIMIT ${leavingAtOnce}`,
    );
  }
}

/** The database queries behind the list of quarantined texts and marks. */
export function quarantineStore({ connection, schema: s, writer }: Leading, marks: Marks): QuarantineStore {
  const table = markTable(connection, s);
  const isQuarantined = `class IN (${list(quarantinedClasses)})`;
  const find = async (itemId: string): Promise<StoredMark | undefined> => {
    const named = parseItemId(itemId);
    if (named === undefined) return undefined;
    const [found] =
      typeof named === "number"
        ? await table.marks(`WHERE id = ? AND NOT ${isQuarantined}`, [named])
        : await table.marks(
            `WHERE seq = ? AND CAST(? AS bigint) BETWEEN from_line AND to_line - 1 AND ${isQuarantined}`,
            [named.seq, named.line],
          );
    return found;
  };
  return {
    table,
    find,
    get evicted() {
      return marks.evicted;
    },
    async text(seq) {
      const sql = `SELECT length, body FROM ${s}.batch WHERE seq = $1`;
      const [row] = await connection.query<{ length: number; body: Uint8Array | null }>(sql, [seq]);
      try {
        return row === undefined ? new Uint8Array() : textOf(row);
      } catch (error) {
        if (error instanceof Damaged) return new Uint8Array();
        throw error;
      }
    },
    remove: (ids) =>
      writer.write(async (change) => {
        const found: string[] = [];
        for (const id of new Set(ids)) if ((await find(id)) !== undefined) found.push(id);
        const named = found.map(parseItemId);
        marks.remove(
          change,
          named.filter((one) => typeof one === "number"),
        );
        for (const one of named)
          if (typeof one === "object") change.run(`SELECT ${s}.remove_line(${one.seq}, ${one.line})`);
        return found.length;
      }),
  };
}
