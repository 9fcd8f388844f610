/**
 * Deletes rows, marks, minutes and keys from the database when they are due or space is short. Called about once a second, by the
 * leader.
 */
import { recordTypes } from "../../records/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { type LogCursor, primaryDestination, type Redelivery } from "../journal.ts";
import { type Planned, replayOf, runningRedeliveries } from "../redelivery.ts";
import { Age, aheadMs, evictedShare, isShort, markedShare, minuteBounds } from "../retention.ts";
import { type Days, dayMs } from "./days.ts";
import type { Destinations } from "./destinations.ts";
import type { KeyRetention } from "./key-retention.ts";
import type { Marks } from "./marks.ts";
import type { MinuteTable } from "./minutes.ts";
import { heldDay } from "./storage.ts";
import type { Leading } from "./writer.ts";

export interface SpaceDeps extends Leading {
  readonly days: Days;
  readonly destinations: Destinations;
  readonly marks: Marks;
  readonly minutes: MinuteTable;
  readonly keys: KeyRetention;
  readonly clock: Clock;
  readonly steady: Clock;
  readonly logger: Logger;
  readonly maxBytes: number;
  readonly retentionMs: number;
}

/** Rows deleted by one write, and the time limit of one call. */
const rowsAtOnce = 256;
const rowsMs = 500;

const maxInteger = 2 ** 31 - 1;

/** Slow searches are spaced out so that they take at most 1/30 of the time. */
const restShare = 30;
const longMs = 50;

export class Space {
  readonly #deps: SpaceDeps;
  readonly #age: Age;
  /** Rows before it are deleted or held only by marks. */
  #passedSeq = 1;
  /** Rows before it are of days that have a partition, or held only by marks. */
  #straySeq = 1;
  /** Number of replays being planned. */
  #planned = 0;
  #isWarned = false;
  #marksRestUntil = 0;

  constructor(deps: SpaceDeps) {
    const { clock, steady, state } = deps;
    this.#deps = deps;
    this.#age = new Age(clock, steady, state.get("age") ?? state.identity.createdAt);
  }

  /** True if delivered rows are to be deleted before the end of their retention. */
  get isShort(): boolean {
    const { heads, maxBytes } = this.#deps;
    return isShort(heads.current.used_bytes, maxBytes);
  }

  /** Plans a replay of the rows delivered to the destination and received in that range. No row is deleted meanwhile. */
  async planReplay(
    range: NonNullable<Redelivery["range"]>,
    id: number,
    destination = primaryDestination,
  ): Promise<Redelivery> {
    const { connection, schema, state, destinations } = this.#deps;
    const { since, until } = range;
    const account = destinations.accounts.find(({ name }) => name === destination);
    const types = JSON.stringify(account?.types ?? recordTypes);
    const dayOf = (at: number): number => Math.max(0, Math.min(maxInteger, Math.floor(at / dayMs)));
    this.#planned++;
    try {
      const [found] = await connection.query<Planned>(
        `SELECT MIN(seq) AS first, MAX(seq) AS last, COALESCE(SUM(records), 0)::bigint AS total FROM ${schema}.batch
          WHERE seq < $1 AND accepted_at BETWEEN $2 AND $3 AND (day BETWEEN $4 AND $5 OR day = ${heldDay})
            AND type IN (SELECT json_array_elements_text($6::json))`,
        [(account ?? state).cursor.seq, Math.ceil(since), Math.floor(until), dayOf(since), dayOf(until), types],
      );
      return replayOf(found as Planned, range, id, destination);
    } finally {
      this.#planned--;
    }
  }

  /** Deletes what may be deleted. Returns the new positions of destinations from which undelivered rows were evicted. */
  async release(): Promise<ReadonlyMap<string, LogCursor>> {
    const { state, writer, days, minutes, keys, clock, retentionMs, maxBytes } = this.#deps;
    const now = this.#age.advance();
    if (this.#age.isFarFrom(state.get("age"))) await writer.write((change) => change.set("age", now));
    await days.make(clock());
    await this.#releaseRows();
    const moved = await this.#evictUndelivered();
    if (moved.size > 0) await this.#releaseRows();
    await this.#evictMarks();
    await minutes.release(minuteBounds(now, clock(), retentionMs, maxBytes));
    await keys.release(now);
    return moved;
  }

  #running(name: Redelivery["name"]): readonly Redelivery[] {
    const { state, destinations } = this.#deps;
    return runningRedeliveries(state, name, destinations.names);
  }

  /** The first row that must not be deleted, regardless of what destinations that are not required still wait for. */
  get #requiredSeq(): number {
    const { state, destinations } = this.#deps;
    const replayed = this.#running("replay").map(({ cursor }) => cursor.seq);
    return Math.min(state.measuredSeq + 1, destinations.lowestSeq("required"), ...replayed);
  }

  async #releaseRows(): Promise<void> {
    if (this.#planned > 0) return;
    const { days, destinations } = this.#deps;
    const below = Math.min(this.#requiredSeq, destinations.lowestSeq("all"));
    if (this.isShort) await this.#releaseOldest(below);
    for (const day of days.ofRows) if (this.#isDue(day)) await days.dropRows(day, below);
    await this.#releaseStray(below);
  }

  #isDue(day: number): boolean {
    const { clock, retentionMs } = this.#deps;
    return (day + 1) * dayMs <= this.#age.now - retentionMs || day * dayMs > clock() + aheadMs;
  }

  /** Deletes the oldest rows regardless of age, until there is space or no more rows may be deleted. */
  async #releaseOldest(below: number): Promise<void> {
    const { connection, schema: s, writer } = this.#deps;
    const until = performance.now() + rowsMs;
    while (this.isShort && performance.now() < until) {
      const [row] = await connection.query<{ first: number | null }>(
        `SELECT MIN(seq) AS first FROM ${s}.batch WHERE seq >= $1 AND seq < $2 AND day <> ${heldDay}`,
        [this.#passedSeq, below],
      );
      const first = row?.first ?? below;
      this.#passedSeq = Math.max(this.#passedSeq, Math.min(first, below));
      if (first >= below) return;
      const end = Math.min(below, first + rowsAtOnce);
      await writer.run(`SELECT ${s}.release_rows(NULL, ${first}, ${end})`);
      await this.#seeHead();
    }
  }

  /** Deletes rows of days without a partition, which come from wrong clocks or from a time when no partition could be created. */
  async #releaseStray(below: number): Promise<void> {
    const { connection, schema: s, writer } = this.#deps;
    const found = await connection.query<{ day: number; first: number; last: number }>(
      `SELECT day, MIN(seq) AS first, MAX(seq) AS last FROM (
        SELECT day, seq FROM ${s}.batch_default WHERE day <> ${heldDay} AND seq >= $1 AND seq < $2
        ORDER BY seq LIMIT ${rowsAtOnce}) b GROUP BY day`,
      [this.#straySeq, below],
    );
    this.#straySeq = Math.max(this.#straySeq, Math.min(below, ...found.map(({ first }) => first)));
    for (const { day, first, last } of found)
      if (this.#isDue(day)) await writer.run(`SELECT ${s}.release_rows(${day}, ${first}, ${last + 1})`);
  }

  /** Evicts rows so that a destination that is not required does not stop the receivers. */
  async #evictUndelivered(): Promise<ReadonlyMap<string, LogCursor>> {
    const { destinations, writer, maxBytes } = this.#deps;
    if (!this.isShort || !destinations.hasOptional) return new Map();
    return writer.write((change) => destinations.evict(change, this.#requiredSeq, Math.floor(maxBytes * evictedShare)));
  }

  async #evictMarks(): Promise<void> {
    if (performance.now() < this.#marksRestUntil && !this.isShort) return;
    const { marks, maxBytes, logger } = this.#deps;
    const startedAt = performance.now();
    const deadLetters = await marks.evict(this.#running("retry"));
    const tookMs = performance.now() - startedAt;
    if (tookMs > longMs) this.#marksRestUntil = performance.now() + tookMs * restShare;
    if (deadLetters > 0 && !this.#isWarned) {
      this.#isWarned = true;
      const bytes = maxBytes * markedShare;
      logger.warn("dead letters take a quarter of state.max_bytes: the oldest are deleted from now on", { bytes });
    }
    if (deadLetters > 0) await this.#seeHead();
  }

  /** Updates the used bytes after a deletion. */
  async #seeHead(): Promise<void> {
    const { connection, schema, heads } = this.#deps;
    await heads.look(connection, schema);
  }
}
