/**
 * Metrics in Prometheus' text form, for whoever asks: the last committed fold and the process's own instruments. Written in
 * steps of a few milliseconds, since it is the listening thread that writes them.
 */
import { setImmediate as afterOthers } from "node:timers/promises";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { emptyResource } from "@opentelemetry/resources";
import type { DataPoint, MetricData, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import { type MetricDefinition, metrics } from "../catalogue/metrics.ts";
import { prometheusName } from "../catalogue/definition.ts";
import { type HrTime, hrTimeOfMillis } from "../lib/clock.ts";
import { type Fold, type FoldedMetric, seriesOf } from "../ledger/index.ts";
import { metricDataOf } from "./fold-points.ts";
import type { ResourceAttributes } from "./destination.ts";
import type { Instruments } from "./telemetry.ts";

export interface PageSources {
  /** The last committed fold. */
  readonly shown: () => Fold;
  readonly instruments: Instruments;
  /** Attributes of every series; what a series has itself wins. */
  readonly common: ResourceAttributes;
}

const stepMs = 5;
/** Series that are written in one piece: a few tenths of a millisecond. */
const seriesPerPiece = 128;

/** The page. Those who ask while it is being written get the same text. */
export class PrometheusPage {
  readonly #sources: PageSources;
  #writing: Promise<string> | undefined;

  constructor(sources: PageSources) {
    this.#sources = sources;
  }

  text(): Promise<string> {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  /** Scope and resource are said by `target_info`. */
  async #write(): Promise<string> {
    const { instruments, shown, common } = this.#sources;
    const own = withFullNames(await instruments.collect());
    const ownText = new PrometheusSerializer(undefined, false, undefined, false, true).serialize(own);
    const parts = [ownText.replace(/# no registered metrics$/, "")];
    const fold = shown();
    const endTime = hrTimeOfMillis(fold.at);
    let endsAt = performance.now() + stepMs;
    for (const metric of fold.metrics) {
      let isFirst = true;
      for (const points of piecesOf(metric, common, endTime)) {
        const text = pieceText(metric.name, points);
        parts.push(isFirst ? text : withoutHeader(text));
        isFirst = false;
        if (performance.now() < endsAt) continue;
        await afterOthers();
        endsAt = performance.now() + stepMs;
      }
    }
    return parts.join("");
  }
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

/** A metric's `# HELP` and `# TYPE` stand before its first line only. */
function withoutHeader(text: string): string {
  return text.replace(/^(#.*\n)+/, "");
}

function withFullNames({ resource, scopeMetrics }: ResourceMetrics): ResourceMetrics {
  return {
    resource,
    scopeMetrics: scopeMetrics.map(({ scope, metrics: data }) => ({ scope, metrics: data.map(withFullName) })),
  };
}

/** The serializer leaves units out of names and names the unit beside, which not every reader takes. */
function withFullName(metric: MetricData): MetricData {
  const { name } = metric.descriptor;
  const definition = (metrics as Readonly<Record<string, MetricDefinition>>)[name];
  if (definition === undefined) return metric;
  return { ...metric, descriptor: { ...metric.descriptor, name: prometheusName(name, definition), unit: "" } };
}
