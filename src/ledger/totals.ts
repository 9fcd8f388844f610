/** The ledger's totals: a table of series per metric, and what of them the snapshot does not have yet. */
import {
  type IntervalMetric,
  type LedgerMetric,
  type MetricDefinition,
  type MetricName,
  metrics,
} from "../catalogue/metrics.ts";
import type { Logger } from "../lib/logger.ts";
import type { Snapshot } from "../journal/index.ts";
import type { Gain } from "./gains.ts";
import { type FoldedMetric, type FoldTime, type LedgerAttributes, SeriesTable, seriesOf } from "./series.ts";

type Name = LedgerMetric | IntervalMetric;

/** Counters that the ledger keeps. */
export const ledgerMetrics = namesOf("counter") as readonly LedgerMetric[];
const intervalMetrics = namesOf("gauge") as readonly IntervalMetric[];

/** Number and times of a fold, epoch milliseconds. */
export interface FoldTimes {
  readonly fold: number;
  readonly at: number;
  readonly since: number;
}

/** The blob beside those of the metrics: the times of the last fold. */
const timesBlob = "fold";

/** A gauge that is not set is not reported; its attribute set is remembered this long. */
const idleFoldsOfGauge = 2;

/** Series that are retired in one step. */
const retiredPerStep = 512;

export class Totals {
  readonly #tables: ReadonlyMap<Name, SeriesTable>;

  /** `maxSeries`: `cardinality.metric_limit`. */
  constructor(maxSeries: number) {
    this.#tables = new Map([...ledgerMetrics, ...intervalMetrics].map((name) => [name, new SeriesTable(maxSeries)]));
  }

  add({ metric, attributes, value }: Gain, time: FoldTime): void {
    if (value !== 0) this.#tableOf(metric).add(attributes, value, time);
  }

  /** Sets a gauge, or a counter that is kept elsewhere. */
  put(metric: Name, attributes: LedgerAttributes, value: number, time: FoldTime): void {
    this.#tableOf(metric).put(attributes, value, time);
  }

  sum(metric: LedgerMetric, matches: (attributes: LedgerAttributes) => boolean): number {
    return this.#tableOf(metric).sum(matches);
  }

  /** Series held of each counter that has any. */
  activeSeries(): ReadonlyMap<LedgerMetric, number> {
    const sizes = ledgerMetrics.map((name) => [name, this.#tableOf(name).size] as const);
    return new Map(sizes.filter(([, size]) => size > 0));
  }

  /** New attribute sets that went into overflow series since this was last asked. */
  takeOverflowed(): Map<Name, number> {
    const sets = Array.from(this.#tables, ([name, table]) => [name, table.takeOverflowed()] as const);
    return new Map(sets.filter(([, count]) => count > 0));
  }

  /**
   * Ends series that have had no value for `idleFolds`, and freezes the attribute sets that have changed, in steps: the
   * caller may do something else after each. Metrics whose attribute sets are closed keep their series for ever.
   */
  *tidy(fold: number, idleFolds: number): Generator<void> {
    for (const [name, table] of this.#tables) {
      const lastFold = fold - (isCounter(name) ? idleFolds : idleFoldsOfGauge);
      let retired = isOpen(metrics[name]) ? retiredPerStep : 0;
      while (retired === retiredPerStep) {
        retired = table.retire(lastFold, retiredPerStep);
        yield;
      }
      while (table.freeze() >= 0) yield;
    }
  }

  /** What the snapshot does not have yet. The tables have been tidied. */
  blobs(times: FoldTimes): Snapshot["blobs"] {
    const blobs = new Map<string, Uint8Array>([[timesBlob, new TextEncoder().encode(JSON.stringify(times))]]);
    for (const name of ledgerMetrics) this.#tableOf(name).addBlobs(name, blobs);
    return blobs;
  }

  /** The snapshot has all of it. */
  written(): void {
    for (const table of this.#tables.values()) table.written();
  }

  /** The series as they are; gauges as far as they were set in that fold. */
  folded(fold: number): FoldedMetric[] {
    const folded: FoldedMetric[] = [];
    for (const [name, table] of this.#tables) {
      if (table.size === 0) continue;
      const metric = table.folded(name, isCounter(name) ? 0 : fold);
      if (isCounter(name) || metric.values.some((value) => !Number.isNaN(value))) folded.push(metric);
    }
    return folded;
  }

  /**
   * Takes what a snapshot has of each metric. One that cannot be read is left out, with a WARN: its series begin anew.
   * Returns the times of its fold; nothing if there is no snapshot.
   */
  restore(blobs: ReadonlyMap<string, Uint8Array>, logger: Logger): FoldTimes | undefined {
    const times = blobs.get(timesBlob);
    if (times === undefined) return undefined;
    for (const name of ledgerMetrics) {
      try {
        this.#tableOf(name).restore(name, blobs);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        logger.warn("a metric's totals cannot be read; its series begin anew", { metric: name, reason });
      }
    }
    return JSON.parse(new TextDecoder().decode(times)) as FoldTimes;
  }

  /** Attribute sets of every counter's series. */
  *attributeSets(): Generator<readonly [LedgerMetric, LedgerAttributes]> {
    for (const name of ledgerMetrics) {
      for (const { attributes } of seriesOf(this.#tableOf(name).folded(name, 0))) yield [name, attributes];
    }
  }

  #tableOf(name: Name): SeriesTable {
    return this.#tables.get(name) as SeriesTable;
  }
}

function namesOf(kind: "counter" | "gauge"): readonly MetricName[] {
  const names = Object.keys(metrics) as MetricName[];
  return names.filter((name) => metrics[name].origin === "ledger" && metrics[name].kind === kind);
}

function isCounter(name: Name): name is LedgerMetric {
  return metrics[name].kind === "counter";
}

function isOpen({ attributes }: MetricDefinition): boolean {
  return Object.values(attributes).includes("text");
}
