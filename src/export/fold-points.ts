/**
 * A committed fold on its way to the export worker, and there as OpenTelemetry points. Numbers travel as arrays; attribute
 * sets, which rarely change, only if the worker does not have them yet.
 */
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
import {
  type AttributeChunk,
  type Fold,
  type FoldedMetric,
  type LedgerAttributes,
  setsPerChunk,
  unpackSets,
} from "../ledger/index.ts";
import type { ResourceAttributes } from "./resource.ts";
import type { Instruments } from "./telemetry.ts";

/** A fold as plain data. */
export interface FoldMessage {
  readonly at: number;
  readonly since: number | undefined;
  readonly metrics: readonly FoldColumns[];
  /** The process's own instruments, collected after the fold. */
  readonly instruments: readonly ScopeMetrics[];
}

/** One metric by series number. */
export interface FoldColumns extends Pick<FoldedMetric, "name" | "values" | "startAt"> {
  /** Chunks of attribute sets that the worker does not have in this form. */
  readonly chunks: readonly { readonly chunk: number; readonly packed: Uint8Array }[];
}

/** Makes messages of folds, on the main thread. */
export class FoldPoster {
  readonly #instruments: Instruments;
  readonly #sent = new Map<FoldedMetric["name"], readonly AttributeChunk[]>();

  constructor(instruments: Instruments) {
    this.#instruments = instruments;
  }

  /**
   * What to post of a fold; a few arrays are copied on the way, nothing is transferred. It is for the same worker as the
   * messages before, and useless if another one was started in the meantime.
   */
  async message({ at, since, metrics: folded }: Fold): Promise<FoldMessage> {
    const columns = folded.map((metric) => this.#columnsOf(metric));
    const { scopeMetrics } = await this.#instruments.collect();
    return { at, since, metrics: columns, instruments: scopeMetrics };
  }

  /** There is a new worker, which has no attribute sets. */
  workerStarted(): void {
    this.#sent.clear();
  }

  #columnsOf({ name, values, startAt, chunks }: FoldedMetric): FoldColumns {
    const sent = this.#sent.get(name);
    this.#sent.set(name, chunks);
    const news = chunks.flatMap((one, chunk) => (sent?.[chunk] === one ? [] : [{ chunk, packed: one.packed }]));
    return { name, values, startAt, chunks: news };
  }
}

/** After a long pause the fold before is further back than a backend takes points. */
const maxZeroLeadMs = 60_000;

/** Makes points of messages, in the worker: own points, with the start times that make them exact. */
export class FoldPoints {
  readonly #common: ResourceAttributes;
  /** By metric and series number. */
  readonly #sets = new Map<FoldedMetric["name"], (LedgerAttributes | undefined)[]>();

  /** `common`: attributes of every point; what a series has itself wins. */
  constructor(common: ResourceAttributes) {
    this.#common = common;
  }

  /** All metrics of a fold that have points. */
  metricsOf(message: FoldMessage): MetricData[] {
    const ofLedger = message.metrics.map((columns) => this.#metricOf(columns, message));
    const own = message.instruments.flatMap(({ metrics: data }) => data);
    return [...ofLedger, ...own].filter(({ dataPoints }) => dataPoints.length > 0);
  }

  #metricOf(columns: FoldColumns, message: FoldMessage): MetricData {
    const { name } = columns;
    const since = metrics[name].kind === "gauge" ? undefined : message.since;
    return metricDataOf(name, this.#pointsOf(columns, message, since));
  }

  /**
   * A series that begins with this fold, at `since`, gets a point of 0 before its first one. Prometheus and VictoriaMetrics
   * do not look at start times: without it, `increase()` and `rate()` miss the first value of a series, and what one has
   * gained that comes back with more than it left with (tried with both).
   */
  #pointsOf(columns: FoldColumns, { at }: FoldMessage, since: number | undefined): DataPoint<number>[] {
    const { values, startAt } = columns;
    const sets = this.#setsOf(columns);
    const endTime = hrTimeOfMillis(at);
    const zeroTime = hrTimeOfMillis(Math.max(since ?? 0, at - maxZeroLeadMs));
    const startTimes = new Map<number, HrTime>();
    const points: DataPoint<number>[] = [];
    for (const [number, value] of values.entries()) {
      const attributes = sets[number];
      if (attributes === undefined || Number.isNaN(value)) continue;
      const start = startAt[number] as number;
      let startTime = startTimes.get(start);
      if (startTime === undefined) startTimes.set(start, (startTime = hrTimeOfMillis(start)));
      if (start === since) points.push({ attributes, value: 0, startTime, endTime: zeroTime });
      points.push({ attributes, value, startTime, endTime });
    }
    return points;
  }

  #setsOf({ name, chunks }: FoldColumns): readonly (LedgerAttributes | undefined)[] {
    let sets = this.#sets.get(name);
    if (sets === undefined) this.#sets.set(name, (sets = []));
    for (const { chunk, packed } of chunks) {
      for (const [place, attributes] of unpackSets(packed).entries()) {
        sets[chunk * setsPerChunk + place] = attributes === undefined ? undefined : { ...this.#common, ...attributes };
      }
    }
    return sets;
  }
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
