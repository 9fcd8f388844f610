/**
 * Finds and leaves out metric series that the backend rejects (400, 413, 422). A rejected request is split, between metrics
 * first and then in halves, until the offending points are found; their series are left out, and tried again together every
 * tenth fold, and in the fold after an outage in which everything was rejected.
 */
import type { MetricData } from "@opentelemetry/sdk-metrics";
import { attributesKey } from "../catalogue/increments.ts";

/** A point and the metric that it belongs to. */
export interface Point {
  readonly metric: MetricData;
  readonly point: MetricData["dataPoints"][number];
}

/** The points of one request; those of a metric are adjacent. */
export type Piece = readonly Point[];

/** Series remembered individually; beyond that, their whole metric is left out. */
const maxSeries = 1_000;

export const foldsBetweenTrials = 10;

export class RejectedSeries {
  readonly #series = new Set<string>();
  readonly #metrics = new Set<string>();
  #folds = 0;

  /** The number of series left out; a metric left out as a whole counts as one. */
  get size(): number {
    return this.#series.size + this.#metrics.size;
  }

  /** The points of a fold to send, and those left out; every tenth fold, the latter are `again`, to be tried after the rest. */
  plan(metrics: readonly MetricData[]): { readonly points: Piece; readonly leftOut: Piece; readonly again: Piece } {
    const isTrial = ++this.#folds % foldsBetweenTrials === 0;
    const points: Point[] = [];
    const rejected: Point[] = [];
    for (const metric of metrics)
      for (const point of metric.dataPoints) {
        const one = { metric, point };
        (this.#has(one) ? rejected : points).push(one);
      }
    return { points, leftOut: isTrial ? [] : rejected, again: isTrial ? rejected : [] };
  }

  /** Makes the next fold try the left-out series again. */
  tryNext(): void {
    this.#folds = -1;
  }

  /** Leaves the series of a point out from now on. */
  add(one: Point): void {
    const { name } = one.metric.descriptor;
    if (this.#has(one)) return;
    if (this.#series.size < maxSeries) return void this.#series.add(seriesOf(one));
    this.#metrics.add(name);
    for (const key of this.#series) if (key.startsWith(`${name}\u0000`)) this.#series.delete(key);
  }

  /** Stops leaving out the series of points that the backend has accepted. */
  remove(piece: Piece): void {
    if (this.size === 0) return;
    for (const point of piece) {
      this.#series.delete(seriesOf(point));
      this.#metrics.delete(point.metric.descriptor.name);
    }
  }

  #has(point: Point): boolean {
    if (this.size === 0) return false;
    return this.#metrics.has(point.metric.descriptor.name) || this.#series.has(seriesOf(point));
  }
}

/** Cuts points into pieces of at most `maxPoints`. */
export function piecesOf(points: Piece, maxPoints: number): Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < points.length; at += maxPoints) pieces.push(points.slice(at, at + maxPoints));
  return pieces;
}

/** Cuts a piece in two, between two metrics as close to its middle as possible, else in its middle. */
export function halvesOf(piece: Piece): readonly [Piece, Piece] {
  const middle = piece.length >> 1;
  const isBorder = (at: number) => at > 0 && at < piece.length && piece[at - 1]?.metric !== piece[at]?.metric;
  let off = 0;
  while (off <= middle && !isBorder(middle - off) && !isBorder(middle + off)) off++;
  const cut = off > middle ? middle : isBorder(middle - off) ? middle - off : middle + off;
  return [piece.slice(0, cut), piece.slice(cut)];
}

/** A piece as OpenTelemetry's metrics. */
export function metricsOf(piece: Piece): MetricData[] {
  const metrics: { readonly of: MetricData; readonly points: Point["point"][] }[] = [];
  for (const { metric, point } of piece) {
    const last = metrics.at(-1);
    if (last?.of === metric) last.points.push(point);
    else metrics.push({ of: metric, points: [point] });
  }
  return metrics.map(({ of, points }) => ({ ...of, dataPoints: points }) as MetricData);
}

/** The series of a point in words, for a log line. */
export function nameOfSeries({ metric, point }: Point): string {
  return `${metric.descriptor.name} ${JSON.stringify(point.attributes)}`;
}

function seriesOf({ metric, point }: Point): string {
  return `${metric.descriptor.name}\u0000${attributesKey(point.attributes as Readonly<Record<string, string>>)}`;
}
