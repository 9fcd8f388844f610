/** What readers see of the ledger: the last committed fold, and nothing after it. */
import type { IntervalMetric, LedgerMetric } from "../catalogue/metrics.ts";

/** One attribute set of a metric. */
export interface LedgerSeries {
  /** Text, but for `otel.metric.overflow`, which is `true`. */
  readonly attributes: Readonly<Record<string, string | boolean>>;
  /** Cumulative since `startAt`; of a gauge, that of the interval. */
  readonly value: number;
  /** Epoch milliseconds: the fold before its first value. */
  readonly startAt: number;
}

export interface LedgerView {
  /** When it was folded, epoch milliseconds; strictly rising. */
  readonly at: number;
  /** When the fold before was taken: a series that starts there began with this one. */
  readonly since?: number;
  readonly metrics: readonly {
    readonly name: LedgerMetric | IntervalMetric;
    readonly series: readonly LedgerSeries[];
  }[];
}

/** How the ledger decides what a series is. */
export interface LedgerOptions {
  readonly metricsMode: "all" | "rollup" | "both";
  /** Pairs of nodes that keep their names in an interval's roll-up. */
  readonly rollupTopN: number;
  /** Series per metric; further attribute sets fold into one. */
  readonly metricLimit: number;
  /** Folds without a value after which a series is retired. */
  readonly idleFolds: number;
  /** Whether flow metrics tell nodes apart; absent: yes. */
  readonly hasNodes?: boolean;
}
