/**
 * The further destinations: the position of each, which holds the rows after it, and its counts of records of its types. Changes
 * are made in the caller's transaction and become visible once it is committed.
 */
import type { DatabaseSync } from "node:sqlite";
import type { RecordType } from "../../records/types.ts";
import {
  advanced,
  begunAnew,
  type DestinationAccount,
  type DestinationRule,
  type LogCursor,
  startOfJournal,
} from "../journal.ts";
import { overheadBytes } from "../items.ts";
import { redeliveryKey } from "../redelivery.ts";
import { destinationPrefix as prefix, type StoredDestination } from "../stored.ts";
import type { State } from "./state.ts";
import { prepare, type Statements } from "./tables.ts";

/** State of a destination in memory. */
interface Known {
  accepted: number;
  /** The cursor of the last committed report: only the growth of its sums is counted. */
  reported: LogCursor;
}

/** Rows considered in one step of an eviction. */
const maxRowsEvicted = 5_000;

/** True if a value of the state is a destination. */
export function isDestination(name: string): name is `destination.${string}` {
  return name.startsWith(prefix);
}

/** The destination after damage. One that cannot be read is delivered everything that is stored, once its types are set. */
export function salvagedDestination(value: Uint8Array | undefined, now: number): StoredDestination {
  if (value === undefined) return { types: [], isRequired: true, since: now, cursor: startOfJournal, evicted: 0 };
  const stored = JSON.parse(new TextDecoder().decode(value)) as StoredDestination;
  return { ...stored, accepted: undefined };
}

const ofTypes = "type IN (SELECT value FROM json_each(?))";

const sql = {
  names: `SELECT substr(name, ${prefix.length + 1}) AS name FROM state WHERE name >= '${prefix}' AND name < 'destination/'`,
  records: `SELECT COALESCE(SUM(records), 0) AS records FROM batch WHERE seq >= ? AND seq < ? AND ${ofTypes}`,
  oldest: `SELECT accepted_at AS at FROM batch WHERE seq >= ? AND records > 0 AND ${ofTypes} ORDER BY seq LIMIT 1`,
  sizes: `SELECT seq, COALESCE(LENGTH(body), 0) + ${overheadBytes} AS bytes FROM batch WHERE seq >= ? AND seq < ?
    ORDER BY seq LIMIT ${maxRowsEvicted}`,
};

export class Destinations {
  readonly #state: State;
  readonly #sql: Statements<keyof typeof sql>;
  #known = new Map<string, Known>();
  /** Cursors reported in the open transaction. */
  readonly #reporting = new Map<string, LogCursor>();
  /** The last committed row; accepted records are counted up to it. */
  lastSeq: number;

  /** Loads the destinations of the last run. @throws {Damaged} */
  constructor(database: DatabaseSync, state: State, lastSeq: number) {
    this.#state = state;
    this.lastSeq = lastSeq;
    this.#sql = prepare(database, sql);
    this.#load(this.#names());
  }

  get accounts(): readonly DestinationAccount[] {
    return Array.from(this.#known.keys(), (name) => this.#accountOf(name));
  }

  /** The first row that is not delivered to all destinations yet, or to all required ones. */
  lowestSeq(which: "all" | "required"): number {
    const all = this.names.map((name) => this.#stored(name));
    const meant = all.filter(({ isRequired }) => which === "all" || isRequired);
    return Math.min(...meant.map(({ cursor }) => cursor.seq));
  }

  /** The destination that is furthest behind, if it is before row `seq`. */
  furthestBehind(seq: number): string | undefined {
    const lowest = this.lowestSeq("all");
    if (lowest >= seq) return undefined;
    return this.#known.keys().find((name) => this.#stored(name).cursor.seq === lowest);
  }

  get names(): readonly string[] {
    return [...this.#known.keys()];
  }

  get hasOptional(): boolean {
    return this.#known.keys().some((name) => !this.#stored(name).isRequired);
  }

  /** Sets the destinations. Returns those that were forgotten; call `load` once it is committed. */
  use(wanted: readonly DestinationRule[], now: number): readonly DestinationAccount[] {
    const forgotten = this.accounts.filter(({ name }) => !wanted.some((rule) => rule.name === name));
    for (const { name: destination } of forgotten) {
      this.#state.set(`${prefix}${destination}`, undefined);
      for (const name of ["replay", "retry"] as const) this.#state.set(redeliveryKey({ name, destination }), undefined);
    }
    for (const { name, types, isRequired } of wanted) {
      const stored = this.#known.has(name) ? this.#stored(name) : undefined;
      const isSame = stored !== undefined && stored.types.join() === types.join();
      const begun = { cursor: { ...startOfJournal, seq: this.lastSeq + 1 }, evicted: 0, since: now };
      // If its types changed, the outcome of earlier rows stays counted and the pending records are counted anew.
      const accepted = isSame ? this.#acceptedOf(name) : undefined;
      this.#state.set(`${prefix}${name}`, { ...begun, ...stored, types, isRequired, accepted });
    }
    return forgotten;
  }

  /** Loads the destinations after `use`, in the given order. */
  load(wanted: readonly DestinationRule[]): void {
    this.#load(wanted.map(({ name }) => name));
  }

  /** Stores a reported position, unless the destination has been forgotten meanwhile. */
  advance(name: string, cursor: LogCursor): void {
    const known = this.#known.get(name);
    if (known === undefined) return;
    const stored = this.#stored(name);
    const accepted = this.#acceptedOf(name);
    this.#state.set(`${prefix}${name}`, {
      ...stored,
      cursor: advanced(stored.cursor, known.reported, cursor),
      accepted,
    });
    this.#reporting.set(name, cursor);
  }

  /** Counts records whose commit is on disk. */
  accepted(type: RecordType, records: number): void {
    for (const [name, known] of this.#known) if (this.#stored(name).types.includes(type)) known.accepted += records;
  }

  /** Stores how many records were accepted, so that a start need not count a long backlog. */
  save(): void {
    for (const name of this.#known.keys())
      this.#state.set(`${prefix}${name}`, { ...this.#stored(name), accepted: this.#acceptedOf(name) });
  }

  /** Begins the counts anew with the series; pending records stay. Call `load` afterwards. */
  beginAnew(at: number): void {
    for (const name of this.#known.keys()) {
      const { cursor, types, isRequired } = this.#stored(name);
      // The delivered lines of the row at the cursor have been counted before.
      const anew = begunAnew(cursor, this.#isAmong(types, cursor.seq) ? cursor.record : 0);
      this.#state.set(`${prefix}${name}`, { types, isRequired, since: at, evicted: 0, cursor: anew });
    }
  }

  /**
   * Evicts about `bytes` of the oldest undelivered rows before `bound` from each destination that is not required. Returns the
   * new positions.
   */
  evict(bound: number, bytes: number): ReadonlyMap<string, LogCursor> {
    const moved = new Map<string, LogCursor>();
    for (const name of this.#known.keys()) {
      const stored = this.#stored(name);
      const { seq, record } = stored.cursor;
      if (stored.isRequired || seq >= bound) continue;
      let [to, left] = [bound, bytes];
      const sizes = this.#sql.sizes.all(seq, bound) as { seq: number; bytes: number }[];
      for (const size of sizes) {
        left -= size.bytes;
        to = size.seq + 1;
        if (left <= 0) break;
      }
      const passed = this.#isAmong(stored.types, seq) ? record : 0;
      const evicted = stored.evicted + this.#recordsIn(seq, to, stored.types) - passed;
      const cursor = { ...stored.cursor, seq: to, record: 0, logRecord: 0 };
      // The rows in between can be deleted now, so they cannot be counted again.
      this.#state.set(`${prefix}${name}`, { ...stored, cursor, evicted, accepted: this.#acceptedOf(name) });
      this.#reporting.set(name, cursor);
      moved.set(name, cursor);
    }
    return moved;
  }

  committed(): void {
    for (const [name, cursor] of this.#reporting) (this.#known.get(name) as Known).reported = cursor;
    this.#reporting.clear();
  }

  rolledBack(): void {
    this.#reporting.clear();
  }

  #names(): string[] {
    return (this.#sql.names.all() as { name: string }[]).map(({ name }) => name);
  }

  #load(names: readonly string[]): void {
    const before = this.#known;
    this.#known = new Map();
    for (const name of names) {
      const { cursor, types, evicted, accepted } = this.#stored(name);
      const { delivered, deadLettered } = cursor.records;
      const waiting = () => {
        const passed = this.#isAmong(types, cursor.seq) ? cursor.record : 0;
        return this.#recordsIn(cursor.seq, Number.MAX_SAFE_INTEGER, types) - passed;
      };
      const records =
        accepted === undefined
          ? delivered + deadLettered + evicted + waiting()
          : accepted.records + this.#recordsIn(accepted.seq + 1, Number.MAX_SAFE_INTEGER, types);
      this.#known.set(name, { accepted: records, reported: before.get(name)?.reported ?? cursor });
    }
  }

  #stored(name: string): StoredDestination {
    return this.#state.get(`${prefix}${name}`) as StoredDestination;
  }

  #acceptedOf(name: string): NonNullable<StoredDestination["accepted"]> {
    return { seq: this.lastSeq, records: (this.#known.get(name) as Known).accepted };
  }

  #accountOf(name: string): DestinationAccount {
    const { types, isRequired, since, cursor, evicted } = this.#stored(name);
    const { records: accepted } = this.#acceptedOf(name);
    const pending = accepted - cursor.records.delivered - cursor.records.deadLettered - evicted;
    const oldest = pending > 0 ? this.#sql.oldest.get(cursor.seq, JSON.stringify(types)) : undefined;
    const pendingSince = (oldest as { at: number } | undefined)?.at;
    return { name, types, isRequired, since, cursor, accepted, pending, pendingSince, evicted };
  }

  #recordsIn(from: number, to: number, types: readonly RecordType[]): number {
    return (this.#sql.records.get(from, to, JSON.stringify(types)) as { records: number }).records;
  }

  /** True if the row exists and is of one of these types. */
  #isAmong(types: readonly RecordType[], seq: number): boolean {
    return this.#recordsIn(seq, seq + 1, types) > 0;
  }
}
