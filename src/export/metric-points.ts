/** Cuts a metrics request in two by its points: a backend may take less at once than we send. */
import type { MetricData, ResourceMetrics } from "@opentelemetry/sdk-metrics";

export function countPoints({ scopeMetrics }: ResourceMetrics): number {
  let points = 0;
  for (const { metrics } of scopeMetrics) for (const { dataPoints } of metrics) points += dataPoints.length;
  return points;
}

/** Two requests with half of the points each. It must have two or more. */
export function halvePoints(resourceMetrics: ResourceMetrics): [ResourceMetrics, ResourceMetrics] {
  const middle = countPoints(resourceMetrics) >> 1;
  return [pointsBetween(resourceMetrics, 0, middle), pointsBetween(resourceMetrics, middle, Number.POSITIVE_INFINITY)];
}

function pointsBetween({ resource, scopeMetrics }: ResourceMetrics, from: number, to: number): ResourceMetrics {
  let before = 0;
  const kept = scopeMetrics.map(({ scope, metrics }) => {
    const keptMetrics: MetricData[] = [];
    for (const metric of metrics) {
      const dataPoints = metric.dataPoints.slice(Math.max(0, from - before), Math.max(0, to - before));
      if (dataPoints.length > 0) keptMetrics.push({ ...metric, dataPoints } as MetricData);
      before += metric.dataPoints.length;
    }
    return { scope, metrics: keptMetrics };
  });
  return { resource, scopeMetrics: kept.filter(({ metrics }) => metrics.length > 0) };
}
