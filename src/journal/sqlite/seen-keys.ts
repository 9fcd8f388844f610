/**
 * The keys of everything that was accepted or quarantined: by class, a table in memory backed by rows of `keys`, limited in
 * number and age.
 */
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { type Horizon, type KeyClass, keyClasses } from "../journal.ts";
import type { Keys } from "../judge.ts";
import { type KeyLimits, keyLimitsOf, type KeySettings, oldestKept } from "../key-limits.ts";
import { isStreamed, KeyTable, keyWords } from "../keys.ts";
import type { State } from "./state.ts";
import { prepare, type Statements, type StoredRow, Table } from "./tables.ts";
import { freeBuffer } from "../../runtime/process.ts";

const rowsAtOnce = 64;
const keyBytes = keyWords * 4;

/**
 * Keys of transactions that are close in time share a row of up to this size; two such rows fill a page of the database. A start
 * then reads thousands of rows, not millions. Many keys at once form one row.
 */
const rowBytes = 124 * keyBytes;
const manyBytes = 8 * rowBytes;
const sharedMs = 60_000;

/** The newest row of a class, unless it is full: the next transaction may add to it. */
interface NewestRow {
  readonly id: number;
  readonly at: number;
  /** `at` of the first transaction. */
  readonly from: number;
  readonly packed: Uint8Array;
}

/**
 * The keys of one class. Keys added by the open transaction are in the table at once, written by `SeenKeys.flush`, and can be
 * rolled back.
 */
class ClassOfKeys {
  readonly table: KeyTable;
  newest: NewestRow | undefined;
  words = new Uint32Array(256 * keyWords);
  /** The bits that each added key had before. */
  previous = new Uint8Array(256);
  count = 0;
  at = 0;
  /** Keys of rows that are deleted by the open transaction. */
  leaving: Uint32Array[] = [];

  constructor(keyClass: KeyClass) {
    this.table = new KeyTable(keyClass === "flow" ? "with windows" : undefined);
  }

  /** Writes a key with these bits after the added ones and returns its position; `keep` counts it. */
  copy(keys: Uint32Array, at: number, bits: number): number {
    if (this.count === this.previous.length) this.#resize(this.count * 2);
    const place = this.count * keyWords;
    const { words } = this;
    words[place] = keys[at] as number;
    words[place + 1] = keys[at + 1] as number;
    words[place + 2] = keys[at + 2] as number;
    words[place + 3] = ((keys[at + 3] as number) & ~0xff) | bits;
    return place;
  }

  keep(previous: number, agesFrom: number): void {
    this.previous[this.count++] = previous;
    if (agesFrom > this.at) this.at = agesFrom;
  }

  committed(): void {
    for (const words of this.leaving) for (let at = 0; at < words.length; at += keyWords) this.table.remove(words, at);
    this.#clear();
  }

  rolledBack(): void {
    for (let key = this.count - 1; key >= 0; key--)
      this.table.restore(this.words, key * keyWords, this.previous[key] as number);
    this.#clear();
  }

  /** Does not keep the arrays of a large batch, because most batches are small. */
  #clear(): void {
    this.leaving = [];
    this.count = 0;
    this.at = 0;
    if (this.previous.length > 16_384) this.#resize(256);
  }

  #resize(keys: number): void {
    const { words, previous } = this;
    this.words = new Uint32Array(keys * keyWords);
    this.previous = new Uint8Array(keys);
    this.words.set(words.subarray(0, this.count * keyWords));
    this.previous.set(previous.subarray(0, this.count));
    freeBuffer(words);
    freeBuffer(previous);
  }
}

export class SeenKeys implements Keys {
  readonly #database: DatabaseSync;
  readonly #state: State;
  readonly #limits: Readonly<Record<KeyClass, KeyLimits>>;
  readonly #rows: Table<"keys">;
  readonly #sql: Statements<"oldest" | "delete">;
  readonly #classes = {
    flow: new ClassOfKeys("flow"),
    audit: new ClassOfKeys("audit"),
    webhook: new ClassOfKeys("webhook"),
    quarantined: new ClassOfKeys("quarantined"),
  };

  constructor(database: DatabaseSync, state: State, settings: KeySettings) {
    this.#database = database;
    this.#state = state;
    this.#limits = keyLimitsOf(settings);
    this.#rows = new Table(database, "keys");
    const { columns } = this.#rows;
    this.#sql = prepare(database, {
      oldest: `SELECT ${columns} FROM keys WHERE class = ? ORDER BY at, id LIMIT ${rowsAtOnce}`,
      delete: "DELETE FROM keys WHERE id = ?",
    });
  }

  /**
   * Reads all keys into memory: 0.2 s for a million. A damaged row is skipped with a warning and moves the horizon to `now`,
   * because the age of its keys is unknown. @throws {Damaged} if a horizon is damaged.
   */
  load(now: number, logger: Logger): void {
    for (const keyClass of keyClasses) this.horizon(keyClass);
    const sizes = this.#database.prepare("SELECT class, SUM(LENGTH(packed)) AS bytes FROM keys GROUP BY class").all();
    for (const { class: name, bytes } of sizes as { class: KeyClass; bytes: number }[])
      this.#classes[name]?.table.reserve(Math.floor(bytes / keyBytes));
    const damaged: StoredRow<"keys">[] = [];
    const rows: Iterable<unknown> = this.#database.prepare(`SELECT ${this.#rows.columns} FROM keys`).iterate();
    for (const row of rows as Iterable<StoredRow<"keys">>) {
      const words = this.#wordsOf(row);
      if (words === undefined) damaged.push(row);
      else this.#classes[row.class as KeyClass].table.load(words);
    }
    for (const { id, class: name } of damaged) {
      for (const keyClass of keyClasses.filter((one) => one === name || !isKeyClass(name)))
        this.#state.set(`horizon.${keyClass}`, { until: now, streamed: now });
      logger.warn("a row of seen keys is damaged and was passed over", { row: id });
    }
    this.#state.committed();
  }

  /** The held keys of a class, for look-ups: they are changed only by `add` and `addNew`. */
  held(keyClass: KeyClass): Pick<KeyTable, "size" | "heldWord" | "holdsWindow"> {
    return this.#classes[keyClass].table;
  }

  horizon(keyClass: KeyClass): Horizon {
    return this.#state.get(`horizon.${keyClass}`) ?? { until: 0, streamed: 0 };
  }

  /**
   * Adds a key with these bits in the open transaction, unless it is held. It ages from `agesFrom` on, epoch milliseconds.
   * Returns the fourth word of the held key, or 0.
   */
  addNew(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): number {
    const added = this.#classes[keyClass];
    const place = added.copy(keys, at, bits);
    const held = added.table.addNew(added.words, place);
    if (held === 0) added.keep(0, agesFrom);
    return held;
  }

  /** Adds a key, or adds the bits to a held one. */
  add(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): void {
    const added = this.#classes[keyClass];
    const place = added.copy(keys, at, bits);
    added.keep(added.table.add(added.words, place), agesFrom);
  }

  /** Writes the keys that the open transaction has added to each class: to a new row, or to the newest one. */
  flush(): void {
    for (const keyClass of keyClasses) {
      const added = this.#classes[keyClass];
      if (added.count === 0) continue;
      const bytes = new Uint8Array(added.words.buffer, 0, added.count * keyBytes);
      const isNear = added.newest !== undefined && Math.abs(added.at - added.newest.from) <= sharedMs;
      let shared = isNear ? added.newest : undefined;
      for (let from = 0; from < bytes.length; shared = undefined) {
        const room = bytes.length > manyBytes ? bytes.length : rowBytes - (shared?.packed.length ?? 0);
        const more = bytes.subarray(from, from + room);
        from += more.length;
        if (more.length === 0) continue;
        const packed = shared === undefined ? more : Buffer.concat([shared.packed, more]);
        const at = Math.max(shared?.at ?? 0, added.at);
        const row = { class: keyClass, at, packed };
        if (shared !== undefined) this.#rows.replace(row, shared.id);
        const id = shared?.id ?? this.#rows.insert(row);
        const isFull = packed.length >= rowBytes;
        added.newest = isFull ? undefined : { id, at, from: shared?.from ?? at, packed: packed.slice() };
      }
    }
  }

  committed(): void {
    for (const keyClass of keyClasses) this.#classes[keyClass].committed();
  }

  rolledBack(): void {
    for (const keyClass of keyClasses) {
      this.#classes[keyClass].rolledBack();
      this.#classes[keyClass].newest = undefined;
    }
  }

  /**
   * Deletes rows whose keys are older than their window or exceed the limit of their class, oldest first, in the caller's
   * transaction. `now` is the clock by which they age. Returns true if nothing is left to delete.
   */
  release(now: number, hasTime: () => boolean): boolean {
    return keyClasses.every((keyClass) => this.#releaseOf(keyClass, now, hasTime));
  }

  #releaseOf(keyClass: KeyClass, now: number, hasTime: () => boolean): boolean {
    const limits = this.#limits[keyClass];
    const oldest = oldestKept(keyClass, limits, now, this.#state);
    const held = this.#classes[keyClass];
    let excess = held.table.size - limits.maxKeys;
    let { until, streamed } = this.horizon(keyClass);
    for (;;) {
      if (!hasTime()) return false;
      const rows = this.#sql.oldest.all(keyClass) as unknown as StoredRow<"keys">[];
      for (const row of rows) {
        if (excess <= 0 && row.at >= oldest) return true;
        const words = this.#wordsOf(row);
        until = Math.max(until, row.at);
        /** The keys of a damaged row may have been streamed; they were never loaded. */
        if (words === undefined || isStreamed(words)) streamed = Math.max(streamed, row.at);
        this.#sql.delete.run(row.id);
        if (held.newest?.id === row.id) held.newest = undefined;
        this.#state.set(`horizon.${keyClass}`, { until, streamed });
        if (words !== undefined) held.leaving.push(words);
        excess -= (words?.length ?? 0) / keyWords;
      }
      if (rows.length < rowsAtOnce) return true;
    }
  }

  /** The words of a row; undefined if it is damaged. All supported platforms are little-endian. */
  #wordsOf(row: StoredRow<"keys">): Uint32Array | undefined {
    if (!this.#rows.isSound(row) || !isKeyClass(row.class)) return undefined;
    const { buffer, byteOffset, length } = row.packed.byteOffset % 4 === 0 ? row.packed : row.packed.slice();
    return new Uint32Array(buffer, byteOffset, Math.floor(length / keyBytes) * keyWords);
  }
}

function isKeyClass(name: string): name is KeyClass {
  return (keyClasses as readonly string[]).includes(name);
}
