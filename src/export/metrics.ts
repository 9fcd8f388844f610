/**
 * The export of metrics, in the worker: each committed fold goes through the SDK's OTLP exporter to a delegate of ours,
 * which has the sender that logs leave through too.
 */
import type { InstrumentationScope } from "@opentelemetry/core";
import { AggregationTemporalityPreference, OTLPMetricExporterBase } from "@opentelemetry/exporter-metrics-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { type FoldMessage, FoldPoints } from "./fold-points.ts";
import { MetricDelegate, type MetricDelegateDeps } from "./metric-delegate.ts";
import type { ResourceAttributes } from "./resource.ts";

export type { MetricReport, MetricState, PointOutcome } from "./metric-health.ts";

export interface MetricExportDeps extends MetricDelegateDeps {
  readonly resource: ResourceAttributes;
  readonly scope: InstrumentationScope;
  /** Attributes of every point. */
  readonly common: ResourceAttributes;
}

export interface MetricExport {
  /** Exports a fold; what is still being tried of an older one is given up after the request under way. */
  fold(message: FoldMessage): void;
  /** Tries once more what is not exported yet, without waits, and ends by the deadline. Safe twice. */
  stop(deadlineMs: number): Promise<void>;
}

export function createMetricExport(deps: MetricExportDeps): MetricExport {
  const points = new FoldPoints(deps.common);
  const delegate = new MetricDelegate(deps);
  const exporter = new OTLPMetricExporterBase(delegate, {
    temporalityPreference: AggregationTemporalityPreference.CUMULATIVE,
  });
  const resource = resourceFromAttributes(deps.resource);
  return {
    fold(message) {
      const scopeMetrics = [{ scope: deps.scope, metrics: points.metricsOf(message) }];
      exporter.export({ resource, scopeMetrics }, () => undefined);
    },
    stop: (deadlineMs) => delegate.stop(deadlineMs),
  };
}
