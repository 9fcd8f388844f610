/**
 * The delivery counts of the primary and the further destinations. Accepted records are not counted one by one: their number is
 * the head's count minus its count when an account began.
 */
import { type RecordType, recordTypes } from "../../records/types.ts";
import {
  advanced,
  begunAnew,
  type DestinationAccount,
  type DestinationRule,
  type LogCursor,
  startOfJournal,
} from "../journal.ts";
import { redeliveryKey } from "../redelivery.ts";
import { destinationPrefix, noLoss } from "../stored.ts";
import { acceptedIn, type HeadRow, headColumns } from "./head.ts";
import type { Change, CountedDestination, State } from "./state.ts";
import type { Leading } from "./writer.ts";

/** Rows considered in one step of an eviction. */
const maxRowsEvicted = 5000;

const key = (name: string): `destination.${string}` => `${destinationPrefix}${name}`;
const isOf = (types: number) => `type IN (SELECT json_array_elements_text($${types}::json))`;

export class Destinations {
  readonly #deps: Leading;
  /** The last committed report of each destination: only the growth of its sums is counted. The primary one has the key undefined. */
  readonly #reported = new Map<string | undefined, LogCursor>();
  #names: readonly string[];
  /** When the oldest waiting record was received, as of the last look. */
  readonly #since = new Map<string | undefined, number | undefined>();

  constructor(deps: Leading) {
    this.#deps = deps;
    const { state } = deps;
    this.#names = state.named(destinationPrefix);
    this.#reported.set(undefined, state.cursor);
    for (const name of this.#names) this.#reported.set(name, stored(state, name).cursor);
  }

  /** Counts for destinations that have no count yet, as in a journal that was moved here. */
  async begin(change: Change): Promise<void> {
    for (const name of this.#names) {
      const known = stored(change, name);
      if (known.begun === undefined) change.set(key(name), await this.#counted(known, known.types));
    }
  }

  get names(): readonly string[] {
    return this.#names;
  }

  get accounts(): readonly DestinationAccount[] {
    return this.#names.map((name) => this.#accountOf(name, stored(this.#deps.state, name)));
  }

  /** Accepted records that are not delivered to the primary destination. */
  get pendingRecords(): number {
    return pendingAt(this.#deps.state, this.#deps.heads.current);
  }

  /** When the oldest of them was received, epoch milliseconds. */
  get pendingSince(): number | undefined {
    return this.pendingRecords > 0 ? this.#since.get(undefined) : undefined;
  }

  waitsSince(name: string | undefined, at: number | undefined): void {
    this.#since.set(name, at);
  }

  get hasOptional(): boolean {
    return this.#names.some((name) => !stored(this.#deps.state, name).isRequired);
  }

  /** All destinations that wait for records, with their types and positions. The name of the primary one is undefined. */
  get waiting() {
    const primary = { name: undefined, seq: this.#deps.state.cursor.seq, types: recordTypes };
    const further = this.accounts.flatMap(({ name, cursor, types, pending }) =>
      pending > 0 ? [{ name, seq: cursor.seq, types }] : [],
    );
    return this.pendingRecords > 0 ? [primary, ...further] : further;
  }

  /** The first row that is not delivered to all destinations yet, or to all required ones. */
  lowestSeq(which: "all" | "required"): number {
    const all = this.#names.map((name) => stored(this.#deps.state, name));
    const meant = all.filter(({ isRequired }) => which === "all" || isRequired);
    return Math.min(this.#deps.state.cursor.seq, ...meant.map(({ cursor }) => cursor.seq));
  }

  /** The further destination that is furthest behind, if it is behind the primary one. */
  get furthestBehind(): string | undefined {
    const lowest = this.lowestSeq("all");
    if (lowest >= this.#deps.state.cursor.seq) return undefined;
    return this.#names.find((name) => stored(this.#deps.state, name).cursor.seq === lowest);
  }

  /** Sets the further destinations. Returns those that were forgotten. */
  async use(change: Change, wanted: readonly DestinationRule[], now: number): Promise<readonly DestinationAccount[]> {
    const gone = this.#names.filter((name) => !wanted.some((rule) => rule.name === name));
    const forgotten = gone.map((name) => this.#accountOf(name, stored(change, name)));
    for (const { name: destination } of forgotten) {
      change.set(key(destination), undefined);
      for (const name of ["replay", "retry"] as const) change.set(redeliveryKey({ name, destination }), undefined);
    }
    for (const { name, types, isRequired } of wanted) {
      const known = this.#names.includes(name) ? stored(change, name) : undefined;
      if (known === undefined) {
        const head = this.#deps.heads.current;
        const cursor = { ...startOfJournal, seq: head.seq + 1 };
        change.set(key(name), { types, isRequired, since: now, cursor, evicted: 0, begun: acceptedIn(head, types) });
        change.afterwards(() => this.#reported.set(name, cursor));
        continue;
      }
      const isSame = known.types.join() === types.join();
      // If its types changed, the records before its position are counted anew.
      const counted = isSame ? known : await this.#counted({ ...known, accepted: undefined }, types);
      change.set(key(name), { ...counted, types, isRequired });
    }
    change.afterwards(() => {
      this.#names = wanted.map(({ name }) => name);
    });
    return forgotten;
  }

  /** Stores the reported position of a known destination. One behind the stored position was reported before an eviction. */
  advance(change: Change, name: string | undefined, cursor: LogCursor): void {
    const reported = this.#reported.get(name);
    if (reported === undefined || (name !== undefined && !this.#names.includes(name))) return;
    if (name === undefined) change.set("cursor", advanced(cursorIn(change), reported, cursor));
    else {
      const known = stored(change, name);
      change.set(key(name), { ...known, cursor: advanced(known.cursor, reported, cursor) });
    }
    change.afterwards(() => this.#reported.set(name, cursor));
  }

  /**
   * Begins all series and the delivery counters anew at `at`. Rows up to the measured one count as measured and are not counted
   * again: pending ones among them are recorded as uncounted. Later delivered rows stay delivered.
   */
  async beginAnew(change: Change, at: number): Promise<void> {
    const { connection, schema, state } = this.#deps;
    const { measuredSeq, loss } = state;
    const sql = `SELECT ${headColumns(schema)}, (SELECT COALESCE(SUM(records), 0)::bigint FROM ${schema}.batch
        WHERE seq > $1 AND ${isOf(2)}) AS unmeasured FROM ${schema}.head`;
    const [found] = await connection.query<HeadRow & { unmeasured: number }>(sql, [
      measuredSeq,
      JSON.stringify(recordTypes),
    ]);
    const { unmeasured, ...head } = found as NonNullable<typeof found>;
    const pending = pendingAt(change, head);
    const delivered = Math.max(0, unmeasured - pending);
    for (const name of state.snapshot.keys()) change.setBlob(`ledger/${name}`, undefined);
    change.set("measured", { measuredSeq });
    change.set("identity", { ...state.identity, createdAt: at });
    change.set("cursor", begunAnew(cursorIn(change), delivered));
    change.set("begun", acceptedIn(head, recordTypes) - pending - delivered);
    change.set("loss", { ...noLoss, rows: loss.rows, uncounted: Math.max(0, pending - unmeasured) });
    for (const name of this.#names) {
      const known = stored(change, name);
      const { types, isRequired, cursor } = known;
      const { pending: stillPending } = this.#accountOf(name, known, head);
      // The delivered lines of the row at the cursor have been counted before.
      const passed = await this.#passedIn(cursor, types);
      const account = { since: at, evicted: 0, begun: acceptedIn(head, types) - stillPending - passed };
      change.set(key(name), { types, isRequired, cursor: begunAnew(cursor, passed), ...account });
    }
  }

  /**
   * Evicts about `bytes` of the oldest undelivered rows before `bound` from each destination that is not required. Returns the
   * new positions.
   */
  async evict(change: Change, bound: number, bytes: number): Promise<ReadonlyMap<string, LogCursor>> {
    const { connection, schema } = this.#deps;
    const moved = new Map<string, LogCursor>();
    for (const name of this.#names) {
      const known = stored(change, name);
      const { seq } = known.cursor;
      if (known.isRequired || seq >= bound) continue;
      const sql = `SELECT MAX(seq) + 1 AS "to", COALESCE(SUM(records) FILTER (WHERE ${isOf(4)}), 0)::bigint AS records FROM (
          SELECT seq, type, records, SUM(bytes) OVER (ORDER BY seq) - bytes AS before FROM (
            SELECT seq, type, records, bytes FROM ${schema}.batch WHERE seq >= $1 AND seq < $2 ORDER BY seq LIMIT ${maxRowsEvicted}) b
        ) b WHERE before < $3`;
      const values = [seq, bound, bytes, JSON.stringify(known.types)];
      const [found] = await connection.query<{ to: number | null; records: number }>(sql, values);
      const passed = await this.#passedIn(known.cursor, known.types);
      const evicted = known.evicted + (found?.records ?? 0) - passed;
      const cursor = { ...known.cursor, seq: found?.to ?? bound, record: 0, logRecord: 0 };
      change.set(key(name), { ...known, cursor, evicted });
      change.afterwards(() => this.#reported.set(name, cursor));
      moved.set(name, cursor);
    }
    return moved;
  }

  #accountOf(name: string, known: CountedDestination, head = this.#deps.heads.current): DestinationAccount {
    const { types, isRequired, since, cursor, evicted, begun = 0 } = known;
    const accepted = acceptedIn(head, types) - begun;
    const pending = accepted - cursor.records.delivered - cursor.records.deadLettered - evicted;
    const pendingSince = pending > 0 ? this.#since.get(name) : undefined;
    return { name, types, isRequired, since, cursor, accepted, pending, pendingSince, evicted };
  }

  /** The destination's account for these types, counted from the stored rows. */
  async #counted(known: CountedDestination, types: readonly RecordType[]): Promise<CountedDestination> {
    const { connection, schema } = this.#deps;
    const { accepted, ...rest } = known;
    const { seq } = known.cursor;
    const sql = `SELECT ${headColumns(schema)}, (SELECT COALESCE(SUM(records), 0)::bigint FROM ${schema}.batch WHERE seq >= $1 AND ${isOf(2)})
        AS records FROM ${schema}.head`;
    const from = accepted === undefined ? seq : accepted.seq + 1;
    const [found] = await connection.query<HeadRow & { records: number }>(sql, [from, JSON.stringify(types)]);
    const { records, ...head } = found as NonNullable<typeof found>;
    const { delivered, deadLettered } = known.cursor.records;
    const passed = await this.#passedIn(known.cursor, types);
    const before = accepted?.records ?? delivered + deadLettered + known.evicted - passed;
    return { ...rest, types, begun: acceptedIn(head, types) - before - records };
  }

  /** Records of the cursor's row before the cursor, if the row is of these types. */
  async #passedIn({ seq, record }: LogCursor, types: readonly RecordType[]): Promise<number> {
    if (record === 0) return 0;
    const sql = `SELECT 1 AS one FROM ${this.#deps.schema}.batch WHERE seq = $1 AND ${isOf(2)}`;
    const found = await this.#deps.connection.query(sql, [seq, JSON.stringify(types)]);
    return found.length > 0 ? record : 0;
  }
}

type Known = Pick<State, "get">;

function stored(of: Known, name: string): CountedDestination {
  return of.get(key(name)) as CountedDestination;
}

function cursorIn(of: Known): LogCursor {
  return of.get("cursor") ?? startOfJournal;
}

function pendingAt(of: Known, head: HeadRow): number {
  const { delivered, deadLettered } = cursorIn(of).records;
  return acceptedIn(head, recordTypes) - (of.get("begun") ?? 0) - delivered - deadLettered;
}
