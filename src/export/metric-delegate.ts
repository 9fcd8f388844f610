/** What the SDK's metric exporter hands its points to: our sender, which tries until newer totals take their place. */
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
  }

  /** Cuts off what is under way, and takes nothing more. */
  abort(): void {
    this.#abort.abort();
    this.supersede();
  }

  export(resourceMetrics: ResourceMetrics, resultCallback: (result: ExportResult) => void): void {
    void this.#send(resourceMetrics, this.#superseded.signal).then(
      (why) => resultCallback(why === undefined ? { code: ExportResultCode.SUCCESS } : failed(why)),
      (error: unknown) => resultCallback(failed(error instanceof Error ? error.message : String(error))),
    );
  }

  /** Nothing is kept back: the reader waits for each request's result. */
  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {
    this.abort();
  }

  setMetrics(): void {}

  /** Tries until it is taken, refused or superseded; says why where it was not taken. */
  async #send(resourceMetrics: ResourceMetrics, superseded: AbortSignal): Promise<string | undefined> {
    for (let failures = 1; ; failures++) {
      if (superseded.aborted || this.#abort.signal.aborted) return "superseded";
      const answer = await this.#deps.channel.post((encoding) => encode(resourceMetrics, encoding), this.#abort.signal);
      switch (answer.kind) {
        case "taken":
          this.#outage.recover();
          if (answer.partial !== undefined) this.#refused(answer.partial.message, answer.partial.rejected);
          return undefined;
        case "rejected": {
          if (answer.status === 413 && countPoints(resourceMetrics) > 1) {
            const [left, right] = halvePoints(resourceMetrics);
            return (await this.#send(left, superseded)) ?? (await this.#send(right, superseded));
          }
          this.#refused(answer.message, countPoints(resourceMetrics));
          return answer.message;
        }
        case "retry":
          if (this.#abort.signal.aborted) return answer.why;
          this.#outage.fail(answer.why);
          await pause(backoffMs(failures, answer.retryAfterMs, this.#deps.random), superseded);
          break;
      }
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
