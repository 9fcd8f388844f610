/** The process's own instruments over the OpenTelemetry SDK: every metric of the catalogue that is not the ledger's. */
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

/** In whose name. `common`: attributes of every point. */
interface InstrumentsContext extends Record<"resource" | "common", ResourceAttributes> {
  readonly version: string;
  /** Of several tailnets: the first one's instruments measure the process too, without `common`. Absent: there is one. */
  readonly place?: "first" | "further" | undefined;
}

/** Instruments are made at once, so that a name is registered the same way whoever uses it first. */
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
    /** For what belongs to no tailnet in particular. */
    processTelemetry: of?.(() => (place === undefined ? common : {})) ?? silentTelemetry,
    /** All points of this moment; a few hundred. */
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

/**
 * How many observations each callback of a metric made when it was last called. The SDK goes on reporting the last totals of one that
 * makes none: those of an instance that no longer leads.
 */
type Observations = Map<string, number[]>;

/** Collects when it is asked to, and not by itself. */
class PullReader extends MetricReader {
  constructor() {
    super({
      cardinalitySelector: () => maxOwnSeries,
      // Otherwise a gauge goes on with the last value of attributes that are not observed any more.
      aggregationTemporalitySelector: (type) =>
        type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE,
    });
  }

  protected async onShutdown(): Promise<void> {}

  protected async onForceFlush(): Promise<void> {}
}

/** A counter of no more series than this has all of them from the start, so that `increase()` sees what comes first. */
const maxZeroSeries = 16;

/**
 * Every attribute set that a metric can have; none if they are too many, or not known beforehand. Without attributes that are
 * named by the settings: those are absent unless somebody uses them.
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

/** All instruments; returns what writes to them with those attributes beside a metric's own. */
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
