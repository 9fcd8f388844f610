/** What the SDK's metric exporter hands its points to: our sender, which tries each request until newer totals take its place, and none behind another. */
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import type { IOtlpExportDelegate } from "@opentelemetry/otlp-exporter-base";
import { JsonMetricsSerializer, ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import type { ResourceMetrics } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Encoding } from "./answer.ts";
import { backoffMs, Outage, type Random } from "./backoff.ts";
import { countPoints, halvePoints } from "./metric-points.ts";
import type { Channel } from "./protocol.ts";

export interface MetricDelegateDeps {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const refusalIntervalMs = 300_000;

const serializers = { json: JsonMetricsSerializer, protobuf: ProtobufMetricsSerializer };

export class MetricDelegate implements IOtlpExportDelegate<ResourceMetrics> {
  readonly #deps: MetricDelegateDeps;
  readonly #outage: Outage;
  readonly #abort = new AbortController();
  #refusedPoints = 0;
  #refusalSaidAt = Number.NEGATIVE_INFINITY;
  /** Ends the waits of requests whose totals are no longer the newest. */
  #superseded = new AbortController();
  /** Requests of the newest totals that wait for another try. */
  #waiting: ResourceMetrics[] = [];
  #isLast = false;
  /** The backend has taken any of the newest totals. */
  #hasTaken = false;
  /** The longest wait that the backend has asked for since the last try. */
  #retryAfterMs: number | undefined;

  constructor(deps: MetricDelegateDeps) {
    this.#deps = deps;
    this.#outage = new Outage("metrics", deps);
  }

  get outage(): Outage {
    return this.#outage;
  }

  /** What is being tried is not tried again: newer totals are on their way. */
  supersede(): void {
    this.#superseded.abort();
    this.#superseded = new AbortController();
    this.#waiting = [];
    this.#hasTaken = false;
  }

  /** What is exported from here on is tried once: the program ends, and the next one carries the same totals or higher ones. */
  tryOnce(): void {
    this.#isLast = true;
  }

  /** Cuts off what is under way, and takes nothing more. */
  abort(): void {
    this.#abort.abort();
    this.supersede();
  }

  export(resourceMetrics: ResourceMetrics, resultCallback: (result: ExportResult) => void): void {
    void this.#try(resourceMetrics, this.#superseded.signal).then(
      (why) => resultCallback(why === undefined ? { code: ExportResultCode.SUCCESS } : failed(why)),
      (error: unknown) => resultCallback(failed(error instanceof Error ? error.message : String(error))),
    );
  }

  /** Once all requests of a fold were tried: tries again those that wait, in rounds, until none does or newer totals come. */
  async forceFlush(): Promise<void> {
    const superseded = this.#superseded.signal;
    for (let round = 1; this.#waiting.length > 0 && !this.#isLast; round++) {
      await pause(backoffMs(round, this.#retryAfterMs, this.#deps.random), superseded);
      if (superseded.aborted) return;
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#retryAfterMs = undefined;
      for (const resourceMetrics of waiting) await this.#try(resourceMetrics, superseded);
    }
    if (this.#hasTaken) this.#outage.recover();
  }

  async shutdown(): Promise<void> {
    this.abort();
  }

  setMetrics(): void {}

  /** Sends once. Says why where it was not taken and will not be; what may be taken later waits. */
  async #try(resourceMetrics: ResourceMetrics, superseded: AbortSignal): Promise<string | undefined> {
    if (superseded.aborted || this.#abort.signal.aborted) return "superseded";
    const answer = await this.#deps.channel.post((encoding) => encode(resourceMetrics, encoding), this.#abort.signal);
    switch (answer.kind) {
      case "taken":
        this.#hasTaken = true;
        if (answer.partial !== undefined) this.#refused(answer.partial.message, answer.partial.rejected);
        return undefined;
      case "rejected": {
        if (answer.status === 413 && countPoints(resourceMetrics) > 1) {
          const [left, right] = halvePoints(resourceMetrics);
          const why = await this.#try(left, superseded);
          return (await this.#try(right, superseded)) ?? why;
        }
        this.#refused(answer.message, countPoints(resourceMetrics));
        return answer.message;
      }
      case "retry":
        if (this.#abort.signal.aborted || superseded.aborted) return answer.why;
        this.#outage.fail(answer.why);
        this.#waiting.push(resourceMetrics);
        this.#retryAfterMs = Math.max(answer.retryAfterMs ?? 0, this.#retryAfterMs ?? 0) || undefined;
        return undefined;
    }
  }

  /** Points that the backend does not keep are not sent again: the next fold has them. Said at most every five minutes. */
  #refused(message: string, points: number): void {
    const now = this.#deps.clock();
    this.#refusedPoints += points;
    if (now - this.#refusalSaidAt < refusalIntervalMs) return;
    this.#deps.logger.warn("the backend refuses metrics", { message, points: this.#refusedPoints });
    this.#refusalSaidAt = now;
    this.#refusedPoints = 0;
  }
}

function encode(resourceMetrics: ResourceMetrics, encoding: Encoding): Uint8Array {
  const body = serializers[encoding].serializeRequest(resourceMetrics);
  if (body === undefined) throw new Error("the serializer wrote nothing");
  return body;
}

function failed(why: string): ExportResult {
  return { code: ExportResultCode.FAILED, error: new Error(why) };
}

function pause(delayMs: number, ended: AbortSignal): Promise<void> {
  if (ended.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      ended.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, delayMs);
    ended.addEventListener("abort", end);
  });
}
