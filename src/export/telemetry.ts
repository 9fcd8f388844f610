/** `Telemetry` with SDK instruments, one for each metric of the process that the catalogue defines. */
import type { Attributes, Counter, Histogram, Meter, Observable, UpDownCounter } from "@opentelemetry/api";
import { type MetricDefinition, type MetricName, metrics } from "../catalogue/metrics.ts";
import type { Telemetry } from "../catalogue/telemetry.ts";

/**
 * Instruments are made at once, so that a name is registered the same way whoever uses it first. `common`: attributes of
 * every point.
 */
export function createTelemetry(meter: Meter, common: Attributes): Telemetry {
  const adding = new Map<MetricName, Counter | UpDownCounter>();
  const recording = new Map<MetricName, Histogram>();
  const observing = new Map<MetricName, Observable>();
  for (const [name, definition] of Object.entries(metrics) as [MetricName, MetricDefinition][]) {
    if (definition.origin !== "process") continue;
    const { unit, description, buckets } = definition;
    switch (definition.kind) {
      case "counter":
        adding.set(name, meter.createCounter(name, { unit, description }));
        break;
      case "updown":
        adding.set(name, meter.createUpDownCounter(name, { unit, description }));
        break;
      case "histogram": {
        const advice = buckets === undefined ? {} : { advice: { explicitBucketBoundaries: [...buckets] } };
        recording.set(name, meter.createHistogram(name, { unit, description, ...advice }));
        break;
      }
      case "total":
        observing.set(name, meter.createObservableCounter(name, { unit, description }));
        break;
      case "gauge":
        observing.set(name, meter.createObservableGauge(name, { unit, description }));
        break;
    }
  }
  return {
    add: (name, value, attributes) => adding.get(name)?.add(value, { ...common, ...attributes }),
    record: (name, value, attributes) => recording.get(name)?.record(value, { ...common, ...attributes }),
    observe: (name, read) =>
      observing.get(name)?.addCallback((result) => {
        for (const { value, attributes } of read()) result.observe(value, { ...common, ...attributes });
      }),
  };
}
