/**
 * Exports metrics in the worker. Each committed fold goes through the SDK's OTLP exporter to `MetricExport`, which sends it in
 * requests of at most 2,000 points, one after another. What failed is retried until the next fold, whose totals replace it; a
 * `Retry-After` is honored across folds. A request that the backend rejects (400, 413, 422) is split, between metrics first
 * and then in halves, until the offending series are found: they are left out, and tried again every tenth fold and after an
 * outage. If the backend accepts nothing at all of a fold, nothing is left out, and that is logged instead.
 */
import { type ExportResult, ExportResultCode, type InstrumentationScope } from "@opentelemetry/core";
import { AggregationTemporalityPreference, OTLPMetricExporterBase } from "@opentelemetry/exporter-metrics-otlp-http";
import type { IOtlpExportDelegate } from "@opentelemetry/otlp-exporter-base";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import type { MetricData, ResourceMetrics } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { aboutRequest, type Answer, type Encoding } from "./answer.ts";
import { exportBackoffMs, LossReport, Outage, type Random, type Timer } from "./outage.ts";
import { encodeMetrics, type FoldMessage, pointsOf } from "./fold-points.ts";
import {
  halvesOf,
  nameOfSeries,
  type Piece,
  piecesOf,
  type Point,
  foldsBetweenTrials,
  RejectedSeries,
} from "./metric-refusals.ts";
import type { ResourceAttributes } from "./destination.ts";
import { Differences } from "./differences.ts";
import type { Sender } from "./sender.ts";

export interface MetricExportDeps {
  readonly send: Sender;
  readonly encoding: Encoding;
  readonly resource: ResourceAttributes;
  readonly scope: InstrumentationScope;
  /** Attributes of every point. */
  readonly common: ResourceAttributes;
  readonly clock: Clock;
  readonly random: Random;
  readonly timer: Timer;
  readonly logger: Logger;
  readonly onReport: (report: MetricReport) => void;
  /** For the temporality `delta`: the totals that the destination has acknowledged. */
  readonly acknowledged?: Uint8Array | undefined;
  /** The acknowledged totals have changed and must be saved. */
  readonly onAcknowledged: (totals: Uint8Array) => void;
}

/** The state of the export, as plain data for the main thread. */
export interface MetricReport {
  /** `leftOut`: series that the backend rejects; a metric left out as a whole counts as one. `since`: epoch milliseconds. */
  readonly state:
    | { readonly kind: "ok"; readonly leftOut: number }
    | { readonly kind: "failing"; readonly why: string; readonly since: number };
  /** Points by outcome since the last report. */
  readonly points: Readonly<Record<"delivered" | "left_out" | "rejected", number>>;
}

/** 2,000 points are about 0.5 MB. A backend that answers 413 gets smaller requests. */
const pointsPerRequest = { most: 2_000, least: 100 };

/** Backend messages and series names are cut to this length in log lines. */
const maxShown = 300;

const leavingOut = `backend rejected metric series; leaving them out, and trying them again every ${foldsBetweenTrials} metric intervals`;

const noPoints: MetricReport["points"] = { delivered: 0, left_out: 0, rejected: 0 };

/** Requests per fold for `parts`: splitting what was rejected and trying left-out series again. */
const requestsForDividing = 64;

/** The export of one fold. */
interface Attempt {
  /** Aborted when there is a newer fold. */
  readonly superseded: AbortSignal;
  /** Pieces to send, or to send again. */
  waiting: Piece[];
  /** Pieces to send after those, within `budget`: parts of rejected ones, and left-out series to try again. */
  readonly parts: Piece[];
  /** Requests left for `parts`. */
  budget: number;
  hasDelivered?: true;
  /** The backend's message about the last request that it rejected. */
  rejection?: string;
  /** Why a request failed in this round, if not by being rejected. */
  failure?: string | undefined;
  /** Points that were rejected in a request of their own. */
  readonly alone: Point[];
}

export class MetricExport implements IOtlpExportDelegate<ResourceMetrics> {
  readonly #deps: MetricExportDeps;
  readonly #resource: Resource;
  readonly #exporter: OTLPMetricExporterBase;
  /** Set if counters are exported as differences. */
  readonly #differences: Differences | undefined;
  readonly #rejected = new RejectedSeries();
  readonly #outage: Outage;
  readonly #losses: LossReport;
  #points = { ...noPoints };
  /** The newest fold, while it waits for the request of an older one. */
  #next: FoldMessage | undefined;
  #running: Promise<void> = Promise.resolve();
  #superseded = new AbortController();
  /** Aborted by `stop`: waits end, and nothing is retried. */
  readonly #ending = new AbortController();
  /** Aborted at the deadline of `stop`: the request in flight ends. */
  readonly #cut = new AbortController();
  /** Why the newest fold, or a part of it, has not been exported yet. */
  #unsent: string | undefined;
  /** The pause that the backend has asked for. */
  #pause = { until: 0, forMs: 0 };
  #pointsPerRequest = pointsPerRequest.most;
  /** True if nothing of the last attempt was accepted, and something of it was rejected. */
  #rejectsAll = false;

  constructor(deps: MetricExportDeps) {
    this.#deps = deps;
    this.#resource = resourceFromAttributes(deps.resource);
    this.#outage = new Outage("metric export", deps.logger, deps.clock);
    this.#losses = new LossReport(deps.logger, deps.timer);
    const { acknowledged, common } = deps;
    this.#differences = acknowledged && new Differences(acknowledged, common);
    const temporalityPreference = AggregationTemporalityPreference[acknowledged ? "DELTA" : "CUMULATIVE"];
    this.#exporter = new OTLPMetricExporterBase(this, { temporalityPreference });
  }

  /** Exports a fold; what is still being retried of an older one is given up after the request in flight. */
  fold(message: FoldMessage): void {
    this.#superseded.abort();
    this.#superseded = new AbortController();
    // Only the newest fold waits, because one request may outlast many folds.
    this.#next = message;
    this.#running = this.#running.then(() => this.#exportNext());
  }

  async #exportNext(): Promise<void> {
    const message = this.#next;
    this.#next = undefined;
    if (message === undefined) return;
    const { scope, common, logger } = this.#deps;
    const temporality = this.#differences === undefined ? "cumulative" : "delta";
    const scopeMetrics = [{ scope, metrics: pointsOf(message, common, temporality) }];
    const { promise, resolve } = Promise.withResolvers<ExportResult>();
    this.#exporter.export({ resource: this.#resource, scopeMetrics }, resolve);
    const { error } = await promise;
    if (error !== undefined) logger.error("cannot export metrics", { reason: String(error) });
  }

  /** Called by the SDK's exporter with a fold. */
  export({ scopeMetrics }: ResourceMetrics, onResult: (result: ExportResult) => void): void {
    const metrics = scopeMetrics.flatMap((ofScope) => ofScope.metrics);
    this.#deliver(metrics, this.#superseded.signal).then(
      () => onResult({ code: ExportResultCode.SUCCESS }),
      (error: Error) => onResult({ code: ExportResultCode.FAILED, error }),
    );
  }

  forceFlush(): Promise<void> {
    return this.#running;
  }

  shutdown(): Promise<void> {
    return this.stop(0);
  }

  setMetrics(): void {}

  /** Tries once more what is not exported yet, without waiting, and ends by the deadline. Safe to call twice. */
  async stop(deadlineMs: number): Promise<void> {
    this.#ending.abort();
    const cancel = this.#deps.timer(deadlineMs, () => this.#cut.abort());
    await this.#running;
    cancel();
    this.#losses.flush();
    const why = this.#unsent;
    this.#unsent = undefined;
    const message = "the last export of metrics failed; the next start sends the counters";
    if (why !== undefined) this.#deps.logger.warn(message, { why });
  }

  async #deliver(metrics: readonly MetricData[], superseded: AbortSignal): Promise<void> {
    const due = this.#differences?.of(metrics) ?? metrics;
    const { points, leftOut, again } = this.#rejected.plan(due);
    const waiting = piecesOf(points, this.#pointsPerRequest);
    const parts = piecesOf(again, this.#pointsPerRequest);
    this.#points.left_out += leftOut.length;
    const attempt: Attempt = { superseded, budget: requestsForDividing, waiting, parts, alone: [] };
    for (let round = 1; ; round++) {
      const isLast = this.#ending.signal.aborted;
      await this.#round(attempt);
      this.#settle(attempt);
      if (attempt.waiting.length === 0 || isLast) return;
      await this.#wait(exportBackoffMs(round, undefined, this.#deps.random), superseded);
      if (superseded.aborted) return;
    }
  }

  /**
   * Sends the waiting pieces once, then parts of rejected ones, depth first, so that offending series are found early. If the
   * budget runs out, the next fold continues, without the series found so far.
   */
  async #round(attempt: Attempt): Promise<void> {
    const { waiting: queue, parts } = attempt;
    attempt.waiting = [];
    attempt.failure = undefined;
    const next = () => queue.shift() ?? (attempt.budget-- > 0 ? parts.pop() : undefined);
    for (let piece = next(); piece !== undefined; piece = next()) {
      const answer = await this.#post(piece, attempt);
      if (answer?.kind === "refused" && piece.length > 1) parts.push(...halvesOf(piece).toReversed());
      else if (answer?.kind === "refused") attempt.alone.push(...piece);
      else if (answer?.kind !== "accepted") {
        attempt.waiting.push(piece);
        if (answer !== undefined && aboutRequest.has(answer.cause)) continue;
        attempt.waiting.push(...queue);
        return;
      }
    }
  }

  /** Sends a piece and records the outcome. Undefined, which is not a failure: there is a newer fold, or the program ends. */
  async #post(piece: Piece, attempt: Attempt): Promise<Answer | undefined> {
    const { send, encoding, scope, clock, random } = this.#deps;
    const cut = this.#cut.signal;
    const pauseMs = Math.min(this.#pause.until - clock(), this.#pause.forMs);
    if (pauseMs > 0 && !(await this.#wait(pauseMs, attempt.superseded))) return undefined;
    this.#pause.until = 0;
    if (attempt.superseded.aborted || cut.aborted) return undefined;
    const body = encodeMetrics(piece, { resource: this.#resource, scope, encoding });
    const answer = await send(body, encoding, cut);
    switch (answer.kind) {
      case "accepted": {
        const rejected = Math.min(answer.partial?.rejected ?? 0, piece.length);
        this.#points.delivered += piece.length - rejected;
        this.#points.rejected += rejected;
        const reason = answer.partial?.message.slice(0, maxShown);
        if (rejected > 0) this.#losses.add("backend rejected metric points", "points", rejected, { reason });
        attempt.hasDelivered = true;
        this.#rejected.remove(piece);
        if (this.#differences !== undefined) this.#deps.onAcknowledged(this.#differences.accepted(piece));
        break;
      }
      case "refused":
        attempt.rejection = answer.message;
        if (answer.status !== 413) break;
        this.#pointsPerRequest = Math.max(
          pointsPerRequest.least,
          Math.min(this.#pointsPerRequest, Math.ceil(piece.length / 2)),
        );
        break;
      case "failed": {
        if (cut.aborted) return undefined;
        attempt.failure = answer.why;
        const forMs = answer.retryAfterMs === undefined ? 0 : exportBackoffMs(1, answer.retryAfterMs, random);
        if (forMs > 0) this.#pause = { until: clock() + forMs, forMs };
      }
    }
    return answer;
  }

  /** Ends a round: points that were rejected alone are left out, unless nothing was accepted, since all may be rejected then. */
  #settle(attempt: Attempt): void {
    const { alone, rejection, failure, hasDelivered, waiting } = attempt;
    if (hasDelivered) {
      for (const point of alone.splice(0)) {
        this.#rejected.add(point);
        const fields = { example: nameOfSeries(point).slice(0, maxShown), reason: rejection?.slice(0, maxShown) };
        this.#losses.add(leavingOut, "series", 1, fields);
      }
      if (waiting.length === 0) this.#outage.recover();
      // The backend may have rejected everything for a while, and these series only when that began or ended.
      if (this.#rejectsAll) this.#rejected.tryNext();
    }
    const rejectsAll =
      !hasDelivered && rejection !== undefined ? `the backend rejects all metrics: ${rejection}` : undefined;
    this.#rejectsAll = rejectsAll !== undefined || (this.#rejectsAll && !hasDelivered);
    const why = failure ?? rejectsAll;
    const isOver = attempt.superseded.aborted || this.#ending.signal.aborted;
    if (why !== undefined && !isOver) this.#outage.fail("waiting", why);
    const { trouble } = this.#outage;
    this.#unsent = why ?? (waiting.length > 0 ? trouble?.why : undefined);
    const points = this.#points;
    this.#points = { ...noPoints };
    this.#deps.onReport({
      state: trouble === undefined ? { kind: "ok", leftOut: this.#rejected.size } : { ...trouble, kind: "failing" },
      points,
    });
  }

  /** Waits until the delay is over, there is a newer fold, or the program ends. True if the whole delay has passed. */
  async #wait(delayMs: number, superseded: AbortSignal): Promise<boolean> {
    const ended = AbortSignal.any([superseded, this.#ending.signal]);
    if (ended.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const cancel = this.#deps.timer(delayMs, () => resolve(true));
    ended.addEventListener("abort", () => resolve(false), { once: true });
    return promise.finally(cancel);
  }
}
