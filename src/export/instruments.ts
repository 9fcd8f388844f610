/** The process's own instruments, made with the OpenTelemetry SDK: every metric of the catalogue that is not the ledger's. */
import type { Counter, Histogram, Observable, UpDownCounter } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  InstrumentType,
  MeterProvider,
  MetricReader,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import { isOfProcess } from "../catalogue/definition.ts";
import { type MetricDefinition, type MetricName, metrics } from "../catalogue/metrics.ts";
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import { type ResourceAttributes, scopeOf } from "./destination.ts";

export type Instruments = ReturnType<typeof createInstruments>;

/** `common`: attributes of every point. */
interface InstrumentsContext extends Record<"resource" | "common", ResourceAttributes> {
  readonly version: string;
  /** With several tailnets, only the first one's instruments measure the process, without `common`. Absent with one tailnet. */
  readonly place?: "first" | "further" | undefined;
}

/** Creates all instruments up front, so that a name is registered the same way no matter who uses it first. */
export function createInstruments(
  { enabled }: Config["self_observability"],
  { resource, version, common, place }: InstrumentsContext,
) {
  const reader = new PullReader();
  const provider = new MeterProvider({ resource: resourceFromAttributes(resource), readers: [reader] });
  const scope = scopeOf(version);
  const observations: Observations = new Map();
  const meter = provider.getMeter(scope.name, scope.version);
  const of = enabled ? instrumentsIn(meter, { common, place, observations }) : undefined;
  return {
    telemetry:
      of?.(place === undefined ? () => common : (name) => (isOfProcess(name) ? {} : common)) ?? silentTelemetry,
    /** For measurements that belong to no particular tailnet. */
    processTelemetry: of?.(() => (place === undefined ? common : {})) ?? silentTelemetry,
    /** All current points; a few hundred. */
    async collect(): Promise<ResourceMetrics> {
      const { resourceMetrics } = await reader.collect();
      const isObserved = (name: string): boolean => observations.get(name)?.some((made) => made > 0) ?? true;
      const scopeMetrics = resourceMetrics.scopeMetrics.map(({ scope: from, metrics: all }) => ({
        scope: from,
        metrics: all.filter(({ descriptor }) => isObserved(descriptor.name)),
      }));
      return { ...resourceMetrics, scopeMetrics };
    },
    stop: (): Promise<void> => provider.shutdown(),
  };
}

/** How often the lag of the main thread is measured. */
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

/** Maximum number of series per instrument; their attribute sets are closed. */
const maxOwnSeries = 1_000;

/**
 * How many observations each callback of a metric made when it was last called. The SDK keeps reporting the last totals of a
 * metric that makes none, such as those of an instance that no longer leads.
 */
type Observations = Map<string, number[]>;

/** Collects only on request. */
class PullReader extends MetricReader {
  constructor() {
    super({
      cardinalitySelector: () => maxOwnSeries,
      // Otherwise a gauge keeps the last value of attributes that are no longer observed.
      aggregationTemporalitySelector: (type) =>
        type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE,
    });
  }

  protected async onShutdown(): Promise<void> {}

  protected async onForceFlush(): Promise<void> {}
}

/** A counter with at most this many series has all of them from the start, so that `increase()` sees the first increment. */
const maxZeroSeries = 16;

/**
 * Every attribute set that a metric can have; none if there are too many, or they are not known in advance. Attributes whose
 * values come from the settings are left out, because they are absent unless used.
 */
function closedSets({ attributes }: MetricDefinition): readonly Readonly<Record<string, string>>[] {
  let sets: readonly Readonly<Record<string, string>>[] = [{}];
  for (const [name, domain] of Object.entries(attributes)) {
    // Absent, except for further destinations.
    if (name === "destination") continue;
    if (typeof domain === "object" && "known" in domain && domain.known.length === 0) continue;
    if (!Array.isArray(domain)) return [];
    sets = sets.flatMap((set) => domain.map((word: string) => ({ ...set, [name]: word })));
    if (sets.length > maxZeroSeries) return [];
  }
  return sets;
}

/** Creates all instruments. Returns a function that creates a `Telemetry` that adds `more` to each metric's own attributes. */
function instrumentsIn(
  meter: ReturnType<MeterProvider["getMeter"]>,
  { common, place, observations }: Pick<InstrumentsContext, "common" | "place"> & { observations: Observations },
): (more: (name: MetricName) => ResourceAttributes) => Telemetry {
  const adding = new Map<MetricName, Counter | UpDownCounter>();
  const recording = new Map<MetricName, Histogram>();
  const observing = new Map<MetricName, Observable>();
  for (const [name, definition] of Object.entries(metrics) as [MetricName, MetricDefinition][]) {
    const { kind, origin, unit, description, buckets } = definition;
    const isShared = place !== undefined && isOfProcess(name);
    if (origin !== "process" || (isShared && place === "further")) continue;
    const options = { unit, description };
    const advice = buckets === undefined ? {} : { advice: { explicitBucketBoundaries: [...buckets] } };
    if (kind === "counter") {
      const created = meter.createCounter(name, options);
      adding.set(name, created);
      for (const attributes of closedSets(definition))
        created.add(0, isShared ? attributes : { ...common, ...attributes });
    } else if (kind === "updown") adding.set(name, meter.createUpDownCounter(name, options));
    else if (kind === "histogram") recording.set(name, meter.createHistogram(name, { ...options, ...advice }));
    else if (kind === "total") observing.set(name, meter.createObservableCounter(name, options));
    else observing.set(name, meter.createObservableGauge(name, options));
  }
  return (more) => ({
    add: (name, value, attributes) => adding.get(name)?.add(value, { ...more(name), ...attributes }),
    record: (name, value, attributes) => recording.get(name)?.record(value, { ...more(name), ...attributes }),
    observe(name, read) {
      const made = observations.get(name) ?? [];
      observations.set(name, made);
      const index = made.push(0) - 1;
      observing.get(name)?.addCallback((result) => {
        const all = read();
        made[index] = all.length;
        for (const { value, attributes } of all) result.observe(value, { ...more(name), ...attributes });
      });
    },
  });
}
