/**
 * The totals that a destination has acknowledged, for `temporality = "delta"`: what a counter's next point says is the
 * difference to them, from the time of the last acknowledgment on. They are kept in the journal's state as soon as a request is
 * answered, so that a kill repeats only what had no answer yet.
 *
 * Everything that the ledger has counted arrives: what had not been acknowledged of a series when it was retired is sent as
 * the overflow series of its direction. So there are never more totals than the ledger has series: 32 bytes each in memory,
 * about 10 in the state.
 */
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
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
import { metrics as catalogue } from "../catalogue/metrics.ts";
import { type HrTime, hrTimeOfMillis, millisOfHrTime } from "../lib/clock.ts";
import { attempt, type Logger } from "../lib/logger.ts";
import type { Journal } from "../journal/index.ts";
import { directionOf, type Fold, type LedgerAttributes, overflowAttributes } from "../ledger/index.ts";
import type { ResourceAttributes } from "./destination.ts";
import { isLedgerMetric, type LedgerMetricData, type Temporality } from "./fold-points.ts";
import type { Piece } from "./metric-refusals.ts";

/** What is acknowledged of a series, by its number: four columns. A start of 0: no series has this number. */
interface SeriesColumns {
  readonly total: number[];
  /** Epoch milliseconds; with the number, it tells one series from the next that gets the number. */
  readonly startAt: number[];
  /** Up to when it is acknowledged, epoch milliseconds. */
  readonly until: number[];
  readonly direction: string[];
}

/** What is acknowledged of the series that are retired, of one direction. */
interface Retired {
  total: number;
  until: number;
}

interface MetricTotals {
  readonly series: SeriesColumns;
  readonly retired: Record<string, Retired>;
}

/** What is acknowledged of an instrument of the process: numbers that only grow while it lives. */
interface InstrumentTotals {
  readonly start: HrTime;
  readonly until: HrTime;
  readonly numbers: readonly number[];
}

interface Totals {
  /** Epoch milliseconds. */
  readonly begunAt: number;
  readonly metrics: Record<string, MetricTotals>;
  readonly instruments: Record<string, InstrumentTotals>;
}

export interface KeepingDeps {
  readonly journal: Pick<Journal, "readState" | "writeState">;
  /** The name under which they are kept. */
  readonly destination: string;
  /** The ledger's last committed fold. */
  readonly shown: () => Fold;
  readonly logger: Logger;
}

/**
 * What a destination has acknowledged, from the journal, and how to keep what it acknowledges from now on. A destination that
 * is new, or was sent totals until now, begins with the counters as they are: what was counted before is not for it.
 * @throws {Unavailable} if that cannot be kept.
 */
export function keptTotals(temporality: Temporality, { journal, destination, shown, logger }: KeepingDeps) {
  const name = `acknowledged/${destination}`;
  let acknowledged = journal.readState(name);
  const isKept = acknowledged !== undefined && acknowledged.length > 0;
  if (temporality === "cumulative") {
    acknowledged = undefined;
    if (isKept) journal.writeState(name, new Uint8Array());
  } else if (!isKept) {
    acknowledged = pack(totalsAt(shown()));
    journal.writeState(name, acknowledged);
  }
  return {
    acknowledged,
    keep: (totals: Uint8Array): void =>
      attempt("cannot keep what the backend acknowledged; after a crash it would be sent again", logger, () =>
        journal.writeState(name, totals),
      ),
  };
}

export class AcknowledgedTotals {
  #totals: Totals;
  readonly #common: ResourceAttributes;
  /** What the acceptance of a point changes. */
  readonly #onAccepted = new WeakMap<object, () => void>();

  /** `common`: attributes of every point. @throws {Error} if these are no totals. */
  constructor(packed: Uint8Array, common: ResourceAttributes) {
    this.#common = common;
    this.#totals = JSON.parse(zstdDecompressSync(packed).toString()) as Totals;
  }

  /** What the destination has not acknowledged of these totals. Gauges stay as they are. */
  differences(metrics: readonly MetricData[]): MetricData[] {
    const { instruments } = this.#totals;
    this.#totals = { ...this.#totals, instruments: {} };
    const due = metrics.map((metric) => {
      if (isLedgerMetric(metric)) return this.#ofLedger(metric);
      if (metric.dataPointType === DataPointType.HISTOGRAM) return this.#ofHistogram(metric, instruments);
      return metric.dataPointType === DataPointType.SUM && metric.isMonotonic
        ? this.#ofSum(metric, instruments)
        : metric;
    });
    return due.filter(({ dataPoints }) => dataPoints.length > 0);
  }

  /** The destination has accepted these points. Returns the totals to keep from now on. */
  accepted(piece: Piece): Uint8Array {
    for (const { point } of piece) this.#onAccepted.get(point)?.();
    return pack(this.#totals);
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

  /** By direction, what retired series had counted and the destination has not acknowledged. */
  #owed({ retired: totals, foldedAt }: LedgerMetricData, acknowledged: Record<string, Retired>) {
    const owed = new Map<string, { readonly due: number; readonly since: number; readonly acknowledge: () => void }>();
    for (const direction of new Set([...Object.keys(totals), ...Object.keys(acknowledged)])) {
      const total = totals[direction] ?? 0;
      const known = (acknowledged[direction] ??= { total: 0, until: this.#totals.begunAt });
      const acknowledge = (): void => void Object.assign(known, { total, until: foldedAt });
      // More than was ever retired: the ledger has begun anew.
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

  /** Smallest and largest are those of the process's whole life, so they are left out. */
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

  /** What an instrument has counted since it was acknowledged last; nothing if that is nothing. */
  #instrument(
    { descriptor }: MetricData,
    { attributes, startTime: start, endTime: until }: DataPoint<unknown>,
    numbers: readonly number[],
    known: Totals["instruments"],
  ) {
    const key = `${descriptor.name}\u0000${attributesKey(attributes as Readonly<Record<string, string>>)}`;
    const stored = known[key];
    const isSame = stored !== undefined && stored.start[0] === start[0] && stored.start[1] === start[1];
    const base = isSame ? stored : undefined;
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

/** The SDK says of the first point of an observed counter that it begins when it ends: a duration that backends reject. */
function beforeEnd(start: HrTime, end: HrTime): HrTime {
  const millis = Math.min(millisOfHrTime(start), millisOfHrTime(end) - 1);
  return millis < millisOfHrTime(start) ? hrTimeOfMillis(millis) : start;
}

/** Moves what is acknowledged of series that are gone to the retired ones. */
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

function grow({ total, startAt, until, direction }: SeriesColumns, number: number): void {
  while (startAt.length <= number) {
    total.push(0);
    startAt.push(0);
    until.push(0);
    direction.push("");
  }
}

function begin(series: SeriesColumns, number: number, startAt: number, direction: string): void {
  series.total[number] = 0;
  series.startAt[number] = startAt;
  series.until[number] = startAt;
  series.direction[number] = direction;
}

function noTotals(): MetricTotals {
  return { series: { total: [], startAt: [], until: [], direction: [] }, retired: {} };
}

/** The totals of a destination that has acknowledged the fold. */
function totalsAt({ at, metrics: folded }: Fold): Totals {
  const metrics: Totals["metrics"] = {};
  for (const { name, sets, values, startAt, retired } of folded) {
    if (catalogue[name].kind === "gauge") continue;
    const { series } = (metrics[name] = noTotals());
    grow(series, values.length - 1);
    for (const [number, value] of values.entries()) {
      const attributes: LedgerAttributes | undefined = sets[number];
      if (attributes === undefined || Number.isNaN(value)) continue;
      begin(series, number, startAt[number] as number, directionOf(attributes));
      series.total[number] = value;
      series.until[number] = at;
    }
    for (const [direction, total] of Object.entries(retired)) metrics[name].retired[direction] = { total, until: at };
  }
  return { begunAt: at, metrics, instruments: {} };
}

function pack(totals: Totals): Uint8Array<ArrayBuffer> {
  return new Uint8Array(zstdCompressSync(JSON.stringify(totals)));
}
