/** Keeps the positions of what is sent once more, and does to the store what follows from them: rows are held, dead letters leave. */
import type { DatabaseSync } from "node:sqlite";
import type { Quarantine } from "./quarantine.ts";
import { DamagedBlob, seal, unseal } from "./pack.ts";
import {
  beginningAt,
  hasPassed,
  isOver,
  type LetterFilter,
  type LetterRetry,
  type Redelivery,
  type RedeliveryName,
  redeliveryNames,
  type RedeliveryProgress,
  type Replay,
  type RowRange,
} from "./redelivery.ts";

/** Rows looked at before others get a turn: some milliseconds. */
const rowsAtOnce = 2000;

/** The condition that `isAmong` is; its values are those of `meant`. */
const isMeant =
  "class = 'dead_letter' AND type = COALESCE(?, type) AND reason = COALESCE(?, reason) AND (? IS NULL OR id IN (SELECT value FROM json_each(?)))";

function meant({ ids, type, reason }: LetterFilter): (string | null)[] {
  const list = ids === undefined ? null : JSON.stringify(ids);
  return [type ?? null, reason ?? null, list, list];
}

export class Redeliveries {
  readonly #database: DatabaseSync;
  readonly #quarantine: Quarantine;
  readonly #known = new Map<RedeliveryName, Redelivery>();
  /** Reported, and not on disk yet: all of it as one report. */
  readonly #unsaved = new Map<RedeliveryName, RedeliveryProgress>();
  #isPlanning = false;

  constructor(database: DatabaseSync, quarantine: Quarantine) {
    this.#database = database;
    this.#quarantine = quarantine;
    for (const name of redeliveryNames) {
      const found = this.#read(name);
      if (found !== undefined) this.#known.set(name, found);
    }
  }

  /** The one that is under way, or the last that was. */
  get(name: RedeliveryName): Redelivery | undefined {
    return this.#known.get(name);
  }

  /** Under way. */
  get running(): readonly Redelivery[] {
    return [...this.#known.values()].filter((redelivery) => !isOver(redelivery));
  }

  /** The first row that must stay. */
  get pinnedSeq(): number {
    if (this.#isPlanning) return 0;
    const replay = this.#known.get("replay");
    return replay === undefined || isOver(replay) ? Number.POSITIVE_INFINITY : replay.seq;
  }

  /**
   * Rows below `deliveredBelow` that were received in that range, as a replay that can be begun. A long journal is looked
   * through in steps, so that nobody waits for it.
   */
  async planReplay(range: RowRange, deliveredBelow: number, now: number): Promise<Replay> {
    this.#isPlanning = true;
    try {
      return await this.#plannedReplay(range, deliveredBelow, now);
    } finally {
      this.#isPlanning = false;
    }
  }

  async #plannedReplay(range: RowRange, deliveredBelow: number, now: number): Promise<Replay> {
    const next = this.#database.prepare(
      "SELECT seq, accepted_at, records FROM journal WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?",
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
      }[];
      for (const { seq, accepted_at: at, records } of rows) {
        if (records === 0 || at < range.since || at > range.until) continue;
        first ??= seq;
        last = seq;
        total += records;
      }
      const end = rows.at(-1);
      if (end === undefined || rows.length < rowsAtOnce) break;
      from = end.seq + 1;
      await new Promise(setImmediate);
    }
    return { name: "replay", id: now, range, ...beginningAt(first ?? 1), untilSeq: last + 1, total };
  }

  /** All dead letters of now that are meant, as a retry that can be begun. */
  planRetry(letters: LetterFilter, now: number): LetterRetry {
    const { first, last, total } = this.#database
      .prepare(`SELECT MIN(id) AS first, MAX(id) AS last, COUNT(*) AS total FROM quarantine WHERE ${isMeant}`)
      .get(...meant(letters)) as { first: number | null; last: number | null; total: number };
    return { name: "retry", id: now, letters, ...beginningAt(first ?? 1), untilSeq: (last ?? 0) + 1, total };
  }

  begin(redelivery: Redelivery): void {
    this.#write(redelivery);
    this.#unsaved.delete(redelivery.name);
    this.#known.set(redelivery.name, redelivery);
  }

  /** Ends the one that is under way. Whether there was one. */
  cancel(name: RedeliveryName, now: number): boolean {
    this.save(now);
    const known = this.#known.get(name);
    if (known === undefined || isOver(known)) return false;
    this.begin({ ...known, endedAt: now, isCancelled: true });
    return true;
  }

  /** Takes a report; on disk with the next `save`. */
  progress(progress: RedeliveryProgress): void {
    const known = this.#known.get(progress.name);
    if (known === undefined || known.id !== progress.id || isOver(known)) return;
    const refused = [...(this.#unsaved.get(progress.name)?.refused ?? []), ...progress.refused];
    this.#unsaved.set(progress.name, { ...progress, refused: progress.name === "retry" ? refused : [] });
  }

  /** Commits what was reported; dead letters that the backend has taken leave in the same transaction. */
  save(now: number): void {
    if (this.#unsaved.size === 0) return;
    const saved: Redelivery[] = [];
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const { name, cursor, refused } of this.#unsaved.values()) {
        const before = this.#known.get(name);
        if (before === undefined) continue;
        if (before.name === "retry") this.#removeTaken(before.letters, before.seq, cursor.seq, refused);
        const ended = hasPassed(before, cursor) ? { endedAt: now } : {};
        const redelivery = { ...before, ...cursor, ...ended };
        this.#write(redelivery);
        saved.push(redelivery);
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#quarantine.recount();
      throw error;
    }
    this.#unsaved.clear();
    for (const redelivery of saved) this.#known.set(redelivery.name, redelivery);
  }

  /** Before the journal is closed. What cannot be saved is sent again after the next start. */
  saveLast(now: number): void {
    try {
      this.save(now);
    } catch {
      this.#unsaved.clear();
    }
  }

  #removeTaken(letters: LetterFilter, fromId: number, untilId: number, refused: readonly number[]): void {
    const stay = new Set(refused);
    const passed = this.#database
      .prepare(`SELECT id FROM quarantine WHERE ${isMeant} AND id >= ? AND id < ?`)
      .all(...meant(letters), fromId, untilId) as { id: number }[];
    for (const { id } of passed) if (!stay.has(id)) this.#quarantine.remove(id);
  }

  /** A position that is not what was written is none: what was asked for can be asked for again. */
  #read(name: RedeliveryName): Redelivery | undefined {
    const row = this.#database.prepare("SELECT value FROM cursor WHERE name = ?").get(name) as
      { value: string } | undefined;
    try {
      return row === undefined ? undefined : (JSON.parse(unseal(row.value)) as Redelivery);
    } catch (error) {
      if (error instanceof DamagedBlob) return undefined;
      throw error;
    }
  }

  #write(redelivery: Redelivery): void {
    this.#database
      .prepare("INSERT INTO cursor (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
      .run(redelivery.name, seal(JSON.stringify(redelivery)));
  }
}
