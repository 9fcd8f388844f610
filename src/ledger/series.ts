/**
 * The cumulative series of one metric: bounded, each with a start time of its own and a number that stays as long as it
 * lives. Values are columns, so that a fold of thousands of series is copied and stored as a few arrays; attribute sets,
 * which rarely change, are frozen in chunks of 512.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { IntervalMetric, LedgerMetric } from "../catalogue/metrics.ts";
import { attributesKey } from "../catalogue/increments.ts";

/** Text, but for `otel.metric.overflow`, which is `true`. */
export type LedgerAttributes = Readonly<Record<string, string | boolean>>;

/** Attribute sets of 512 neighbouring numbers as they were at a fold. A chunk that changes is replaced, never edited. */
export interface AttributeChunk {
  /** Nothing for a number that no series has. */
  readonly sets: readonly (LedgerAttributes | undefined)[];
  /** The same for the snapshot and for other threads: JSON (`null` for nothing) as one zstd frame, a tenth of the size. */
  readonly packed: Uint8Array;
}

export const setsPerChunk = 512;

/** One metric of a committed fold, by series number. */
export interface FoldedMetric {
  readonly name: LedgerMetric | IntervalMetric;
  readonly chunks: readonly AttributeChunk[];
  /** Cumulative since `startAt`; of a gauge, that of the interval. NaN: nothing to report under this number. */
  readonly values: Float64Array;
  /** Epoch milliseconds: the fold before the first value. */
  readonly startAt: Float64Array;
}

/** What a table notes of a fold, beside the value. */
export interface FoldTime {
  /** The number of the fold, from 1. */
  readonly fold: number;
  /** Epoch milliseconds of the fold before: the start of a series that begins in this one. */
  readonly startAt: number;
}

/** The series of a folded metric. */
export function* seriesOf({ chunks, values, startAt }: FoldedMetric): Generator<{
  readonly attributes: LedgerAttributes;
  readonly value: number;
  readonly startAt: number;
}> {
  for (let number = 0; number < values.length; number++) {
    const value = values[number] as number;
    const attributes = chunks[Math.floor(number / setsPerChunk)]?.sets[number % setsPerChunk];
    if (attributes !== undefined && !Number.isNaN(value)) {
      yield { attributes, value, startAt: startAt[number] as number };
    }
  }
}

const blobVersion = 1;
const headerBytes = 8;
const bytesPerSeries = 20;
const firstSeries = 16;

export class SeriesTable {
  readonly #maxSeries: number;
  readonly #numbers = new Map<string, number>();
  #sets: (LedgerAttributes | undefined)[] = [];
  #values = new Float64Array(firstSeries);
  #startAt = new Float64Array(firstSeries);
  /** The fold that last gave the series a value; 0: no series has this number. */
  #lastFold = new Uint32Array(firstSeries);
  #free: number[] = [];
  #chunks: AttributeChunk[] = [];
  /** Chunks whose sets have changed since they were frozen, and those frozen since the last snapshot. */
  readonly #thawed = new Set<number>();
  readonly #unwritten = new Set<number>();
  #hasChanged = false;
  #overflowed = 0;

  /** `maxSeries`: beyond it, new attribute sets share one series per direction. */
  constructor(maxSeries: number) {
    this.#maxSeries = maxSeries;
  }

  get size(): number {
    return this.#numbers.size;
  }

  /** New attribute sets that went into the overflow series since this was last asked. */
  takeOverflowed(): number {
    const overflowed = this.#overflowed;
    this.#overflowed = 0;
    return overflowed;
  }

  /** Adds to a series. One that would pass 2^53−1 starts anew. */
  add(attributes: LedgerAttributes, value: number, time: FoldTime): void {
    const number = this.#numberOf(attributes, time);
    let total = (this.#values[number] as number) + value;
    if (total > Number.MAX_SAFE_INTEGER) {
      this.#startAt[number] = time.startAt;
      total = value;
    }
    this.#values[number] = total;
    this.#lastFold[number] = time.fold;
    this.#hasChanged = true;
  }

  /** Sets a gauge, or a series whose total is kept elsewhere. The caller sees to it that there are not too many. */
  put(attributes: LedgerAttributes, value: number, time: FoldTime): void {
    const key = attributesKey(attributes);
    const number = this.#numbers.get(key) ?? this.#begin(key, attributes, time);
    this.#values[number] = value;
    this.#lastFold[number] = time.fold;
    this.#hasChanged = true;
  }

  /** Ends at most `limit` series that got no value since fold `before`. Returns how many. */
  retire(before: number, limit: number): number {
    let retired = 0;
    for (let number = 0; number < this.#sets.length && retired < limit; number++) {
      const lastFold = this.#lastFold[number] as number;
      if (lastFold === 0 || lastFold > before) continue;
      this.#end(number);
      retired++;
    }
    return retired;
  }

  /** The sum over the series whose attributes are among these. */
  sum(matches: (attributes: LedgerAttributes) => boolean): number {
    let sum = 0;
    for (const [number, attributes] of this.#sets.entries()) {
      if (attributes !== undefined && matches(attributes)) sum += this.#values[number] as number;
    }
    return sum;
  }

  /** Freezes one chunk that has changed, about half a millisecond's work. Returns its number, or -1 if none is left. */
  freeze(): number {
    for (const chunk of this.#thawed) {
      const sets = this.#sets.slice(chunk * setsPerChunk, (chunk + 1) * setsPerChunk);
      this.#chunks[chunk] = { sets, packed: packSets(sets) };
      this.#thawed.delete(chunk);
      this.#unwritten.add(chunk);
      return chunk;
    }
    return -1;
  }

  /** The series that have got a value since that fold, as they are; chunks that are not frozen are as they were. */
  folded(name: FoldedMetric["name"], sinceFold: number): FoldedMetric {
    const length = this.#sets.length;
    const values = this.#values.slice(0, length);
    for (let number = 0; number < length; number++) {
      const lastFold = this.#lastFold[number] as number;
      if (lastFold === 0 || lastFold < sinceFold) values[number] = Number.NaN;
    }
    return { name, chunks: [...this.#chunks], values, startAt: this.#startAt.slice(0, length) };
  }

  /** Adds what the snapshot does not have yet: the numbers, and frozen chunks of attribute sets by their own names. */
  addBlobs(name: string, into: Map<string, Uint8Array>): void {
    if (this.#hasChanged) into.set(name, this.#numbersBlob());
    for (const chunk of this.#unwritten) into.set(`${name}/${chunk}`, (this.#chunks[chunk] as AttributeChunk).packed);
  }

  /** The snapshot has all of it. */
  written(): void {
    this.#hasChanged = false;
    this.#unwritten.clear();
  }

  /** Everything but the attribute sets: 20 bytes per series. */
  #numbersBlob(): Uint8Array {
    const length = this.#sets.length;
    const blob = new Uint8Array(headerBytes + length * bytesPerSeries);
    const view = new DataView(blob.buffer);
    view.setUint32(0, blobVersion, true);
    view.setUint32(4, length, true);
    new Float64Array(blob.buffer, headerBytes, length).set(this.#values.subarray(0, length));
    new Float64Array(blob.buffer, headerBytes + length * 8, length).set(this.#startAt.subarray(0, length));
    new Uint32Array(blob.buffer, headerBytes + length * 16, length).set(this.#lastFold.subarray(0, length));
    return blob;
  }

  /**
   * Takes the series of a snapshot, if it has any under that name.
   * @throws {Error} if the blobs are none, or do not belong together; the table is then as before.
   */
  restore(name: string, blobs: ReadonlyMap<string, Uint8Array>): void {
    const numbers = blobs.get(name);
    if (numbers === undefined) return;
    const { buffer } = numbers.slice();
    const view = new DataView(buffer);
    const length = view.getUint32(4, true);
    if (view.getUint32(0, true) !== blobVersion) throw new Error("unknown version");
    if (buffer.byteLength !== headerBytes + length * bytesPerSeries) throw new Error("not of its length");
    const lastFold = new Uint32Array(buffer, headerBytes + length * 16, length);
    const chunks: AttributeChunk[] = [];
    for (let chunk = 0; chunk * setsPerChunk < length; chunk++) {
      const packed = blobs.get(`${name}/${chunk}`);
      if (packed === undefined) throw new Error(`attribute sets are missing from ${chunk * setsPerChunk} on`);
      chunks.push({ sets: unpackSets(packed), packed: packed.slice() });
    }
    const sets = chunks.flatMap((chunk) => chunk.sets);
    const belong =
      sets.length === length && sets.every((set, number) => (set === undefined) === (lastFold[number] === 0));
    if (!belong) throw new Error("attribute sets of other series");
    this.#reserve(length);
    this.#values.set(new Float64Array(buffer, headerBytes, length));
    this.#startAt.set(new Float64Array(buffer, headerBytes + length * 8, length));
    this.#lastFold.set(lastFold);
    this.#chunks = chunks;
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
    this.#overflowed++;
    const overflow = overflowOf(attributes);
    const overflowKey = attributesKey(overflow);
    return this.#numbers.get(overflowKey) ?? this.#begin(overflowKey, overflow, time);
  }

  #begin(key: string, attributes: LedgerAttributes, { startAt }: FoldTime): number {
    const number = this.#free.pop() ?? this.#sets.length;
    this.#reserve(number + 1);
    this.#numbers.set(key, number);
    this.#sets[number] = attributes;
    this.#values[number] = 0;
    this.#startAt[number] = startAt;
    this.#thawed.add(Math.floor(number / setsPerChunk));
    return number;
  }

  #end(number: number): void {
    this.#hasChanged = true;
    this.#numbers.delete(attributesKey(this.#sets[number] as LedgerAttributes));
    this.#sets[number] = undefined;
    this.#lastFold[number] = 0;
    this.#free.push(number);
    this.#thawed.add(Math.floor(number / setsPerChunk));
  }

  #reserve(length: number): void {
    if (length <= this.#values.length) return;
    const rows = Math.max(length, this.#values.length * 2);
    this.#values = grown(this.#values, new Float64Array(rows));
    this.#startAt = grown(this.#startAt, new Float64Array(rows));
    this.#lastFold = grown(this.#lastFold, new Uint32Array(rows));
  }
}

function grown<Numbers extends Float64Array | Uint32Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}

const directionAttribute = "network.io.direction";

function overflowOf({ [directionAttribute]: direction }: LedgerAttributes): LedgerAttributes {
  return { ...(direction !== undefined && { [directionAttribute]: direction }), "otel.metric.overflow": true };
}

const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Copied, since what is posted to another thread takes the whole buffer along that it stands in. */
function packSets(sets: readonly (LedgerAttributes | undefined)[]): Uint8Array {
  return new Uint8Array(
    zstdCompressSync(
      JSON.stringify(sets, (_, value: unknown) => value ?? null),
      level,
    ),
  );
}

/** The attribute sets of a packed chunk. @throws {Error} if it is none. */
export function unpackSets(packed: Uint8Array): (LedgerAttributes | undefined)[] {
  const sets = JSON.parse(zstdDecompressSync(packed).toString()) as (LedgerAttributes | null)[];
  return sets.map((attributes) => attributes ?? undefined);
}
