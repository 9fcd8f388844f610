/** Everything that has been seen, by class: tables in memory over the rows of `keys`, each class with a bound and an age of its own. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { type Horizon, type KeyClass, keyClasses } from "../index.ts";
import { keyBits, KeyTable, WindowTable } from "../keys.ts";
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

/** What `leave` needs to know of the moment. Epoch milliseconds. */
export interface LeavingContext {
  readonly now: number;
  /** How far the type of a class has been polled, if it is. */
  readonly polledUntil: (keyClass: KeyClass) => number | undefined;
  /** Whether there is time for another row. */
  readonly hasTime: () => boolean;
}

interface KeyRow {
  readonly id: number;
  readonly seq: number;
  readonly class: string;
  readonly at: number;
  readonly version: number;
  readonly packed: Uint8Array;
  readonly crc: number;
}

/** What the open transaction has added to a class: in memory at once, on disk with `flush`, and taken back by `rollback`. */
interface Added {
  words: Uint32Array;
  /** The bits that each key had before. */
  previous: Uint8Array;
  keys: number;
  at: number;
}

const nothingLeft: Horizon = { until: 0, streamed: 0 };
const rowsAtOnce = 64;
const keyWords = 4;
const keyBytes = 16;

export class SeenKeys {
  readonly #database: DatabaseSync;
  readonly #state: State;
  readonly #limits: Readonly<Record<KeyClass, KeyLimits>>;
  readonly #tables: Readonly<Record<KeyClass, KeyTable>>;
  readonly #added: Readonly<Record<KeyClass, Added>>;
  readonly #horizons = new Map<KeyClass, Horizon>();
  readonly #insert: StatementSync;
  readonly #oldest: StatementSync;
  readonly #delete: StatementSync;
  /** Keys of rows that have left in the open transaction, and horizons that moved with them. */
  #leaving: { readonly keyClass: KeyClass; readonly words: Uint32Array; readonly horizon: Horizon }[] = [];

  constructor(database: DatabaseSync, state: State, limits: Readonly<Record<KeyClass, KeyLimits>>) {
    this.#database = database;
    this.#state = state;
    this.#limits = limits;
    this.#tables = {
      flow: new KeyTable(new WindowTable()),
      audit: new KeyTable(),
      webhook: new KeyTable(),
      quarantined: new KeyTable(),
    };
    this.#added = { flow: nothingAdded(), audit: nothingAdded(), webhook: nothingAdded(), quarantined: nothingAdded() };
    this.#insert = database.prepare(
      "INSERT INTO keys (seq, class, at, version, packed, crc) VALUES (?, ?, ?, ?, ?, ?)",
    );
    this.#oldest = database.prepare(
      `SELECT id, seq, class, at, version, packed, crc FROM keys WHERE class = ? ORDER BY at, id LIMIT ${rowsAtOnce}`,
    );
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
    for (const { class: name, bytes } of sizes as { class: string; bytes: number }[]) {
      if (isKeyClass(name)) this.#tables[name].reserve(Math.floor(bytes / keyBytes));
    }
    const next = this.#database.prepare(
      "SELECT id, seq, class, at, version, packed, crc FROM keys WHERE id > ? ORDER BY id LIMIT 256",
    );
    let last = 0;
    for (;;) {
      const rows = next.all(last) as unknown as KeyRow[];
      for (const row of rows) {
        last = row.id;
        try {
          const words = wordsOf(row);
          const table = this.#tables[row.class as KeyClass];
          for (let at = 0; at < words.length; at += keyWords) table.add(words, at);
        } catch (error) {
          if (!(error instanceof Damaged)) throw error;
          const lost: readonly KeyClass[] = isKeyClass(row.class) ? [row.class] : keyClasses;
          for (const keyClass of lost) this.#horizons.set(keyClass, { until: now, streamed: now });
          logger.warn("a row of seen keys is damaged and was passed over", { row: row.id, reason: error.message });
        }
      }
      if (rows.length === 0) return;
    }
  }

  /** Keys held of a class. */
  size(keyClass: KeyClass): number {
    return this.#tables[keyClass].size;
  }

  horizon(keyClass: KeyClass): Horizon {
    return this.#horizons.get(keyClass) ?? nothingLeft;
  }

  /** The fourth word of a key as it is held; 0 if it is not. */
  heldWord(keyClass: KeyClass, keys: Uint32Array, at: number): number {
    return this.#tables[keyClass].heldWord(keys, at);
  }

  /** Whether a key of the same window is held. */
  holdsWindow(keyClass: KeyClass, keys: Uint32Array, at: number): boolean {
    return this.#tables[keyClass].holdsWindow(keys, at);
  }

  /**
   * Adds a key with these bits in the open transaction, unless it is held. It grows old from `agesFrom` on, epoch milliseconds.
   * Returns the fourth word of the held one, or 0.
   */
  addNew(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): number {
    const added = this.#added[keyClass];
    const place = copyKey(added, keys, at, bits);
    const held = this.#tables[keyClass].addNew(added.words, place);
    if (held === 0) keep(added, 0, agesFrom);
    return held;
  }

  /** Adds a key, or adds bits to one that is held. */
  add(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): void {
    const added = this.#added[keyClass];
    const place = copyKey(added, keys, at, bits);
    keep(added, this.#tables[keyClass].add(added.words, place), agesFrom);
  }

  /** Writes what the open transaction has added: a row per class. */
  flush(seq: number): void {
    for (const keyClass of keyClasses) {
      const { words, keys, at } = this.#added[keyClass];
      if (keys === 0) continue;
      const packed = new Uint8Array(words.buffer, 0, keys * keyBytes);
      this.#insert.run(seq, keyClass, at, keyVersion, packed, keysChecksum(seq, keyClass, at, keyVersion, packed));
    }
  }

  /** The transaction is on disk: what it added stays, what left in it is forgotten. */
  committed(): void {
    for (const keyClass of keyClasses) clear(this.#added[keyClass]);
    for (const { keyClass, words, horizon } of this.#leaving) {
      for (let at = 0; at < words.length; at += keyWords) this.#tables[keyClass].remove(words, at);
      this.#horizons.set(keyClass, horizon);
    }
    this.#leaving = [];
  }

  /** The transaction has come to nothing. */
  rolledBack(): void {
    this.#leaving = [];
    for (const keyClass of keyClasses) {
      const added = this.#added[keyClass];
      for (let key = added.keys - 1; key >= 0; key--)
        this.#tables[keyClass].restore(added.words, key * keyWords, added.previous[key] as number);
      clear(added);
    }
  }

  /**
   * Deletes rows whose keys have outlived their window, or stand in the way of their class's bound, the oldest first; in the
   * caller's transaction. How many, and whether more are due.
   */
  leave(context: LeavingContext): { readonly rows: number; readonly isDone: boolean } {
    let rows = 0;
    for (const keyClass of keyClasses) {
      const left = this.#leaveOf(keyClass, context);
      rows += left.rows;
      if (!left.isDone) return { rows, isDone: false };
    }
    return { rows, isDone: true };
  }

  #leaveOf(keyClass: KeyClass, { now, polledUntil, hasTime }: LeavingContext) {
    const { windowMs, maxKeys, pollOverlapMs } = this.#limits[keyClass];
    const polled = pollOverlapMs === undefined ? undefined : polledUntil(keyClass);
    const awaited = polled === undefined ? Number.POSITIVE_INFINITY : polled - (pollOverlapMs ?? 0);
    const oldestKept = Math.min(now - windowMs, awaited);
    let excess = this.size(keyClass) - maxKeys;
    let { until, streamed } = this.horizon(keyClass);
    let rows = 0;
    for (;;) {
      if (!hasTime()) return { rows, isDone: false };
      let batch = 0;
      for (const row of this.#oldest.all(keyClass) as unknown as KeyRow[]) {
        if (excess <= 0 && row.at >= oldestKept) return { rows, isDone: true };
        const { words, isStreamed } = readable(row);
        until = Math.max(until, row.at);
        if (isStreamed) streamed = Math.max(streamed, row.at);
        const horizon = { until, streamed };
        this.#delete.run(row.id);
        this.#state.writeJson(horizonName(keyClass), horizon);
        this.#leaving.push({ keyClass, words, horizon });
        excess -= words.length / keyWords;
        rows++;
        batch++;
      }
      if (batch < rowsAtOnce) return { rows, isDone: true };
    }
  }
}

/** The state's name of a class's horizon. */
export function horizonName(keyClass: KeyClass): string {
  return `horizon.${keyClass}`;
}

export function isKeyClass(name: string): name is KeyClass {
  return (keyClasses as readonly string[]).includes(name);
}

/** The words of a row. Every platform that this runs on is little-endian. @throws {Damaged} */
export function wordsOf(row: KeyRow): Uint32Array {
  const { seq, class: keyClass, at, version, packed, crc } = row;
  if (keysChecksum(seq, keyClass, at, version, packed) !== crc) throw new Damaged("its checksum does not hold");
  if (version !== keyVersion || !isKeyClass(keyClass))
    throw new Damaged(`keys of class ${keyClass}, version ${version}`);
  const { buffer, byteOffset, length } = byteAligned(packed);
  return new Uint32Array(buffer, byteOffset, Math.floor(length / keyBytes) * keyWords);
}

function byteAligned(packed: Uint8Array): Uint8Array {
  return packed.byteOffset % keyWords === 0 ? packed : packed.slice();
}

function keysChecksum(seq: number, keyClass: string, at: number, version: number, packed: Uint8Array): number {
  return checksum(`${seq} ${keyClass} ${at} ${version} ${packed.length}`, packed);
}

/** The keys of a row that is leaving; a damaged one has none that could be found in memory, and may have been streamed. */
function readable(row: KeyRow): { readonly words: Uint32Array; readonly isStreamed: boolean } {
  try {
    const words = wordsOf(row);
    let bits = 0;
    for (let at = 3; at < words.length; at += keyWords) bits |= words[at] as number;
    return { words, isStreamed: (bits & keyBits.stream) !== 0 };
  } catch (error) {
    if (error instanceof Damaged) return { words: new Uint32Array(), isStreamed: true };
    throw error;
  }
}

function nothingAdded(): Added {
  return { words: new Uint32Array(256 * keyWords), previous: new Uint8Array(256), keys: 0, at: 0 };
}

/** Writes a key behind those that were added, without counting it. Where it stands. */
function copyKey(added: Added, keys: Uint32Array, at: number, bits: number): number {
  if (added.keys === added.previous.length) enlarge(added);
  const place = added.keys * keyWords;
  const { words } = added;
  words[place] = keys[at] as number;
  words[place + 1] = keys[at + 1] as number;
  words[place + 2] = keys[at + 2] as number;
  words[place + 3] = ((keys[at + 3] as number) & ~0xff) | bits;
  return place;
}

function keep(added: Added, previous: number, agesFrom: number): void {
  added.previous[added.keys++] = previous;
  added.at = Math.max(added.at, agesFrom);
}

function enlarge(added: Added): void {
  const words = new Uint32Array(added.words.length * 2);
  words.set(added.words);
  const previous = new Uint8Array(added.previous.length * 2);
  previous.set(added.previous);
  added.words = words;
  added.previous = previous;
}

/** Most batches are small: a large one's arrays are not kept. */
function clear(added: Added): void {
  if (added.previous.length > 16_384) Object.assign(added, nothingAdded());
  added.keys = 0;
  added.at = 0;
}
