/** The process's own instruments: `Telemetry` over the OpenTelemetry SDK, collected when somebody asks, and what the process uses. */
import type { Counter, Histogram, Observable, UpDownCounter } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, MetricReader, type ResourceMetrics } from "@opentelemetry/sdk-metrics";
import { type MetricDefinition, type MetricName, metrics } from "../catalogue/metrics.ts";
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import { type ResourceAttributes, scopeOf } from "./destination.ts";

export type Instruments = ReturnType<typeof createInstruments>;

/** In whose name. `common`: attributes of every point. */
interface InstrumentsContext extends Record<"resource" | "common", ResourceAttributes> {
  readonly version: string;
}

/** Instruments are made at once, so that a name is registered the same way whoever uses it first. */
export function createInstruments(
  { enabled }: Config["self_observability"],
  { resource, version, common }: InstrumentsContext,
) {
  const reader = new PullReader();
  const provider = new MeterProvider({ resource: resourceFromAttributes(resource), readers: [reader] });
  const scope = scopeOf(version);
  return {
    telemetry: enabled ? telemetryOf(provider.getMeter(scope.name, scope.version), common) : silentTelemetry,
    /** All points of this moment; a few hundred. */
    collect: async (): Promise<ResourceMetrics> => (await reader.collect()).resourceMetrics,
    stop: (): Promise<void> => provider.shutdown(),
  };
}

/** The main thread is asked this often whether it is late. */
const tickMs = 500;

/** Measures processor time, memory, and whether the main thread keeps up, until the returned function is called. */
export function observeProcess(telemetry: Telemetry): () => void {
  telemetry.observe("process.cpu.time", () => {
    const { user, system } = process.cpuUsage();
    return [
      { value: user / 1e6, attributes: { "cpu.mode": "user" as const } },
      { value: system / 1e6, attributes: { "cpu.mode": "system" as const } },
    ];
  });
  telemetry.observe("process.memory.usage", () => [{ value: process.memoryUsage.rss(), attributes: {} }]);
  telemetry.observe("process.uptime", () => [{ value: process.uptime(), attributes: {} }]);
  let expectedAt = performance.now() + tickMs;
  const timer = setInterval(() => {
    const now = performance.now();
    telemetry.record("tailscale2otel.event_loop.lag", Math.max(0, now - expectedAt) / 1000, {});
    expectedAt = now + tickMs;
  }, tickMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Series of one instrument; their attribute sets are closed. */
const maxOwnSeries = 1_000;

/** Collects when it is asked to, and not by itself. */
class PullReader extends MetricReader {
  constructor() {
    super({ cardinalitySelector: () => maxOwnSeries });
  }

  protected async onShutdown(): Promise<void> {}

  protected async onForceFlush(): Promise<void> {}
}

function telemetryOf(meter: ReturnType<MeterProvider["getMeter"]>, common: ResourceAttributes): Telemetry {
  const adding = new Map<MetricName, Counter | UpDownCounter>();
  const recording = new Map<MetricName, Histogram>();
  const observing = new Map<MetricName, Observable>();
  for (const [name, definition] of Object.entries(metrics) as [MetricName, MetricDefinition][]) {
    const { kind, origin, unit, description, buckets } = definition;
    if (origin !== "process") continue;
    const options = { unit, description };
    const advice = buckets === undefined ? {} : { advice: { explicitBucketBoundaries: [...buckets] } };
    if (kind === "counter") adding.set(name, meter.createCounter(name, options));
    else if (kind === "updown") adding.set(name, meter.createUpDownCounter(name, options));
    else if (kind === "histogram") recording.set(name, meter.createHistogram(name, { ...options, ...advice }));
    else if (kind === "total") observing.set(name, meter.createObservableCounter(name, options));
    else observing.set(name, meter.createObservableGauge(name, options));
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
