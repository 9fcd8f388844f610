/**
 * Series that the backend refuses (400, 413, 422). A refused request is divided, by metrics first and then by halves, until
 * the guilty points are found; their series are remembered and left out, and tried again together every tenth fold. What
 * could not be divided within a fold's requests is gone on with in the next.
 */
import type { MetricData, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import { attributesKey } from "../catalogue/increments.ts";

/** What travels in one request. */
export type Piece = readonly MetricData[];

/** A piece to be sent. `suspect`: the last fold did not finish dividing it. `again`: its series were all refused before. */
export interface Work {
  readonly piece: Piece;
  readonly kind: "usual" | "suspect" | "again";
}

/** A point that was refused alone. */
export interface Accused {
  readonly piece: Piece;
  readonly message: string;
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
  plan(metrics: Piece, maxPoints: number): { readonly work: readonly Work[]; readonly leftOut: number } {
    const isTrial = ++this.#folds % foldsBetweenTrials === 0;
    const sorted = { suspect: [] as MetricData[], usual: [] as MetricData[], again: [] as MetricData[] };
    if (this.size === 0 && this.#suspects.size === 0) sorted.usual.push(...metrics);
    else for (const metric of metrics) this.#sort(metric, sorted);
    const { suspect, usual, again } = sorted;
    const work = [...workOf(suspect, "suspect", maxPoints), ...workOf(usual, "usual", maxPoints)];
    return isTrial
      ? { work: [...work, ...workOf(again, "again", maxPoints)], leftOut: 0 }
      : { work, leftOut: pointsIn(again) };
  }

  /** The backend has taken these points. */
  forgive(piece: Piece): void {
    for (const { name, key } of seriesIn(piece)) {
      this.#guilty.delete(key);
      this.#guiltyMetrics.delete(name);
    }
  }

  /** These were refused alone while others were taken: their series are left out from now on. */
  convict(accused: readonly Accused[]): void {
    for (const { piece } of accused) {
      for (const { name, key } of seriesIn(piece)) {
        if (this.#guiltyMetrics.has(name)) continue;
        if (this.#guilty.size < maxGuilty || this.#guilty.has(key)) this.#guilty.add(key);
        else this.#convictMetric(name);
      }
    }
  }

  /** What the next fold goes on dividing; nothing ends what was remembered of it. */
  suspect(pieces: readonly Piece[]): void {
    this.#suspects = new Set(pieces.flatMap((piece) => Array.from(seriesIn(piece), ({ key }) => key)));
  }

  #convictMetric(name: string): void {
    this.#guiltyMetrics.add(name);
    for (const key of this.#guilty) if (key.startsWith(`${name}\u0000`)) this.#guilty.delete(key);
  }

  #sort(metric: MetricData, into: Record<Work["kind"], MetricData[]>): void {
    const { name } = metric.descriptor;
    const points: Record<Work["kind"], Points> = { usual: [], suspect: [], again: [] };
    for (const point of metric.dataPoints as Points) {
      const key = seriesKey(name, point);
      if (this.#guiltyMetrics.has(name) || this.#guilty.has(key)) points.again.push(point);
      else points[this.#suspects.has(key) ? "suspect" : "usual"].push(point);
    }
    for (const kind of ["usual", "suspect", "again"] as const)
      if (points[kind].length > 0) into[kind].push(withPoints(metric, points[kind]));
  }
}

export function pointsIn(piece: Piece): number {
  let points = 0;
  for (const { dataPoints } of piece) points += dataPoints.length;
  return points;
}

/** Two pieces of about half of the points each: between two metrics if it has several, else between two points. */
export function halvesOf(piece: Piece): readonly [Piece, Piece] {
  const half = pointsIn(piece) / 2;
  if (piece.length > 1) {
    let [metrics, points] = [0, 0];
    while (metrics < piece.length - 1 && (metrics === 0 || points < half))
      points += (piece[metrics++] as MetricData).dataPoints.length;
    return [piece.slice(0, metrics), piece.slice(metrics)];
  }
  const [metric] = piece as readonly [MetricData];
  const points = metric.dataPoints as Points;
  return [[withPoints(metric, points.slice(0, half))], [withPoints(metric, points.slice(half))]];
}

/** One series of a piece in words, for a log line. */
export function nameOfSeries(piece: Piece): string {
  const [metric] = piece;
  const [point] = metric?.dataPoints ?? [];
  return `${metric?.descriptor.name ?? ""} ${JSON.stringify(point?.attributes ?? {})}`;
}

type Points = ResourceMetrics["scopeMetrics"][number]["metrics"][number]["dataPoints"][number][];

function seriesKey(name: string, { attributes }: Points[number]): string {
  return `${name}\u0000${attributesKey(attributes as Readonly<Record<string, string>>)}`;
}

function* seriesIn(piece: Piece): Generator<{ readonly name: string; readonly key: string }> {
  for (const { descriptor, dataPoints } of piece) {
    for (const point of dataPoints as Points) yield { name: descriptor.name, key: seriesKey(descriptor.name, point) };
  }
}

function withPoints(metric: MetricData, dataPoints: Points): MetricData {
  return { ...metric, dataPoints } as MetricData;
}

/** In pieces of at most that many points, in order. */
function workOf(piece: Piece, kind: Work["kind"], maxPoints: number): Work[] {
  const pieces: MetricData[][] = [];
  let room = 0;
  for (const metric of piece) {
    const points = metric.dataPoints as Points;
    for (let from = 0; from < points.length;) {
      if (room === 0) {
        pieces.push([]);
        room = maxPoints;
      }
      const part = points.slice(from, from + room);
      pieces.at(-1)?.push(withPoints(metric, part));
      from += part.length;
      room -= part.length;
    }
  }
  return pieces.map((one) => ({ piece: one, kind }));
}

/** Requests that a fold may spend on dividing what was refused. */
const narrowingRequests = 64;

/** One fold on its way. */
export class Attempt {
  /** There is a newer one. */
  readonly superseded: AbortSignal;
  /** What is to be sent, or sent again. */
  waiting: Work[];
  /** Requests left for dividing. */
  budget = narrowingRequests;
  hasTaken = false;
  /** What the backend said last of something that it refused. */
  refusal: string | undefined;
  /** Why a request failed in this round, otherwise than by being refused. */
  failure: string | undefined;
  accused: Accused[] = [];
  /** Pieces that the budget did not suffice for. */
  readonly undivided: Piece[] = [];

  constructor(work: readonly Work[], superseded: AbortSignal) {
    this.waiting = [...work];
    this.superseded = superseded;
  }
}
