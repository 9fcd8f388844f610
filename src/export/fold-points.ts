/**
 * Converts a committed fold into a message for the export worker, into OpenTelemetry points with exact start times, and,
 * together with the process's own instruments, into the Prometheus text of `/metrics`.
 */
import { setImmediate as afterOthers } from "node:timers/promises";
import { ValueType } from "@opentelemetry/api";
import type { InstrumentationScope } from "@opentelemetry/core";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { JsonMetricsSerializer, ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import { emptyResource, type Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type MetricData,
  type ScopeMetrics,
  type SumMetricData,
} from "@opentelemetry/sdk-metrics";
import { prometheusName } from "../catalogue/definition.ts";
import { type MetricDefinition, metrics } from "../catalogue/metrics.ts";
import type { Config } from "../config/schema.ts";
import { type HrTime, hrTimeOfMillis } from "../lib/clock.ts";
import type { Fold } from "../ledger/index.ts";
import { type FoldedMetric, seriesOf, unpackSets } from "../ledger/series.ts";
import { collectGarbage } from "../runtime/process.ts";
import type { Encoding } from "./answer.ts";
import type { ResourceAttributes } from "./destination.ts";
import { metricsOf, type Piece } from "./metric-refusals.ts";
import type { Instruments } from "./instruments.ts";

/** A fold as plain data: numbers as arrays, attribute sets packed to a tenth of their size. */
export interface FoldMessage extends Pick<Fold, "at" | "since"> {
  readonly metrics: readonly Omit<FoldedMetric, "sets">[];
  /** The process's own instruments, collected after the fold. */
  readonly instruments: readonly ScopeMetrics[];
}

/** The message to post for a fold. A few arrays are copied when it is posted; nothing is transferred. */
export function foldMessage({ at, since, metrics: folded }: Fold, instruments: readonly ScopeMetrics[]): FoldMessage {
  const plain = folded.map(({ name, packed, values, startAt, retired }) => ({
    name,
    packed,
    values,
    startAt,
    retired,
  }));
  return { at, since, metrics: plain, instruments };
}

export type Temporality = Config["otlp"]["metrics"]["temporality"];

/** A counter of the ledger, whose points are totals with the numbers of their series. */
export type LedgerMetricData = Omit<SumMetricData, "dataPoints"> &
  Pick<FoldedMetric, "retired"> & {
    /** Epoch milliseconds. */
    readonly foldedAt: number;
    readonly dataPoints: readonly (DataPoint<number> & { readonly series: number })[];
  };

export function isLedgerMetric(metric: MetricData | LedgerMetricData): metric is LedgerMetricData {
  return "retired" in metric;
}

/**
 * All metrics of a fold that have points, as totals; for `delta`, in the form that `Differences` needs.
 * `common`: attributes of every point; a series' own attributes win.
 *
 * No point is older than one before it, even in another request or the previous fold: Prometheus writes a `target_info` with
 * the oldest and newest times of each request, and rejects the request if that series would go back. So the points of 0, which
 * have the time of the previous fold, come first, and the process's own points get the time of the fold.
 */
export function pointsOf(message: FoldMessage, common: ResourceAttributes, temporality: Temporality): MetricData[] {
  const zeros: MetricData[] = [];
  const ofLedger = message.metrics.map((metric) => {
    const sets = metric.packed.flatMap(unpackSets);
    const points = ledgerPoints({ ...metric, sets }, message, common, temporality);
    zeros.push(metricDataOf(metric.name, points.zeros));
    const data = metricDataOf(metric.name, points.totals);
    const isCounter = data.dataPointType === DataPointType.SUM;
    return temporality === "delta" && isCounter ? { ...data, retired: metric.retired, foldedAt: message.at } : data;
  });
  const endTime = hrTimeOfMillis(message.at);
  const own = message.instruments.flatMap(({ metrics: data }) => data.map((metric) => ofTime(metric, endTime)));
  return [...zeros, ...ofLedger, ...own].filter((metric) => metric.dataPoints.length > 0 || isLedgerMetric(metric));
}

function ofTime(metric: MetricData, endTime: HrTime): MetricData {
  return { ...metric, dataPoints: metric.dataPoints.map((point) => ({ ...point, endTime })) } as MetricData;
}

const serializers = { json: JsonMetricsSerializer, protobuf: ProtobufMetricsSerializer };

/** The serializer leaves 3 MB of garbage per thousand points, which the collector would let grow: 48 MB after 7,000 points. */
const pointsPerCollection = 1_000;

/** Encodes a piece of a fold as one ExportMetricsServiceRequest. */
export function encodeMetrics(
  piece: Piece,
  { resource, scope, encoding }: { resource: Resource; scope: InstrumentationScope; encoding: Encoding },
): Uint8Array {
  const request = { resource, scopeMetrics: [{ scope, metrics: metricsOf(piece) }] };
  const body = serializers[encoding].serializeRequest(request);
  if (body === undefined) throw new Error("the serializer wrote nothing");
  if (piece.length >= pointsPerCollection) collectGarbage();
  return body;
}

export interface PageSources {
  /** The last committed fold. */
  readonly shown: () => Fold;
  readonly instruments: Instruments;
  /** Attributes of every series; a series' own attributes win. */
  readonly common: ResourceAttributes;
}

const stepMs = 5;
/** Series written in one piece, which takes a few tenths of a millisecond. */
const seriesPerPiece = 128;

/**
 * Creates the writer of the `/metrics` page: the last committed fold and the process's own instruments. The page is written in
 * steps of a few milliseconds, because the listening thread writes it; concurrent requests get the same text.
 */
export function prometheusPage({ instruments, shown, common }: PageSources): () => Promise<string> {
  let writing: Promise<string> | undefined;

  /** Scope and resource are in `target_info`. */
  async function write(): Promise<string> {
    const { resource, scopeMetrics } = await instruments.collect();
    const own = scopeMetrics.map(({ scope, metrics: data }) => ({ scope, metrics: data.map(withFullName) }));
    const serializer = new PrometheusSerializer(undefined, false, undefined, false, true);
    const parts = [serializer.serialize({ resource, scopeMetrics: own }).replace(/# no registered metrics$/, "")];
    const fold = shown();
    const endTime = hrTimeOfMillis(fold.at);
    let endsAt = performance.now() + stepMs;
    for (const metric of fold.metrics) {
      let isFirst = true;
      for (const points of piecesOf(metric, common, endTime)) {
        const text = pieceText(metric.name, points);
        // `# HELP` and `# TYPE` appear only before a metric's first line.
        parts.push(isFirst ? text : text.replace(/^(#.*\n)+/, ""));
        isFirst = false;
        if (performance.now() < endsAt) continue;
        await afterOthers();
        endsAt = performance.now() + stepMs;
      }
    }
    return parts.join("");
  }

  return () => (writing ??= write().finally(() => (writing = undefined)));
}

/**
 * Merges the `/metrics` pages of several tailnets: the series of a metric are grouped under one `# HELP` and `# TYPE`, and a
 * line that several pages have appears once. Runs in steps, like the writing of the pages.
 */
export async function mergePages(pages: readonly string[]): Promise<string> {
  const metricLines = new Map<string, Set<string>>();
  let lines = new Set<string>();
  let endsAt = performance.now() + stepMs;
  for (const page of pages) {
    for (const line of page.split("\n")) {
      const [, name] = /^# (?:HELP|TYPE) (\S+)/.exec(line) ?? [];
      if (name !== undefined) metricLines.set(name, (lines = metricLines.get(name) ?? new Set()));
      if (line !== "") lines.add(line);
      if (performance.now() < endsAt) continue;
      await afterOthers();
      endsAt = performance.now() + stepMs;
    }
  }
  return `${[...metricLines.values()].flatMap((of) => [...of]).join("\n")}\n`;
}

/** Maximum time from a point of 0 to its fold: after a long pause the previous fold is older than what a backend accepts. */
const maxZeroLeadMs = 60_000;

/**
 * A series that begins with this fold, at `since`, gets a point of 0 before its first one. Prometheus and VictoriaMetrics
 * ignore start times: without it, `increase()` and `rate()` miss the first value of a series, and the gain of a series that
 * returns with more than it had when it left (tried with both). Differences do not need it.
 */
function ledgerPoints(
  metric: FoldedMetric,
  { at, since }: FoldMessage,
  common: ResourceAttributes,
  temporality: Temporality,
) {
  const beginsWithZero = metrics[metric.name].kind === "counter" && temporality === "cumulative";
  const endTime = hrTimeOfMillis(at);
  const zeroTime = hrTimeOfMillis(Math.max(since ?? 0, at - maxZeroLeadMs));
  const startTimes = new Map<number, HrTime>();
  const zeros: LedgerMetricData["dataPoints"][number][] = [];
  const totals: LedgerMetricData["dataPoints"][number][] = [];
  for (const [series, value] of metric.values.entries()) {
    const own = metric.sets[series];
    if (own === undefined || Number.isNaN(value)) continue;
    const startAt = metric.startAt[series] as number;
    const attributes = { ...common, ...own };
    let startTime = startTimes.get(startAt);
    if (startTime === undefined) startTimes.set(startAt, (startTime = hrTimeOfMillis(startAt)));
    if (startAt === since && beginsWithZero) zeros.push({ attributes, value: 0, startTime, endTime: zeroTime, series });
    totals.push({ attributes, value, startTime, endTime, series });
  }
  return { zeros, totals };
}

/** A metric of the ledger with these points: a cumulative sum or a gauge, as the catalogue says. */
function metricDataOf(name: FoldedMetric["name"], dataPoints: DataPoint<number>[]): MetricData {
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

function* piecesOf(metric: FoldedMetric, common: ResourceAttributes, endTime: HrTime): Generator<DataPoint<number>[]> {
  let points: DataPoint<number>[] = [];
  for (const { attributes, value } of seriesOf(metric)) {
    points.push({ attributes: { ...common, ...attributes }, value, startTime: endTime, endTime });
    if (points.length < seriesPerPiece) continue;
    yield points;
    points = [];
  }
  if (points.length > 0) yield points;
}

function pieceText(name: FoldedMetric["name"], points: DataPoint<number>[]): string {
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const scopeMetrics = [{ scope: { name: "" }, metrics: [withFullName(metricDataOf(name, points))] }];
  return serializer.serialize({ resource: emptyResource(), scopeMetrics });
}

/** The serializer writes units separately instead of in names, which not every reader understands. */
function withFullName(metric: MetricData): MetricData {
  const { name } = metric.descriptor;
  const definition = (metrics as Readonly<Record<string, MetricDefinition>>)[name];
  if (definition === undefined) return metric;
  return { ...metric, descriptor: { ...metric.descriptor, name: prometheusName(name, definition), unit: "" } };
}
