/**
 * Exports counters as differences, for `temporality = "delta"`: a point is what was counted since the destination's last
 * acknowledgment, and starts at that time.
 *
 * Everything that the ledger has counted arrives: if part of a series was unacknowledged when it was retired, that part is
 * sent in the overflow series of its direction.
 */
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type Histogram,
  type HistogramMetricData,
  type MetricData,
  type SumMetricData,
} from "@opentelemetry/sdk-metrics";
import { attributesKey } from "../catalogue/increments.ts";
import { type MetricDefinition, metrics as catalogue } from "../catalogue/metrics.ts";
import { type HrTime, hrTimeOfMillis, millisOfHrTime } from "../lib/clock.ts";
import { directionOf, overflowAttributes } from "../ledger/series.ts";
import {
  begin,
  grow,
  type InstrumentTotals,
  noTotals,
  packTotals,
  type Retired,
  type SeriesColumns,
  type Totals,
  unpackTotals,
} from "./acknowledged.ts";
import type { ResourceAttributes } from "./destination.ts";
import { isLedgerMetric, type LedgerMetricData } from "./fold-points.ts";
import type { Piece } from "./metric-refusals.ts";

export class Differences {
  #totals: Totals;
  readonly #common: ResourceAttributes;
  /** What to update when a point is accepted. */
  readonly #onAccepted = new WeakMap<object, () => void>();

  /** `common`: attributes of every point. @throws {Error} if `packed` does not hold totals. */
  constructor(packed: Uint8Array, common: ResourceAttributes) {
    this.#common = common;
    this.#totals = unpackTotals(packed);
  }

  /** The part of these totals that the destination has not acknowledged yet. Gauges are unchanged. */
  of(metrics: readonly MetricData[]): MetricData[] {
    const { instruments } = this.#totals;
    this.#totals = { ...this.#totals, instruments: storedOnes(instruments) };
    const due = metrics.map((metric) => {
      if (isLedgerMetric(metric)) return this.#ofLedger(metric);
      if (metric.dataPointType === DataPointType.HISTOGRAM) return this.#ofHistogram(metric, instruments);
      return metric.dataPointType === DataPointType.SUM && metric.isMonotonic
        ? this.#ofSum(metric, instruments)
        : metric;
    });
    return due.filter(({ dataPoints }) => dataPoints.length > 0);
  }

  /** Acknowledges points that the destination has accepted. Returns the totals to save. */
  accepted(piece: Piece): Uint8Array {
    for (const { point } of piece) this.#onAccepted.get(point)?.();
    return packTotals(this.#totals);
  }

  #ofLedger(metric: LedgerMetricData): MetricData {
    const { series, retired } = (this.#totals.metrics[metric.descriptor.name] ??= noTotals());
    const { foldedAt } = metric;
    retireVanished(metric, series, retired);
    const owed = this.#owed(metric, retired);
    const dataPoints: DataPoint<number>[] = [];
    const emit = (point: Omit<DataPoint<number>, "startTime" | "endTime">, since: number, onAccepted: () => void) => {
      const times = { startTime: hrTimeOfMillis(Math.min(since, foldedAt)), endTime: hrTimeOfMillis(foldedAt) };
      const due = { ...point, ...times };
      this.#onAccepted.set(due, onAccepted);
      dataPoints.push(due);
    };
    for (const { series: number, attributes, value, startTime } of metric.dataPoints) {
      if (series.startAt[number] === undefined) grow(series, number);
      if (series.startAt[number] === 0) begin(series, number, millisOfHrTime(startTime), directionOf(attributes));
      const more = attributes["otel.metric.overflow"] === true ? owed.get(directionOf(attributes)) : undefined;
      if (more !== undefined) owed.delete(directionOf(attributes));
      const due = value - (series.total[number] as number) + (more?.due ?? 0);
      const acknowledge = (): void => {
        series.total[number] = value;
        series.until[number] = foldedAt;
        more?.acknowledge();
      };
      if (due > 0)
        emit(
          { attributes, value: due },
          Math.min(series.until[number] as number, more?.since ?? Infinity),
          acknowledge,
        );
      else acknowledge();
    }
    for (const [direction, { due, since, acknowledge }] of owed)
      emit({ attributes: { ...this.#common, ...overflowAttributes(direction) }, value: due }, since, acknowledge);
    return { ...metric, aggregationTemporality: AggregationTemporality.DELTA, dataPoints };
  }

  /** By direction, what retired series have counted that the destination has not acknowledged. */
  #owed({ retired: totals, foldedAt }: LedgerMetricData, acknowledged: Record<string, Retired>) {
    const owed = new Map<string, { readonly due: number; readonly since: number; readonly acknowledge: () => void }>();
    for (const direction of new Set([...Object.keys(totals), ...Object.keys(acknowledged)])) {
      const total = totals[direction] ?? 0;
      const known = (acknowledged[direction] ??= { total: 0, until: this.#totals.begunAt });
      const acknowledge = (): void => void Object.assign(known, { total, until: foldedAt });
      // If more is acknowledged than was ever retired, the ledger has started over.
      if (known.total >= total) acknowledge();
      else owed.set(direction, { due: total - known.total, since: known.until, acknowledge });
    }
    return owed;
  }

  #ofSum(metric: SumMetricData, known: Totals["instruments"]): MetricData {
    const dataPoints = metric.dataPoints.flatMap((point) => {
      const due = this.#instrument(metric, point, [point.value], known);
      return due === undefined ? [] : [this.#noted({ ...point, ...due, value: due.numbers[0] as number }, due)];
    });
    return { ...metric, aggregationTemporality: AggregationTemporality.DELTA, dataPoints };
  }

  /** Minimum and maximum cover the process's whole life, so they are left out. */
  #ofHistogram(metric: HistogramMetricData, known: Totals["instruments"]): MetricData {
    const dataPoints = metric.dataPoints.flatMap((point) => {
      const { buckets, count, sum = 0 } = point.value;
      const due = this.#instrument(metric, point, [count, sum, ...buckets.counts], known);
      if (due === undefined) return [];
      const [dueCount = 0, dueSum = 0, ...counts] = due.numbers;
      const value: Histogram = { buckets: { boundaries: buckets.boundaries, counts }, count: dueCount, sum: dueSum };
      return [this.#noted({ ...point, startTime: due.startTime, value }, due)];
    });
    return { ...metric, aggregationTemporality: AggregationTemporality.DELTA, dataPoints };
  }

  /** What an instrument has counted since its last acknowledgment; undefined if nothing. */
  #instrument(
    { descriptor }: MetricData,
    { attributes, startTime: start, endTime: until }: DataPoint<unknown>,
    numbers: readonly number[],
    known: Totals["instruments"],
  ) {
    const key = `${descriptor.name}\u0000${attributesKey(attributes as Readonly<Record<string, string>>)}`;
    const stored = known[key];
    const isSame = stored !== undefined && stored.start[0] === start[0] && stored.start[1] === start[1];
    const base = isSame || isStored(descriptor.name) ? stored && baseOf(stored, numbers) : undefined;
    const now = { start, until, numbers };
    const due = numbers.map((number, at) => number - (base?.numbers[at] ?? 0));
    if (due[0] === 0) return void (this.#totals.instruments[key] = now);
    if (base !== undefined) this.#totals.instruments[key] = base;
    const acknowledge = (): void => void (this.#totals.instruments[key] = now);
    return { startTime: base?.until ?? beforeEnd(start, until), numbers: due, acknowledge };
  }

  #noted<Point extends object>(point: Point, { acknowledge }: { readonly acknowledge: () => void }): Point {
    this.#onAccepted.set(point, acknowledge);
    return point;
  }
}

/** The totals that survive a restart, including those that this process has not read yet. */
function storedOnes(instruments: Totals["instruments"]): Totals["instruments"] {
  return Object.fromEntries(
    Object.entries(instruments).filter(([key]) => isStored(key.slice(0, key.indexOf("\u0000")))),
  );
}

function isStored(name: string): boolean {
  return (catalogue as Readonly<Record<string, MetricDefinition>>)[name]?.isStored === true;
}

/** What was acknowledged, or zeros if the count has restarted. */
function baseOf(stored: InstrumentTotals, numbers: readonly number[]): InstrumentTotals {
  const isAnew = (numbers[0] as number) < (stored.numbers[0] as number);
  return isAnew ? { ...stored, numbers: numbers.map(() => 0) } : stored;
}

/** The SDK gives the first point of an observed counter the same start and end: a duration that backends reject. */
function beforeEnd(start: HrTime, end: HrTime): HrTime {
  const millis = Math.min(millisOfHrTime(start), millisOfHrTime(end) - 1);
  return millis < millisOfHrTime(start) ? hrTimeOfMillis(millis) : start;
}

/** Moves the acknowledged totals of series that no longer exist to the retired totals. */
function retireVanished(
  { dataPoints }: LedgerMetricData,
  series: SeriesColumns,
  retired: Record<string, Retired>,
): void {
  const live = new Map(dataPoints.map(({ series: number, startTime }) => [number, millisOfHrTime(startTime)]));
  for (const [number, startAt] of series.startAt.entries()) {
    if (startAt === 0 || live.get(number) === startAt) continue;
    const direction = series.direction[number] as string;
    const known = (retired[direction] ??= { total: 0, until: series.until[number] as number });
    known.total += series.total[number] as number;
    begin(series, number, 0, "");
  }
}
