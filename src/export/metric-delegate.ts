/**
 * What the SDK's metric exporter hands a fold to. It is sent in requests of at most 5,000 points, one after another; what
 * failed is tried again until the next fold, whose totals replace it. A `Retry-After` is honoured over folds. What the
 * backend refuses is narrowed down to the guilty series (`metric-refusals.ts`); if it takes nothing at all of a fold, nothing
 * is left out, and that is said instead.
 */
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import type { IOtlpExportDelegate } from "@opentelemetry/otlp-exporter-base";
import { JsonMetricsSerializer, ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import type { ResourceMetrics } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Answer, Encoding } from "./answer.ts";
import { backoffMs } from "./delivery/outage.ts";
import type { Random, Timer } from "./delivery/source.ts";
import { MetricHealth, type MetricReport } from "./metric-health.ts";
import {
  type Accused,
  halvesOf,
  MetricRefusals,
  nameOfSeries,
  type Piece,
  pointsIn,
  type Work,
} from "./metric-refusals.ts";
import type { Sender } from "./sender.ts";

export interface MetricDelegateDeps {
  readonly send: Sender;
  readonly encoding: Encoding;
  readonly clock: Clock;
  readonly random: Random;
  readonly timer: Timer;
  readonly logger: Logger;
  readonly onReport: (report: MetricReport) => void;
}

/** 100,000 series in one request are 21 MB, over the Collector's 20 MiB; this many are about one. */
const maxPointsPerRequest = 5_000;
/** A backend that answers 413 gets smaller requests, but not smaller than this. */
const minPointsPerRequest = 100;

/** Requests that a fold may spend on dividing what was refused. */
const narrowingRequests = 64;

const serializers = { json: JsonMetricsSerializer, protobuf: ProtobufMetricsSerializer };

type Envelope = Pick<ResourceMetrics, "resource"> & Pick<ResourceMetrics["scopeMetrics"][number], "scope">;

/** One fold on its way. */
interface Attempt {
  readonly envelope: Envelope;
  /** There is a newer one. */
  readonly superseded: AbortSignal;
  /** Requests left for dividing. */
  budget: number;
  hasTaken: boolean;
  /** What the backend said last of something that it refused. */
  refusal: string | undefined;
  /** Why a request failed in this round, otherwise than by being refused. */
  failure: string | undefined;
  accused: Accused[];
  /** Pieces that the budget did not suffice for. */
  readonly undivided: Piece[];
  /** What failed, to be tried again. */
  waiting: Work[];
}

export class MetricDelegate implements IOtlpExportDelegate<ResourceMetrics> {
  readonly #deps: MetricDelegateDeps;
  readonly #refusals = new MetricRefusals();
  readonly #health: MetricHealth;
  #running: Promise<void> = Promise.resolve();
  #superseded = new AbortController();
  /** Aborted at the stop: waits end, and nothing is tried a second time. */
  readonly #ending = new AbortController();
  /** Aborted at the deadline of the stop: the request under way ends. */
  readonly #cut = new AbortController();
  /** Until the time has come for which the backend has asked. */
  #quiet: Promise<void> | undefined;
  #cancelQuiet = (): void => undefined;
  #pointsPerRequest = maxPointsPerRequest;

  constructor(deps: MetricDelegateDeps) {
    this.#deps = deps;
    this.#health = new MetricHealth(deps);
  }

  export({ resource, scopeMetrics }: ResourceMetrics, resultCallback: (result: ExportResult) => void): void {
    this.#superseded.abort();
    this.#superseded = new AbortController();
    const { signal } = this.#superseded;
    const [first] = scopeMetrics;
    const metrics = scopeMetrics.flatMap((ofScope) => ofScope.metrics);
    const fail = (why: string) => resultCallback({ code: ExportResultCode.FAILED, error: new Error(why) });
    this.#running = this.#running
      .then(() => (first === undefined ? undefined : this.#deliver(metrics, { resource, scope: first.scope }, signal)))
      .then(
        (why) => (why === undefined ? resultCallback({ code: ExportResultCode.SUCCESS }) : fail(why)),
        (error: unknown) => fail(error instanceof Error ? error.message : String(error)),
      );
  }

  forceFlush(): Promise<void> {
    return this.#running;
  }

  shutdown(): Promise<void> {
    return this.stop(0);
  }

  setMetrics(): void {}

  /** Tries once more what is not taken yet, without waits. */
  async stop(deadlineMs: number): Promise<void> {
    this.#ending.abort();
    const cancel = this.#deps.timer(deadlineMs, () => this.#cut.abort());
    await this.#running;
    cancel();
    this.#cancelQuiet();
  }

  /** Says why if not all of it was taken. */
  async #deliver(metrics: Piece, envelope: Envelope, superseded: AbortSignal): Promise<string | undefined> {
    if (superseded.aborted) return "superseded";
    const { work, leftOut } = this.#refusals.plan(metrics, this.#pointsPerRequest);
    this.#health.count("left_out", leftOut);
    const attempt: Attempt = {
      envelope,
      superseded,
      budget: narrowingRequests,
      hasTaken: false,
      refusal: undefined,
      failure: undefined,
      accused: [],
      undivided: [],
      waiting: [...work],
    };
    for (let round = 1; attempt.waiting.length > 0; round++) {
      const isLast = this.#ending.signal.aborted;
      await this.#round(attempt);
      this.#settle(attempt);
      if (attempt.waiting.length === 0 || isLast) break;
      await this.#pause(backoffMs(round, undefined, this.#deps.random), superseded);
      if (superseded.aborted) break;
    }
    return attempt.failure ?? attempt.refusal ?? (attempt.waiting.length > 0 ? "superseded" : undefined);
  }

  /** Sends once what waits, then divides what was refused of it. */
  async #round(attempt: Attempt): Promise<void> {
    const work = attempt.waiting;
    const refused: Work[] = [];
    attempt.waiting = [];
    attempt.failure = undefined;
    for (const [place, one] of work.entries()) {
      if (one.kind === "suspect") attempt.budget--;
      const answer = await this.#post(one, attempt);
      if (answer?.kind === "refused") refused.push(one);
      if (answer !== undefined && !concernsAll(answer)) continue;
      attempt.waiting.push(...work.slice(place + 1));
      break;
    }
    for (const one of refused) await this.#divide(one, attempt);
  }

  /** Depth first, so that what is guilty is found early and its neighbours with it. */
  async #divide({ piece: whole, kind }: Work, attempt: Attempt): Promise<void> {
    const halves = (piece: Piece): Piece[] => (pointsIn(piece) > 1 ? [...halvesOf(piece)].reverse() : []);
    const stack = halves(whole);
    for (let piece = stack.pop(); piece !== undefined; piece = stack.pop()) {
      if (attempt.budget <= 0) {
        if (kind !== "again") attempt.undivided.push(piece);
        continue;
      }
      attempt.budget--;
      const answer = await this.#post({ piece, kind }, attempt);
      if (answer?.kind === "refused") stack.push(...halves(piece));
    }
  }

  /** Sends a piece and notes what became of it. Nothing: it was not sent, since there is a newer fold or the program ends. */
  async #post(work: Work, attempt: Attempt): Promise<Answer | undefined> {
    const { piece } = work;
    if (this.#quiet !== undefined) await this.#wait(this.#quiet, attempt.superseded);
    if (attempt.superseded.aborted || this.#cut.signal.aborted || this.#quiet !== undefined) {
      attempt.waiting.push(work);
      return undefined;
    }
    const { send, encoding } = this.#deps;
    const answer = await send(encode(piece, attempt.envelope, encoding), encoding, this.#cut.signal);
    switch (answer.kind) {
      case "taken": {
        const rejected = Math.min(answer.partial?.rejected ?? 0, pointsIn(piece));
        this.#health.count("delivered", pointsIn(piece) - rejected);
        if (rejected > 0) this.#health.rejected(rejected, answer.partial?.message ?? "");
        attempt.hasTaken = true;
        if (work.kind === "again") this.#refusals.forgive(piece);
        break;
      }
      case "refused":
        attempt.refusal = answer.message;
        if (answer.status === 413) this.#shrink(piece);
        if (pointsIn(piece) === 1) attempt.accused.push({ piece, message: answer.message });
        break;
      case "failed":
        attempt.failure = answer.why;
        attempt.waiting.push(work);
        if (answer.retryAfterMs !== undefined) this.#keepQuiet(answer.retryAfterMs);
        break;
    }
    return answer;
  }

  /** After a round: what was refused while other points were taken is guilty. If nothing was taken, it may be all of them. */
  #settle(attempt: Attempt): void {
    const { accused, undivided, refusal, failure, hasTaken, waiting } = attempt;
    if (hasTaken) {
      this.#refusals.convict(accused);
      this.#refusals.suspect(undivided);
      for (const { piece, message } of accused) this.#health.leftOut(nameOfSeries(piece), message);
      attempt.accused = [];
      if (waiting.length === 0) this.#health.recover();
    }
    if (!attempt.superseded.aborted) {
      if (failure !== undefined) this.#health.fail(failure);
      else if (!hasTaken && refusal !== undefined) this.#health.fail(`the backend refuses all metrics: ${refusal}`);
    }
    this.#deps.onReport(this.#health.report(this.#refusals.size));
  }

  #shrink(piece: Piece): void {
    const half = Math.ceil(pointsIn(piece) / 2);
    this.#pointsPerRequest = Math.max(minPointsPerRequest, Math.min(this.#pointsPerRequest, half));
  }

  #keepQuiet(forMs: number): void {
    const { timer, random } = this.#deps;
    const over = new Promise<void>((resolve) => {
      this.#cancelQuiet = timer(backoffMs(1, forMs, random), resolve);
    });
    this.#quiet = over.then(() => {
      this.#quiet = undefined;
    });
  }

  async #pause(delayMs: number, superseded: AbortSignal): Promise<void> {
    let cancel = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      cancel = this.#deps.timer(delayMs, resolve);
    });
    await this.#wait(over, superseded);
    cancel();
  }

  /** Waits, but no longer than until there is a newer fold or the program ends. */
  async #wait(over: Promise<void>, superseded: AbortSignal): Promise<void> {
    const ended = AbortSignal.any([superseded, this.#ending.signal]);
    if (ended.aborted) return;
    await Promise.race([over, new Promise((resolve) => ended.addEventListener("abort", resolve, { once: true }))]);
  }
}

/** A time-out, a reset or a 5xx may be due to what the request holds; any other failure would befall the next one too. */
function concernsAll(answer: Answer): boolean {
  if (answer.kind !== "failed") return false;
  return answer.cause !== "timeout" && answer.cause !== "reset" && answer.cause !== "server";
}

function encode(piece: Piece, { resource, scope }: Envelope, encoding: Encoding): Uint8Array {
  const body = serializers[encoding].serializeRequest({ resource, scopeMetrics: [{ scope, metrics: [...piece] }] });
  if (body === undefined) throw new Error("the serializer wrote nothing");
  return body;
}
