/**
 * The cumulative series of one metric: bounded in number, each with its own start time and a number that it keeps as long as
 * it exists. Values are columns, so that a fold of thousands of series is copied and stored as a few arrays; attribute sets,
 * which rarely change, are packed in chunks of 512.
 */
import { zstdDecompressSync } from "node:zlib";
import { attributesKey } from "../catalogue/increments.ts";
import type { IntervalMetric, LedgerMetric } from "../catalogue/metrics.ts";
import { packText } from "../journal/index.ts";
import { freeBuffer } from "../runtime/process.ts";

/** Strings, except for `otel.metric.overflow`, which is `true`. */
export type LedgerAttributes = Readonly<Record<string, string | boolean>>;

/** One metric of a committed fold, by series number. */
export interface FoldedMetric {
  readonly name: LedgerMetric | IntervalMetric;
  /** `undefined` for a number that no series has. */
  readonly sets: readonly (LedgerAttributes | undefined)[];
  /** `sets` for the snapshot and for other threads: 512 at a time, JSON as one zstd frame, a tenth of the size. */
  readonly packed: readonly Uint8Array[];
  /** Cumulative since `startAt`; for a gauge, the value of the interval. NaN: nothing to report under this number. */
  readonly values: Float64Array;
  /** Epoch milliseconds: the fold before the first value. */
  readonly startAt: Float64Array;
  /** By direction, the sum of all series that have ended. */
  readonly retired: RetiredTotals;
}

export type RetiredTotals = Readonly<Record<string, number>>;

/** What a table records about a fold besides values. */
export interface FoldTime {
  /** The number of the fold, from 1. */
  readonly fold: number;
  /** Epoch milliseconds of the previous fold: the start of a series that begins in this one. */
  readonly startAt: number;
}

/** The series of a folded metric. */
export function* seriesOf({ sets, values, startAt }: FoldedMetric): Generator<{
  readonly attributes: LedgerAttributes;
  readonly value: number;
  readonly startAt: number;
}> {
  for (const [number, value] of values.entries()) {
    const attributes = sets[number];
    if (attributes === undefined || Number.isNaN(value)) continue;
    yield { attributes, value, startAt: startAt[number] as number };
  }
}

/** The direction that a series counts, or an empty string. */
export function directionOf({ "network.io.direction": direction = "" }: Readonly<Record<string, unknown>>): string {
  return String(direction);
}

/** The attributes of the series that all further ones of a direction share. */
export function overflowAttributes(direction: string): LedgerAttributes {
  return { ...(direction && { "network.io.direction": direction }), "otel.metric.overflow": true };
}

/** A row of numbers per series: its value, its start time, and the fold that last gave it a value (0: no series). */
const rowWidth = 3;
const startAtColumn = 1;
const lastFoldColumn = 2;
const firstRows = 16;

const setsPerChunk = 512;

export class SeriesTable {
  readonly #maxSeries: number;
  readonly #numbers = new Map<string, number>();
  #sets: (LedgerAttributes | undefined)[] = [];
  #rows = new Float64Array(firstRows * rowWidth);
  #free: number[] = [];
  /** Chunks of `#sets`; those that have changed since they were packed, and those packed since the last snapshot. */
  #packed: Uint8Array[] = [];
  readonly #unpacked = new Set<number>();
  readonly #unwritten = new Set<number>();
  #hasChanged = false;
  /** New attribute sets that went into the overflow series. */
  overflowed = 0;
  /** By direction, the sum of all series that have ended. */
  #retired: RetiredTotals = {};

  /** `maxSeries`: beyond it, new attribute sets share one series per direction. */
  constructor(maxSeries: number) {
    this.#maxSeries = maxSeries;
  }

  get size(): number {
    return this.#numbers.size;
  }

  /** Adds to a series. One that would exceed 2^53−1 starts over. */
  add(attributes: LedgerAttributes, value: number, time: FoldTime): void {
    const number = this.#numberOf(attributes, time);
    const total = (this.#rows[number * rowWidth] as number) + value;
    const isPastMax = total > Number.MAX_SAFE_INTEGER;
    if (isPastMax) {
      this.#end(number, attributes);
      this.#rows[number * rowWidth + startAtColumn] = time.startAt;
    }
    this.#set(number, isPastMax ? value : total, time);
  }

  /** Sets a gauge, or a series whose total is held elsewhere. The caller bounds their number. */
  put(attributes: LedgerAttributes, value: number, time: FoldTime): void {
    const key = attributesKey(attributes);
    this.#set(this.#numbers.get(key) ?? this.#begin(key, attributes, time), value, time);
  }

  /** The sum over the series whose attributes match. */
  sum(matches: (attributes: LedgerAttributes) => boolean): number {
    let sum = 0;
    for (const [number, attributes] of this.#sets.entries())
      if (attributes !== undefined && matches(attributes)) sum += this.#rows[number * rowWidth] as number;
    return sum;
  }

  /** The sum over all series that there are and that have ended. */
  get total(): number {
    return Object.values(this.#retired).reduce(
      (sum, ended) => sum + ended,
      this.sum(() => true),
    );
  }

  /** Ends the series that have had no value since fold `before`, in steps. */
  *retire(before: number): Generator<void> {
    for (const [number, attributes] of this.#sets.entries()) {
      if (attributes === undefined || (this.#rows[number * rowWidth + lastFoldColumn] as number) > before) continue;
      this.#end(number, attributes);
      this.#numbers.delete(attributesKey(attributes));
      this.#sets[number] = undefined;
      this.#rows[number * rowWidth + lastFoldColumn] = 0;
      this.#free.push(number);
      this.#unpacked.add(Math.floor(number / setsPerChunk));
      this.#hasChanged = true;
      yield;
    }
  }

  /** Packs the chunks of attribute sets that have changed, in steps of about half a millisecond. */
  *pack(): Generator<void> {
    for (const chunk of this.#unpacked) {
      this.#packed[chunk] = packSets(this.#sets.slice(chunk * setsPerChunk, (chunk + 1) * setsPerChunk));
      this.#unpacked.delete(chunk);
      this.#unwritten.add(chunk);
      yield;
    }
  }

  /** The current state of the series that have had a value since `sinceFold`. Chunks must have been packed. */
  folded(name: FoldedMetric["name"], sinceFold: number): FoldedMetric {
    const { length } = this.#sets;
    const values = new Float64Array(length);
    const startAt = new Float64Array(length);
    for (let number = 0, at = 0; number < length; number++, at += rowWidth) {
      const lastFold = this.#rows[at + lastFoldColumn] as number;
      values[number] = lastFold === 0 || lastFold < sinceFold ? Number.NaN : (this.#rows[at] as number);
      startAt[number] = this.#rows[at + startAtColumn] as number;
    }
    return { name, sets: [...this.#sets], packed: [...this.#packed], values, startAt, retired: this.#retired };
  }

  /** Adds what the snapshot does not have yet: 24 bytes per series, and packed chunks under names of their own. */
  addBlobs(name: string, into: Map<string, Uint8Array>): void {
    const rows = this.#rows.slice(0, this.#sets.length * rowWidth);
    if (this.#hasChanged) {
      into.set(name, new Uint8Array(rows.buffer));
      if (Object.keys(this.#retired).length > 0)
        into.set(`${name}/retired`, Buffer.from(JSON.stringify(this.#retired)));
    }
    for (const chunk of this.#unwritten) into.set(`${name}/${chunk}`, this.#packed[chunk] as Uint8Array);
  }

  /** Called when the snapshot has everything. */
  written(): void {
    this.#hasChanged = false;
    this.#unwritten.clear();
  }

  /** Restores what a snapshot has under that name, if anything. @throws {Error} if it is unusable; the table is then empty. */
  restore(name: string, blobs: ReadonlyMap<string, Uint8Array>): void {
    const stored = blobs.get(name);
    if (stored === undefined) return;
    const rows = new Float64Array(stored.slice().buffer);
    const length = rows.length / rowWidth;
    const packed: Uint8Array[] = [];
    while (packed.length * setsPerChunk < length) {
      const chunk = blobs.get(`${name}/${packed.length}`);
      if (chunk === undefined) throw new Error(`attribute sets are missing from ${packed.length * setsPerChunk} on`);
      packed.push(chunk.slice());
    }
    const retired = blobs.get(`${name}/retired`);
    const sets = packed.flatMap(unpackSets);
    const isInUse = (number: number): boolean => rows[number * rowWidth + lastFoldColumn] !== 0;
    if (sets.length !== length || sets.some((set, number) => (set !== undefined) !== isInUse(number)))
      throw new Error("attribute sets and values do not match");
    this.#rows = rows;
    if (retired !== undefined) this.#retired = JSON.parse(Buffer.from(retired).toString()) as RetiredTotals;
    this.#packed = packed;
    this.#sets = sets;
    for (const [number, attributes] of sets.entries()) {
      if (attributes === undefined) this.#free.push(number);
      else this.#numbers.set(attributesKey(attributes), number);
    }
  }

  #numberOf(attributes: LedgerAttributes, time: FoldTime): number {
    const key = attributesKey(attributes);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (this.#numbers.size < this.#maxSeries) return this.#begin(key, attributes, time);
    this.overflowed++;
    const shared = overflowAttributes(directionOf(attributes));
    const sharedKey = attributesKey(shared);
    return this.#numbers.get(sharedKey) ?? this.#begin(sharedKey, shared, time);
  }

  /** Adds the total of a series to the retired ones. */
  #end(number: number, attributes: LedgerAttributes): void {
    const direction = directionOf(attributes);
    const total = (this.#retired[direction] ?? 0) + (this.#rows[number * rowWidth] as number);
    this.#retired = { ...this.#retired, [direction]: total };
  }

  #set(number: number, value: number, { fold }: FoldTime): void {
    this.#rows[number * rowWidth] = value;
    this.#rows[number * rowWidth + lastFoldColumn] = fold;
    this.#hasChanged = true;
  }

  #begin(key: string, attributes: LedgerAttributes, { startAt }: FoldTime): number {
    const number = this.#free.pop() ?? this.#sets.length;
    const at = number * rowWidth;
    if (at >= this.#rows.length) {
      const rows = new Float64Array(Math.max(this.#rows.length * 2, at + firstRows * rowWidth));
      rows.set(this.#rows);
      freeBuffer(this.#rows);
      this.#rows = rows;
    }
    this.#numbers.set(key, number);
    this.#sets[number] = attributes;
    this.#rows[at] = 0;
    this.#rows[at + startAtColumn] = startAt;
    this.#unpacked.add(Math.floor(number / setsPerChunk));
    return number;
  }
}

/** Returns a buffer of its own, because posting it to another thread copies the whole buffer. */
function packSets(sets: FoldedMetric["sets"]): Uint8Array {
  return new Uint8Array(packText(Buffer.from(JSON.stringify(Array.from(sets, (set) => set ?? null)))));
}

/** The attribute sets of a packed chunk. @throws {Error} if it is not one. */
export function unpackSets(packed: Uint8Array): (LedgerAttributes | undefined)[] {
  const sets = JSON.parse(zstdDecompressSync(packed).toString()) as (LedgerAttributes | null)[];
  return sets.map((attributes) => attributes ?? undefined);
}
