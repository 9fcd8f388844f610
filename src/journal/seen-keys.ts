/** Everything that has been seen, by class: tables in memory over rows on disk, each class with a bound and an age of its own. */
import type { SeenKey } from "../records/identity.ts";
import type { RecordType, Source } from "../records/types.ts";
import { KeyTable, type KeyVerdict, repairedBit, rewrittenBit, sourceBits } from "./key-table.ts";
import { pack, unpack } from "./pack.ts";

/** Record types, and the texts of records that were set aside. */
export type KeyClass = RecordType | "quarantined";

export const keyClasses: readonly KeyClass[] = ["flow", "audit", "webhook", "quarantined"];

/** How long and how many keys of a class are kept. */
export interface KeyLimits {
  readonly windowMs: number;
  readonly maxKeys: number;
  /** Where the type is polled, how far before its cursor polls read again: no key of that span leaves by age. */
  readonly pollOverlapMs?: number;
}

/** One row of `keys`: it leaves as a whole. */
export interface KeyRow {
  readonly id: number;
  /** The newest age of its keys, epoch milliseconds. */
  readonly at: number;
  readonly keys: number;
}

/** Keys that a turn is about to write. They become visible with the commit. */
export class StagedKeys {
  readonly #tables = new Map<KeyClass, KeyTable>();
  readonly #seen: SeenKeys;

  constructor(seen: SeenKeys) {
    this.#seen = seen;
  }

  /** Judges a key against what is committed and what this turn has staged. */
  probe(keyClass: KeyClass, key: SeenKey): KeyVerdict {
    const committed = this.#seen.probe(keyClass, key);
    if (committed === "known" || committed === "known_counters") return committed;
    const staged = this.#tables.get(keyClass)?.probe(key) ?? "new";
    return staged === "new" ? committed : onlyWindows(keyClass, staged);
  }

  /** Whether a key is known, by other ways than this one only. */
  isKnownFromElsewhere(keyClass: KeyClass, key: SeenKey, source: Source): boolean {
    const bits = this.#bitsOf(keyClass, key);
    return bits !== 0 && (bits & sourceBits[source]) === 0;
  }

  /** Whether a poll brought it in the stream's place. */
  isRepaired(keyClass: KeyClass, key: SeenKey): boolean {
    return (this.#bitsOf(keyClass, key) & repairedBit) !== 0;
  }

  stage(keyClass: KeyClass, key: SeenKey, bits: number): void {
    let table = this.#tables.get(keyClass);
    if (table === undefined) this.#tables.set(keyClass, (table = new KeyTable()));
    table.add(key, bits);
  }

  #bitsOf(keyClass: KeyClass, key: SeenKey): number {
    return this.#seen.bitsOf(keyClass, key) | (this.#tables.get(keyClass)?.bitsOf(key) ?? 0);
  }
}

/** Up to when keys may have left, epoch milliseconds; later ones are all held. 0: none has left. */
export interface Forgotten {
  readonly until: number;
  /** Those that the stream brought. */
  readonly streamed: number;
}

export const nothingForgotten: Forgotten = { until: 0, streamed: 0 };

export class SeenKeys {
  readonly #tables = new Map<KeyClass, KeyTable>(keyClasses.map((keyClass) => [keyClass, new KeyTable()]));
  readonly #rows = new Map<KeyClass, KeyRow[]>(keyClasses.map((keyClass) => [keyClass, []]));
  readonly #forgotten = new Map<KeyClass, Forgotten>();
  readonly #limits: Readonly<Record<KeyClass, KeyLimits>>;

  constructor(limits: Readonly<Record<KeyClass, KeyLimits>>) {
    this.#limits = limits;
  }

  /** Keys held of a class. */
  size(keyClass: KeyClass): number {
    return this.#table(keyClass).size;
  }

  probe(keyClass: KeyClass, key: SeenKey): KeyVerdict {
    return onlyWindows(keyClass, this.#table(keyClass).probe(key));
  }

  /** The bits of a committed key; 0 where it is not known. */
  bitsOf(keyClass: KeyClass, key: SeenKey): number {
    return this.#table(keyClass).bitsOf(key);
  }

  /** Takes in a committed row. The later entry of a key adds its bits, and keeps it past the earlier row's end. */
  addRow(keyClass: KeyClass, row: KeyRow, keys: readonly SeenKey[], bits: readonly number[]): void {
    const table = this.#table(keyClass);
    keys.forEach((key, place) => {
      const isHeld = table.bitsOf(key) !== 0;
      table.add(key, (bits[place] as number) | (isHeld ? rewrittenBit : 0));
    });
    this.#rows.get(keyClass)?.push(row);
  }

  /**
   * Rows that have outlived their class's window, or stand in the way of its bound; oldest first, at most `limit`.
   * `polledUntil`: where the poll of the type stands, epoch milliseconds; what it will read again stays known.
   */
  leaving(keyClass: KeyClass, now: number, limit: number, polledUntil?: number): readonly KeyRow[] {
    const { windowMs, maxKeys, pollOverlapMs } = this.#limits[keyClass];
    const isAwaited = polledUntil !== undefined && pollOverlapMs !== undefined;
    const oldestKept = Math.min(now - windowMs, isAwaited ? polledUntil - pollOverlapMs : Number.POSITIVE_INFINITY);
    const rows = this.#rows.get(keyClass) ?? [];
    let excess = this.size(keyClass) - maxKeys;
    const leaving: KeyRow[] = [];
    for (const row of rows) {
      if (leaving.length === limit) break;
      if (excess <= 0 && row.at >= oldestKept) continue;
      leaving.push(row);
      excess -= row.keys;
    }
    return leaving;
  }

  /** Forgets a row that is no longer on disk. */
  removeRow(keyClass: KeyClass, row: KeyRow, keys: readonly SeenKey[]): void {
    const table = this.#table(keyClass);
    for (const key of keys) table.remove(key);
    const rows = this.#rows.get(keyClass) ?? [];
    const place = rows.indexOf(row);
    if (place >= 0) rows.splice(place, 1);
  }

  forgotten(keyClass: KeyClass): Forgotten {
    return this.#forgotten.get(keyClass) ?? nothingForgotten;
  }

  /** Takes note of keys that left, now or in an earlier life. */
  noteForgotten(keyClass: KeyClass, { until, streamed }: Forgotten): void {
    const known = this.forgotten(keyClass);
    this.#forgotten.set(keyClass, {
      until: Math.max(until, known.until),
      streamed: Math.max(streamed, known.streamed),
    });
  }

  #table(keyClass: KeyClass): KeyTable {
    return this.#tables.get(keyClass) as KeyTable;
  }
}

const packedKeyBytes = 13;

/** Keys with their bits as one blob. Ages are kept by the row. */
export function packKeys(keys: readonly SeenKey[], bits: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(keys.length * packedKeyBytes);
  const view = new DataView(bytes.buffer);
  keys.forEach((key, place) => {
    const at = place * packedKeyBytes;
    view.setUint32(at, key.high, true);
    view.setUint32(at + 4, key.low, true);
    view.setUint32(at + 8, key.check, true);
    bytes[at + 12] = bits[place] as number;
  });
  return pack(bytes);
}

/** The keys of a blob, each with the age of its row. @throws {DamagedBlob} */
export function unpackKeys(packed: Uint8Array, at: number): { keys: SeenKey[]; bits: number[] } {
  const bytes = unpack(packed);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const keys: SeenKey[] = [];
  const bits: number[] = [];
  for (let offset = 0; offset + packedKeyBytes <= bytes.length; offset += packedKeyBytes) {
    keys.push({
      high: view.getUint32(offset, true),
      low: view.getUint32(offset + 4, true),
      check: view.getUint32(offset + 8, true),
      at,
    });
    bits.push(view.getUint8(offset + 12));
  }
  return { keys, bits };
}

/** Only a flow's identity has a window apart from its entries. */
function onlyWindows(keyClass: KeyClass, verdict: KeyVerdict): KeyVerdict {
  return verdict === "new_entries" && keyClass !== "flow" ? "new" : verdict;
}
