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

export function createLedgerProducer(read: ReadLedger, scope: InstrumentationScope): MetricProducer {
  return {
    async collect() {
      const view = read();
      const scopeMetrics = view === undefined ? [] : [scopeMetricsOf(view, scope)];
      return { resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] };
    },
  };
}

/** Cumulative sums, monotonic where the catalogue says counter. A metric without series is left out. */
export function scopeMetricsOf(view: LedgerView, scope: InstrumentationScope): ScopeMetrics {
  const endTime = hrTimeOfMillis(view.at);
  const startTimes = new Map<number, HrTime>();
  const point = ({ attributes, value, startAt }: LedgerSeries): DataPoint<number> => {
    let startTime = startTimes.get(startAt);
    if (startTime === undefined) startTimes.set(startAt, (startTime = hrTimeOfMillis(startAt)));
    return { attributes, value, startTime, endTime };
  };
  const data: MetricData[] = [];
  for (const { name, series } of view.metrics) {
    if (series.length === 0) continue;
    const { kind, unit, description } = definitionOf(name);
    const shared = {
      descriptor: { name, unit, description, valueType: ValueType.INT },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPoints: series.map(point),
    };
    if (kind === "gauge") data.push({ ...shared, dataPointType: DataPointType.GAUGE });
    else data.push({ ...shared, dataPointType: DataPointType.SUM, isMonotonic: kind === "counter" });
  }
  return { scope, metrics: data };
}

function definitionOf(name: LedgerMetric | IntervalMetric): MetricDefinition {
  return metrics[name];
}
