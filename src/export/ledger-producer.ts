/** The ledger's last committed fold as OpenTelemetry metrics: own points, with the start times that make them exact. */
import { ValueType } from "@opentelemetry/api";
import type { InstrumentationScope } from "@opentelemetry/core";
import { emptyResource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type MetricData,
  type MetricProducer,
  type ScopeMetrics,
} from "@opentelemetry/sdk-metrics";
import { type IntervalMetric, type LedgerMetric, type MetricDefinition, metrics } from "../catalogue/metrics.ts";
import type { LedgerSeries, LedgerView } from "../ledger/types.ts";
import { type HrTime, hrTimeOfMillis } from "../lib/clock.ts";

/** Reads the last committed fold; nothing before the first. */
export type ReadLedger = () => LedgerView | undefined;

export interface LedgerProducerOptions {
  /** On every point; what the series itself has wins. */
  readonly common: Readonly<Record<string, string>>;
  /**
   * Whether a series begins with a point of 0. Prometheus and VictoriaMetrics do not look at start times: without it,
   * `increase()` and `rate()` miss the first value of a series, and what one has gained that comes back with more than it
   * left with (tried with both). It needs a form in which points have times.
   */
  readonly hasZeroPoints: boolean;
}

export function createLedgerProducer(
  read: ReadLedger,
  scope: InstrumentationScope,
  options: LedgerProducerOptions,
): MetricProducer {
  return {
    async collect() {
      const view = read();
      const scopeMetrics = view === undefined ? [] : [scopeMetricsOf(view, scope, options)];
      return { resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] };
    },
  };
}

/** After a long pause the fold before is further back than a backend takes points. */
const maxZeroLeadMs = 60_000;

/** Cumulative sums, monotonic where the catalogue says counter. A metric without series is left out. */
function scopeMetricsOf(
  view: LedgerView,
  scope: InstrumentationScope,
  { common, hasZeroPoints }: LedgerProducerOptions,
): ScopeMetrics {
  const endTime = hrTimeOfMillis(view.at);
  const zeroTime = hrTimeOfMillis(Math.max(view.since ?? 0, view.at - maxZeroLeadMs));
  const startTimes = new Map<number, HrTime>();
  const points = ({ attributes, value, startAt }: LedgerSeries): DataPoint<number>[] => {
    let startTime = startTimes.get(startAt);
    if (startTime === undefined) startTimes.set(startAt, (startTime = hrTimeOfMillis(startAt)));
    const point = { attributes: { ...common, ...attributes }, value, startTime, endTime };
    const isNew = hasZeroPoints && startAt === view.since;
    return isNew ? [{ ...point, value: 0, endTime: zeroTime }, point] : [point];
  };
  const data: MetricData[] = [];
  for (const { name, series } of view.metrics) {
    if (series.length === 0) continue;
    const { kind, unit, description } = definitionOf(name);
    const shared = {
      descriptor: { name, unit, description, valueType: ValueType.INT },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
    };
    if (kind === "gauge") {
      const dataPoints = series.map((one) => points(one).at(-1) as DataPoint<number>);
      data.push({ ...shared, dataPoints, dataPointType: DataPointType.GAUGE });
    } else
      data.push({
        ...shared,
        dataPoints: series.flatMap(points),
        dataPointType: DataPointType.SUM,
        isMonotonic: kind === "counter",
      });
  }
  return { scope, metrics: data };
}

function definitionOf(name: LedgerMetric | IntervalMetric): MetricDefinition {
  return metrics[name];
}
