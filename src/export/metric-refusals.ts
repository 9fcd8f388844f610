/**
 * Series that the backend refuses (400, 413, 422). A refused request is divided, between metrics first and then in halves,
 * until the guilty points are found; their series are remembered and left out, and tried again together every tenth fold.
 * What could not be divided within a fold's requests is gone on with in the next.
 */
import type { MetricData } from "@opentelemetry/sdk-metrics";
import { attributesKey } from "../catalogue/increments.ts";

/** A point and the metric that it belongs to. */
export interface Point {
  readonly metric: MetricData;
  readonly point: MetricData["dataPoints"][number];
}

/** What travels in one request; the points of a metric stand together. */
export type Piece = readonly Point[];

/** `suspect`: the last fold did not finish dividing it. `again`: its series were all refused before. `part`: of what was refused. */
export interface Work {
  readonly piece: Piece;
  readonly kind: "usual" | "suspect" | "again";
  readonly isPart?: true;
}

/** Series remembered one by one; of further ones, their whole metric is left out. */
const maxGuilty = 1_000;

const foldsBetweenTrials = 10;

export class MetricRefusals {
  readonly #guilty = new Set<string>();
  readonly #guiltyMetrics = new Set<string>();
  /** Series that were still being divided when the last fold's requests were used up. */
  #suspects = new Set<string>();
  #folds = 0;

  /** Series left out, each guilty metric counting as one. */
  get size(): number {
    return this.#guilty.size + this.#guiltyMetrics.size;
  }

  /** A fold in pieces of at most that many points, those first that the last fold did not finish with, and points left out. */
  plan(metrics: readonly MetricData[], maxPoints: number): { readonly work: Work[]; readonly leftOut: number } {
    const isTrial = ++this.#folds % foldsBetweenTrials === 0;
    const sorted = { suspect: [] as Point[], usual: [] as Point[], again: [] as Point[] };
    const isClean = this.size === 0 && this.#suspects.size === 0;
    for (const metric of metrics)
      for (const point of metric.dataPoints) {
        const one = { metric, point };
        sorted[isClean ? "usual" : this.#kindOf(one)].push(one);
      }
    const kinds = isTrial ? (["suspect", "usual", "again"] as const) : (["suspect", "usual"] as const);
    const work = kinds.flatMap((kind) =>
      Array.from({ length: Math.ceil(sorted[kind].length / maxPoints) }, (_, nth) => ({
        kind,
        piece: sorted[kind].slice(nth * maxPoints, (nth + 1) * maxPoints),
      })),
    );
    return { work, leftOut: isTrial ? 0 : sorted.again.length };
  }

  /** The backend has taken these points. */
  forgive(piece: Piece): void {
    for (const point of piece) {
      this.#guilty.delete(seriesOf(point));
      this.#guiltyMetrics.delete(point.metric.descriptor.name);
    }
  }

  /** These were refused alone while others were taken: their series are left out from now on. */
  convict(accused: Piece): void {
    for (const point of accused) {
      const { name } = point.metric.descriptor;
      const series = seriesOf(point);
      if (this.#guiltyMetrics.has(name)) continue;
      if (this.#guilty.size < maxGuilty) this.#guilty.add(series);
      if (this.#guilty.has(series)) continue;
      this.#guiltyMetrics.add(name);
      for (const key of this.#guilty) if (key.startsWith(`${name}\u0000`)) this.#guilty.delete(key);
    }
  }

  /** What the next fold goes on dividing; nothing ends what was remembered of it. */
  suspect(undivided: Piece): void {
    this.#suspects = new Set(undivided.map(seriesOf));
  }

  #kindOf(point: Point): Work["kind"] {
    const series = seriesOf(point);
    if (this.#guilty.has(series) || this.#guiltyMetrics.has(point.metric.descriptor.name)) return "again";
    return this.#suspects.has(series) ? "suspect" : "usual";
  }
}

/** Two parts of a piece, cut between two metrics as near to its middle as there are any, else in its middle. */
export function halvesOf({ piece, kind }: Work): readonly [Work, Work] {
  const middle = piece.length >> 1;
  const isBorder = (at: number) => at > 0 && at < piece.length && piece[at - 1]?.metric !== piece[at]?.metric;
  let off = 0;
  while (off <= middle && !isBorder(middle - off) && !isBorder(middle + off)) off++;
  const cut = off > middle ? middle : isBorder(middle - off) ? middle - off : middle + off;
  return [
    { piece: piece.slice(0, cut), kind, isPart: true },
    { piece: piece.slice(cut), kind, isPart: true },
  ];
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
