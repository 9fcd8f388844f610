/** A committed fold on its way to the export worker, and there as OpenTelemetry points with the start times that make them exact. */
import { ValueType } from "@opentelemetry/api";
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type MetricData,
  type ScopeMetrics,
} from "@opentelemetry/sdk-metrics";
import { type MetricDefinition, metrics } from "../catalogue/metrics.ts";
import { type HrTime, hrTimeOfMillis } from "../lib/clock.ts";
import { type Fold, type FoldedMetric, seriesOf, unpackSets } from "../ledger/index.ts";
import type { ResourceAttributes } from "./destination.ts";

/** A fold as plain data: numbers as arrays, attribute sets packed, a tenth of their size. */
export interface FoldMessage extends Pick<Fold, "at" | "since"> {
  readonly metrics: readonly Omit<FoldedMetric, "sets">[];
  /** The process's own instruments, collected after the fold. */
  readonly instruments: readonly ScopeMetrics[];
}

/** What to post of a fold. A few arrays are copied on the way; nothing is transferred. */
export function foldMessage({ at, since, metrics: folded }: Fold, instruments: readonly ScopeMetrics[]): FoldMessage {
  const columns = folded.map(({ name, packed, values, startAt }) => ({ name, packed, values, startAt }));
  return { at, since, metrics: columns, instruments };
}

/** All metrics of a fold that have points. `common`: attributes of every point; what a series has itself wins. */
export function pointsOf(message: FoldMessage, common: ResourceAttributes): MetricData[] {
  const ofLedger = message.metrics.map((metric) => {
    const sets = metric.packed.flatMap(unpackSets);
    return metricDataOf(metric.name, ledgerPoints({ ...metric, sets }, message, common));
  });
  const own = message.instruments.flatMap(({ metrics: data }) => data);
  return [...ofLedger, ...own].filter(({ dataPoints }) => dataPoints.length > 0);
}

/** After a long pause the fold before is further back than a backend takes points. */
const maxZeroLeadMs = 60_000;

/**
 * A series that begins with this fold, at `since`, gets a point of 0 before its first one. Prometheus and VictoriaMetrics
 * do not look at start times: without it, `increase()` and `rate()` miss the first value of a series, and what one has
 * gained that comes back with more than it left with (tried with both).
 */
function ledgerPoints(metric: FoldedMetric, { at, since }: FoldMessage, common: ResourceAttributes) {
  const isGauge = metrics[metric.name].kind === "gauge";
  const endTime = hrTimeOfMillis(at);
  const zeroTime = hrTimeOfMillis(Math.max(since ?? 0, at - maxZeroLeadMs));
  const startTimes = new Map<number, HrTime>();
  const points: DataPoint<number>[] = [];
  for (const { attributes: own, value, startAt } of seriesOf(metric)) {
    const attributes = { ...common, ...own };
    let startTime = startTimes.get(startAt);
    if (startTime === undefined) startTimes.set(startAt, (startTime = hrTimeOfMillis(startAt)));
    if (startAt === since && !isGauge) points.push({ attributes, value: 0, startTime, endTime: zeroTime });
    points.push({ attributes, value, startTime, endTime });
  }
  return points;
}

/** A metric of the ledger with these points: a cumulative sum or a gauge, as the catalogue says. */
export function metricDataOf(name: FoldedMetric["name"], dataPoints: DataPoint<number>[]): MetricData {
  const { kind, unit, description }: MetricDefinition = metrics[name];
  const shared = {
    descriptor: { name, unit, description, valueType: ValueType.INT },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPoints,
  };
  return kind === "gauge"
    ? { ...shared, dataPointType: DataPointType.GAUGE }
    : { ...shared, dataPointType: DataPointType.SUM, isMonotonic: true };
}
