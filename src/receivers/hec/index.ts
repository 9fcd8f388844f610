/**
 * The HEC stream receiver: requests in, answers out. A request goes through credential → admission → body → a place →
 * inflate, scan → commit, and is answered 200 only when everything in it is on disk.
 */
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { Refusal, Unavailable } from "../../errors.ts";
import { createByteBudget, type Reservation } from "../../http/byte-budget.ts";
import type { Body } from "../../http/body.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { Route } from "../../http/router.ts";
import { createSlots, type Release } from "../../http/slots.ts";
import type { Clock } from "../../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../../lib/logger.ts";
import type { Pipeline } from "../../pipeline/index.ts";
import { freeBuffer } from "../../runtime/memory.ts";
import type { Compression } from "../../runtime/decompress.ts";
import { withinDeadline } from "../deadline.ts";
import { createInFlight } from "../in-flight.ts";
import { createRefusalLog } from "../refusal-log.ts";
import { createTurns } from "../turns.ts";
import { readBodyInto } from "./body.ts";
import { compressionOf, type DecompressMode } from "./encoding.ts";
import { createGate } from "./gate.ts";
import { bodyLimit, maxReading } from "./limits.ts";
import { type AnswerDetail, answerToRefusal, hecAnswers, type HecAnswerName, hecResponse } from "./protocol.ts";
import { healthPaths, ingestPaths } from "./paths.ts";

export interface HecReceiverOptions {
  /** Where records are posted to. */
  readonly path: string;
  /** Empty: no credential is asked for, and requests of browsers are refused. */
  readonly token: string;
  /** Accepted too, while the token is being replaced. */
  readonly tokenPrevious: string;
  readonly decompress: DecompressMode;
  /** On the wire and after decompression, each. 0: 64 MiB. Negative: no limit but `maxInflightBytes`. */
  readonly maxBodyBytes: number;
  /** Bodies of all requests together, on the wire and inflated. */
  readonly maxInflightBytes: number;
  /** Requests that are parsed and committed at once. */
  readonly maxConcurrentRequests: number;
  /** To receive a body and wait for a place; and once more, to parse and commit it. */
  readonly requestTimeoutMs: number;
  /** Host names under which a proxy on this machine is reached; matters without a token only. */
  readonly ownHosts?: readonly string[];
}

export type HecHealth = "ok" | "full" | "draining";

export interface HecReceiverDeps {
  readonly pipeline: Pipeline;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** What the health endpoint says. */
  health(): HecHealth;
}

export interface HecReceiver {
  readonly routes: readonly Route[];
  /** The next request is judged by these. */
  useTokens(token: string, tokenPrevious: string): void;
  /** Refuses what is new with code 23; resolves when what was in flight is done. Safe twice. */
  drain(): Promise<void>;
}

export function createHecReceiver(options: HecReceiverOptions, deps: HecReceiverDeps): HecReceiver {
  const { telemetry, logger, clock, pipeline } = deps;
  const ownHosts = options.ownHosts ?? [];
  const limit = bodyLimit(options);
  const budget = createByteBudget(options.maxInflightBytes);
  const reading = createSlots(maxReading);
  const places = createSlots(options.maxConcurrentRequests);
  const inFlight = createInFlight((change) => telemetry.add("tailscale.stream.inflight", change, {}));
  const refusals = createRefusalLog("stream request", { logger, clock });
  const quiet = createOncePerMinute<"failure">(clock);
  const turns = createTurns();
  let gate = createGate({ token: options.token, tokenPrevious: options.tokenPrevious, ownHosts });
  let isDraining = false;

  async function ingest(exchange: Exchange): Promise<Response> {
    const beganMs = performance.now();
    const { name, detail } = await answerTo(exchange).catch(answerToError);
    const answer = hecAnswers[name];
    const { rejected } = answer;
    if (rejected !== undefined) {
      telemetry.add("tailscale.stream.rejected", 1, { reason: rejected });
      refusals.add(answer, exchange.peer);
    }
    telemetry.record("tailscale.stream.request.duration", (performance.now() - beganMs) / 1000, {});
    return hecResponse(name, detail);
  }

  async function answerTo(exchange: Exchange): Promise<Answer> {
    const denied = gate(exchange);
    if (denied !== undefined) return { name: denied };
    if (isDraining) return { name: "shuttingDown" };
    const leave = reading.tryTake();
    if (leave === undefined) return { name: "busy" };
    const reservation = budget.open();
    inFlight.enter();
    const end = (): void => {
      reservation.release();
      inFlight.leave();
    };
    let job: Job;
    try {
      job = await receive(exchange, reservation);
    } catch (error) {
      end();
      throw error;
    } finally {
      leave();
    }
    return await withinDeadline(options.requestTimeoutMs, (checkDeadline) => commit(job, checkDeadline).finally(end));
  }

  /** Reads the body and waits for a place to work on it. */
  async function receive({ request, readBody }: Exchange, reservation: Reservation): Promise<Job> {
    const receivedAt = clock();
    const beganMs = performance.now();
    const compression = compressionOf(options.decompress, request.headers.get("content-encoding"));
    const body = await readBody({ ...limit, timeoutMs: options.requestTimeoutMs, reservation });
    telemetry.record("tailscale.stream.request.size", body.bytes, {});
    const release = await places.take(options.requestTimeoutMs - (performance.now() - beganMs));
    if (release === undefined) throw new Refusal("overloaded", "no place became free in time");
    return { receivedAt, body, compression, reservation, release };
  }

  async function commit(job: Job, checkDeadline: () => void): Promise<Answer> {
    const { receivedAt, body, compression, reservation, release } = job;
    const batch = pipeline.open({ source: "stream", receivedAt });
    try {
      const content = await readBodyInto(batch, body, { ...limit, compression, reservation, turns, checkDeadline });
      if (content.isEmpty) return { name: "noData" };
      checkDeadline();
      await batch.commit(content.bytes);
      body.chunks.forEach(freeBuffer);
      return { name: "success" };
    } finally {
      batch.drop();
      release();
    }
  }

  function answerToError(error: unknown): Answer {
    if (error instanceof Refusal)
      return { name: answerToRefusal(error.reason), detail: { text: error.message, valueIndex: error.valueIndex } };
    if (error instanceof Unavailable)
      return { name: "unavailable", detail: { retryAfterSeconds: error.retryAfterSeconds } };
    const said = quiet("failure");
    if (said !== undefined)
      logger.error("a stream request failed inside this program; nothing of it was taken", {
        error: error instanceof Error ? error.stack : String(error),
        alsoFailed: said.suppressed,
      });
    return { name: "internalError" };
  }

  function health(): Response {
    const state = isDraining ? "draining" : deps.health();
    switch (state) {
      case "ok":
        return hecResponse("healthy");
      case "full":
        return hecResponse("queuesFull");
      case "draining":
        return hecResponse("shuttingDown");
    }
  }

  return {
    routes: [
      ...ingestPaths(options.path).map((path): Route => ({ path, methods: { POST: ingest } })),
      ...healthPaths.map((path): Route => ({ path, methods: { GET: health } })),
    ],
    useTokens(token, tokenPrevious) {
      gate = createGate({ token, tokenPrevious, ownHosts });
    },
    async drain() {
      isDraining = true;
      await inFlight.idle();
    },
  };
}

interface Answer {
  readonly name: HecAnswerName;
  readonly detail?: AnswerDetail;
}

/** A body that has been read and has its place. */
interface Job {
  readonly receivedAt: number;
  readonly body: Body;
  readonly compression: Compression | undefined;
  readonly reservation: Reservation;
  readonly release: Release;
}
