/** Metrics in Prometheus' text form, for whoever asks: the last committed fold and the process's own instruments. */
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { type MetricData, type MetricProducer, MetricReader, type ResourceMetrics } from "@opentelemetry/sdk-metrics";
import { type MetricDefinition, metrics } from "../catalogue/metrics.ts";
import { prometheusName } from "../catalogue/prometheus-name.ts";

/** Collects when it is asked to, and not by itself. */
export class PullReader extends MetricReader {
  constructor(producers: MetricProducer[]) {
    super({ metricProducers: producers, cardinalitySelector: () => maxOwnSeries });
  }

  protected async onShutdown(): Promise<void> {}

  protected async onForceFlush(): Promise<void> {}
}

/** Of one instrument; their attribute sets are closed. */
const maxOwnSeries = 1_000;

/** The page's text; scope and resource are told by `target_info`. */
export async function scrape(reader: PullReader): Promise<string> {
  const { resourceMetrics } = await reader.collect();
  const serializer = new PrometheusSerializer(undefined, false, undefined, false, true);
  return serializer.serialize(withFullNames(resourceMetrics));
}

/** The serializer leaves units out of names and names the unit beside, which not every reader takes. */
function withFullNames({ resource, scopeMetrics }: ResourceMetrics): ResourceMetrics {
  const named = (metric: MetricData): MetricData => {
    const definition = (metrics as Readonly<Record<string, MetricDefinition>>)[metric.descriptor.name];
    if (definition === undefined) return metric;
    const name = prometheusName(metric.descriptor.name, definition);
    return { ...metric, descriptor: { ...metric.descriptor, name, unit: "" } };
  };
  return {
    resource,
    scopeMetrics: scopeMetrics.map(({ scope, metrics: data }) => ({ scope, metrics: data.map(named) })),
  };
}
