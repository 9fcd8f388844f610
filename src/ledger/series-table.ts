/** The cumulative series of one metric: bounded, each with a start time of its own. */
import { attributesKey } from "../catalogue/increments.ts";
import type { LedgerSeries } from "./types.ts";

interface Series {
  readonly attributes: LedgerSeries["attributes"];
  value: number;
  startAt: number;
  /** The fold that last gave it a value. */
  lastFold: number;
}

/** What a table keeps of a fold, beside the value. */
export interface FoldTime {
  readonly fold: number;
  /** Epoch milliseconds of the fold before: the start of a series that begins in this one. */
  readonly startAt: number;
}

export interface SeriesTableOptions {
  readonly maxSeries: number;
  /** Folds without a value after which a series is retired; nothing where its attribute sets are closed and few. */
  readonly idleFolds: number | undefined;
}

export class SeriesTable {
  readonly #series = new Map<string, Series>();
  readonly #options: SeriesTableOptions;
  #retired = 0n;
  #overflowed = 0;

  constructor(options: SeriesTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#series.size;
  }

  /** The totals of series that are gone: with the living ones, the sum of all increases. */
  get retired(): bigint {
    return this.#retired;
  }

  /** New attribute sets that went into the overflow series since this was last asked. */
  takeOverflowed(): number {
    const overflowed = this.#overflowed;
    this.#overflowed = 0;
    return overflowed;
  }

  /** Adds to a series; beyond the bound, to the one that stands for all further ones, which keeps its direction. */
  add(attributes: LedgerSeries["attributes"], value: number, time: FoldTime): void {
    let series = this.#series.get(attributesKey(attributes));
    if (series === undefined) {
      if (this.#series.size < this.#options.maxSeries) series = this.#begin(attributes, time);
      else {
        this.#overflowed++;
        const overflow = overflowOf(attributes);
        series = this.#series.get(attributesKey(overflow)) ?? this.#begin(overflow, time);
      }
    }
    if (series.value + value > Number.MAX_SAFE_INTEGER) {
      this.#retired += BigInt(series.value);
      series.value = 0;
      series.startAt = time.startAt;
    }
    series.value += value;
    series.lastFold = time.fold;
  }

  /** Ends series that have been idle too long. True when any was. */
  retire(fold: number): boolean {
    const { idleFolds } = this.#options;
    if (idleFolds === undefined) return false;
    let hasRetired = false;
    for (const [key, { lastFold, value }] of this.#series) {
      if (fold - lastFold < idleFolds) continue;
      this.#series.delete(key);
      this.#retired += BigInt(value);
      hasRetired = true;
    }
    return hasRetired;
  }

  /** The series as they are, apart from later changes. */
  view(): LedgerSeries[] {
    return Array.from(this.#series.values(), ({ attributes, value, startAt }) => ({ attributes, value, startAt }));
  }

  /** Text for the snapshot. */
  serialize(): string {
    const series = Array.from(this.#series.values(), ({ attributes, value, startAt, lastFold }) => [
      attributes,
      value,
      startAt,
      lastFold,
    ]);
    return JSON.stringify({
      version: 1,
      retired: String(this.#retired),
      series,
    });
  }

  /** Takes the series of a snapshot. @throws {Error} when the text is not one. */
  restore(text: string): void {
    const stored = JSON.parse(text) as StoredTable;
    if (stored.version !== 1) throw new Error(`unknown version ${String(stored.version)}`);
    this.#retired = BigInt(stored.retired);
    for (const [attributes, value, startAt, lastFold] of stored.series) {
      this.#series.set(attributesKey(attributes), {
        attributes,
        value,
        startAt,
        lastFold,
      });
    }
  }

  #begin(attributes: LedgerSeries["attributes"], { startAt, fold }: FoldTime): Series {
    const series = { attributes, value: 0, startAt, lastFold: fold };
    this.#series.set(attributesKey(attributes), series);
    return series;
  }
}

interface StoredTable {
  readonly version: unknown;
  readonly retired: string;
  readonly series: readonly (readonly [LedgerSeries["attributes"], number, number, number])[];
}

const directionAttribute = "network.io.direction";

function overflowOf(attributes: LedgerSeries["attributes"]): LedgerSeries["attributes"] {
  const direction = attributes[directionAttribute];
  return direction === undefined
    ? { "otel.metric.overflow": true }
    : { [directionAttribute]: direction, "otel.metric.overflow": true };
}
