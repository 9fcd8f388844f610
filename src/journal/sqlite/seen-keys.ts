/** Everything that has been seen, by class: tables in memory over the rows of `keys`, each class with a bound and an age of its own. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { type Horizon, type KeyClass, keyClasses } from "../index.ts";
import { keyBits, KeyTable, keyWords, WindowTable } from "../keys.ts";
import { checksum, Damaged } from "../packing.ts";
import { keyVersion } from "./schema.ts";
import type { State } from "./state.ts";

/** How long and how many keys of a class are kept. */
export interface KeyLimits {
  readonly windowMs: number;
  readonly maxKeys: number;
  /** If the type is polled: how far before its cursor polls read again. No key of that span leaves by age. */
  readonly pollOverlapMs?: number;
}

/** The moment at which keys leave. Epoch milliseconds. */
export interface Leaving {
  readonly now: number;
  /** How far the type of a class has been polled, if it is. */
  readonly polledUntil: (keyClass: KeyClass) => number | undefined;
  /** Whether there is time for another row. */
  readonly hasTime: () => boolean;
}

/** A row of `keys`. */
export interface KeyRow {
  readonly id: number;
  readonly seq: number;
  readonly class: string;
  readonly at: number;
  readonly version: number;
  readonly packed: Uint8Array;
  readonly crc: number;
}

const nothingLeft: Horizon = { until: 0, streamed: 0 };
const rowsAtOnce = 64;
const keyBytes = keyWords * 4;

/** Keys of small batches share a row, up to so many and so far apart: a start reads thousands of rows, not millions. */
const sharedBytes = 128 * keyBytes;
const sharedMs = 60_000;

const columns = "id, seq, class, at, version, packed, crc";

/** The newest row of a class, which the next transaction may add to. */
interface NewestRow {
  readonly id: number;
  readonly at: number;
  /** `at` of the first transaction. */
  readonly from: number;
  readonly packed: Uint8Array;
}

/** What the open transaction has added to a class: in memory at once, on disk with `flush`, and taken back by `rolledBack`. */
class Added {
  words = new Uint32Array(256 * keyWords);
  /** The bits that each key had before. */
  previous = new Uint8Array(256);
  keys = 0;
  at = 0;

  /** Writes a key behind those that were added, without counting it. Where it stands. */
  copy(keys: Uint32Array, at: number, bits: number): number {
    if (this.keys === this.previous.length) this.#resize(this.keys * 2);
    const place = this.keys * keyWords;
    const { words } = this;
    words[place] = keys[at] as number;
    words[place + 1] = keys[at + 1] as number;
    words[place + 2] = keys[at + 2] as number;
    words[place + 3] = ((keys[at + 3] as number) & ~0xff) | bits;
    return place;
  }

  /** Counts the key that was copied last. */
  keep(previous: number, agesFrom: number): void {
    this.previous[this.keys++] = previous;
    this.at = Math.max(this.at, agesFrom);
  }

  /** Most batches are small: a large one's arrays are not kept. */
  clear(): void {
    this.keys = 0;
    this.at = 0;
    if (this.previous.length > 16_384) this.#resize(256);
  }

  #resize(keys: number): void {
    const { words, previous } = this;
    this.words = new Uint32Array(keys * keyWords);
    this.previous = new Uint8Array(keys);
    this.words.set(words.subarray(0, this.keys * keyWords));
    this.previous.set(previous.subarray(0, this.keys));
  }
}

export class SeenKeys {
  readonly #database: DatabaseSync;
  readonly #state: State;
  readonly #limits: Readonly<Record<KeyClass, KeyLimits>>;
  readonly #tables = {
    flow: new KeyTable(new WindowTable()),
    audit: new KeyTable(),
    webhook: new KeyTable(),
    quarantined: new KeyTable(),
  };
  readonly #added = { flow: new Added(), audit: new Added(), webhook: new Added(), quarantined: new Added() };
  readonly #horizons = new Map<KeyClass, Horizon>();
  readonly #newest = new Map<KeyClass, NewestRow>();
  /** As the open transaction has written them. */
  readonly #written = new Map<KeyClass, NewestRow>();
  readonly #insert: StatementSync;
  readonly #rewrite: StatementSync;
  readonly #oldest: StatementSync;
  readonly #delete: StatementSync;
  /** Keys of rows that have left in the open transaction, and horizons that moved with them. */
  #leaving: { readonly keyClass: KeyClass; readonly words: Uint32Array; readonly horizon: Horizon }[] = [];

  constructor(database: DatabaseSync, state: State, limits: Readonly<Record<KeyClass, KeyLimits>>) {
    this.#database = database;
    this.#state = state;
    this.#limits = limits;
    this.#insert = database.prepare(
      "INSERT INTO keys (seq, class, at, version, packed, crc) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#rewrite = database.prepare("UPDATE keys SET seq = ?, at = ?, packed = ?, crc = ? WHERE id = ?");
    this.#oldest = database.prepare(`SELECT ${columns} FROM keys WHERE class = ? ORDER BY at, id LIMIT ${rowsAtOnce}`);
    this.#delete = database.prepare("DELETE FROM keys WHERE id = ?");
  }

  /**
   * Reads all keys into memory: 0.2 s for a million. A damaged row is passed over with a warning, and moves the horizon to
   * `now`: nobody knows how old its keys were. @throws {Damaged} if a horizon is.
   */
  load(now: number, logger: Logger): void {
    for (const keyClass of keyClasses) {
      const known = this.#state.readJson(horizonName(keyClass)) as Horizon | undefined;
      if (known !== undefined) this.#horizons.set(keyClass, known);
    }
    const sizes = this.#database.prepare("SELECT class, SUM(LENGTH(packed)) AS bytes FROM keys GROUP BY class").all();
    for (const { class: name, bytes } of sizes as { class: string; bytes: number }[])
      if (isKeyClass(name)) this.#tables[name].reserve(Math.floor(bytes / keyBytes));
    for (const row of this.#database.prepare(`SELECT ${columns} FROM keys`).iterate() as Iterable<unknown>) {
      const { id, class: name } = row as KeyRow;
      try {
        this.#tables[name as KeyClass].load(wordsOf(row as KeyRow));
      } catch (error) {
        if (!(error instanceof Damaged)) throw error;
        for (const keyClass of isKeyClass(name) ? [name] : keyClasses)
          this.#horizons.set(keyClass, { until: now, streamed: now });
        logger.warn("a row of seen keys is damaged and was passed over", { row: id, reason: error.message });
      }
    }
  }

  /** What is held of a class: to be asked, and changed by `add` and `addNew` alone. */
  held(keyClass: KeyClass): Pick<KeyTable, "size" | "heldWord" | "holdsWindow"> {
    return this.#tables[keyClass];
  }

  horizon(keyClass: KeyClass): Horizon {
    return this.#horizons.get(keyClass) ?? nothingLeft;
  }

  /**
   * Adds a key with these bits in the open transaction, unless it is held. It grows old from `agesFrom` on, epoch milliseconds.
   * Returns the fourth word of the held one, or 0.
   */
  addNew(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): number {
    const added = this.#added[keyClass];
    const place = added.copy(keys, at, bits); // Before `words` is read, which it may replace.
    const held = this.#tables[keyClass].addNew(added.words, place);
    if (held === 0) added.keep(0, agesFrom);
    return held;
  }

  /** Adds a key, or adds bits to one that is held. */
  add(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): void {
    const added = this.#added[keyClass];
    const place = added.copy(keys, at, bits);
    added.keep(this.#tables[keyClass].add(added.words, place), agesFrom);
  }

  /** Writes what the open transaction has added to each class: in a row of its own, or in the newest one. */
  flush(seq: number): void {
    for (const keyClass of keyClasses) {
      const { words, keys, at: addedAt } = this.#added[keyClass];
      if (keys === 0) continue;
      const added = new Uint8Array(words.buffer, 0, keys * keyBytes);
      const newest = this.#newest.get(keyClass);
      const isNear = newest !== undefined && Math.abs(addedAt - newest.from) <= sharedMs;
      const shared = isNear && newest.packed.length + added.length <= sharedBytes ? newest : undefined;
      const packed = shared === undefined ? added : Buffer.concat([shared.packed, added]);
      const at = Math.max(shared?.at ?? 0, addedAt);
      const crc = keysChecksum(seq, keyClass, at, keyVersion, packed);
      const id = shared?.id ?? this.#insert.run(seq, keyClass, at, keyVersion, packed, crc).lastInsertRowid;
      if (shared !== undefined) this.#rewrite.run(seq, at, packed, crc, id);
      if (packed.length <= sharedBytes)
        this.#written.set(keyClass, { id: Number(id), at, from: shared?.from ?? at, packed: packed.slice() });
    }
  }

  /** The transaction is on disk: what it added stays, what left in it is forgotten. */
  committed(): void {
    for (const keyClass of keyClasses) this.#added[keyClass].clear();
    for (const [keyClass, row] of this.#written) this.#newest.set(keyClass, row);
    this.#written.clear();
    for (const { keyClass, words, horizon } of this.#leaving) {
      for (let at = 0; at < words.length; at += keyWords) this.#tables[keyClass].remove(words, at);
      this.#horizons.set(keyClass, horizon);
    }
    this.#leaving = [];
  }

  /** The transaction has come to nothing. */
  rolledBack(): void {
    this.#leaving = [];
    this.#written.clear();
    for (const keyClass of keyClasses) {
      const added = this.#added[keyClass];
      for (let key = added.keys - 1; key >= 0; key--)
        this.#tables[keyClass].restore(added.words, key * keyWords, added.previous[key] as number);
      added.clear();
    }
  }

  /**
   * Deletes rows whose keys have outlived their window, or stand in the way of their class's bound, the oldest first; in the
   * caller's transaction. Whether that was all.
   */
  leave(leaving: Leaving): boolean {
    return keyClasses.every((keyClass) => this.#leaveOf(keyClass, leaving));
  }

  #leaveOf(keyClass: KeyClass, { now, polledUntil, hasTime }: Leaving): boolean {
    const { windowMs, maxKeys, pollOverlapMs } = this.#limits[keyClass];
    const polled = pollOverlapMs === undefined ? undefined : polledUntil(keyClass);
    const awaited = polled === undefined ? Number.POSITIVE_INFINITY : polled - (pollOverlapMs ?? 0);
    const oldestKept = Math.min(now - windowMs, awaited);
    let excess = this.#tables[keyClass].size - maxKeys;
    let { until, streamed } = this.horizon(keyClass);
    for (;;) {
      if (!hasTime()) return false;
      const rows = this.#oldest.all(keyClass) as unknown as KeyRow[];
      for (const row of rows) {
        if (excess <= 0 && row.at >= oldestKept) return true;
        const words = readable(row);
        until = Math.max(until, row.at);
        if (words === undefined || isStreamed(words)) streamed = Math.max(streamed, row.at);
        const horizon = { until, streamed };
        this.#delete.run(row.id);
        if (this.#newest.get(keyClass)?.id === row.id) this.#newest.delete(keyClass);
        this.#state.writeJson(horizonName(keyClass), horizon);
        this.#leaving.push({ keyClass, words: words ?? new Uint32Array(), horizon });
        excess -= (words?.length ?? 0) / keyWords;
      }
      if (rows.length < rowsAtOnce) return true;
    }
  }
}

/** The state's name of a class's horizon. */
export function horizonName(keyClass: KeyClass): string {
  return `horizon.${keyClass}`;
}

/** The words of a row. Every platform that this runs on is little-endian. @throws {Damaged} */
export function wordsOf(row: KeyRow): Uint32Array {
  const { seq, class: keyClass, at, version, packed, crc } = row;
  if (keysChecksum(seq, keyClass, at, version, packed) !== crc) throw new Damaged("its checksum does not hold");
  if (version !== keyVersion || !isKeyClass(keyClass))
    throw new Damaged(`keys of class ${keyClass}, version ${version}`);
  const { buffer, byteOffset, length } = packed.byteOffset % 4 === 0 ? packed : packed.slice();
  return new Uint32Array(buffer, byteOffset, Math.floor(length / keyBytes) * keyWords);
}

function isKeyClass(name: string): name is KeyClass {
  return (keyClasses as readonly string[]).includes(name);
}

function keysChecksum(seq: number, keyClass: string, at: number, version: number, packed: Uint8Array): number {
  return checksum(`${seq} ${keyClass} ${at} ${version} ${packed.length}`, packed);
}

/** The keys of a row that is leaving; a damaged one has none that could be found in memory, and may have been streamed. */
function readable(row: KeyRow): Uint32Array | undefined {
  try {
    return wordsOf(row);
  } catch (error) {
    if (error instanceof Damaged) return undefined;
    throw error;
  }
}

function isStreamed(words: Uint32Array): boolean {
  for (let at = 3; at < words.length; at += keyWords) if (((words[at] as number) & keyBits.stream) !== 0) return true;
  return false;
}
