/**
 * The webhook receiver: deliveries in, answers out. A delivery goes through admission → sender → body → signature → events →
 * commit, and is answered 200 only when all its events are on disk.
 */
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { Refusal, Unavailable } from "../../errors.ts";
import type { Body } from "../../http/body.ts";
import { createByteBudget, type Reservation } from "../../http/byte-budget.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { Route } from "../../http/router.ts";
import { createSlots } from "../../http/slots.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Pipeline } from "../../pipeline/index.ts";
import { withinDeadline } from "../deadline.ts";
import { createInFlight } from "../in-flight.ts";
import { createRefusalLog } from "../refusal-log.ts";
import { createTurns } from "../turns.ts";
import { eventsOf } from "./events.ts";
import { createGate } from "./gate.ts";
import {
  type AnswerDetail,
  answerToRefusal,
  webhookAnswers,
  type WebhookAnswerName,
  webhookResponse,
} from "./protocol.ts";

export interface WebhookReceiverOptions {
  /** Where deliveries are posted to. */
  readonly path: string;
  /** Empty, with `secretPrevious`: no signature is asked for, and requests of browsers are refused. */
  readonly secret: string;
  /** Accepted too, while the secret is being rotated. */
  readonly secretPrevious: string;
  /** Without a secret, deliveries are refused until there is one. */
  readonly awaitsSecret?: boolean;
  /** How far the time of a signature may be from ours, either way. 0: it may be any. */
  readonly toleranceMs: number;
  /** How much older than that a delivery may be, if its events are news. */
  readonly lateRetryWindowMs: number;
  readonly maxBodyBytes: number;
  /** To receive a body; and once more, to check and commit it. */
  readonly requestTimeoutMs?: number;
  /** Host names under which a proxy on this machine is reached; matters without a secret only. */
  readonly ownHosts?: readonly string[];
}

export interface WebhookReceiverDeps {
  readonly pipeline: Pipeline;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Epoch milliseconds up to which it is no longer known which deliveries were taken. */
  forgottenUntil(): number;
  /** Told the secret that a delivery was signed with. */
  signedBy?(secret: string): void;
}

export interface WebhookReceiver {
  readonly routes: readonly Route[];
  /** The next delivery is judged by these. */
  useSecrets(secret: string, secretPrevious: string): void;
  /** Refuses what is new; resolves when what was in flight is done. Safe twice. */
  drain(): Promise<void>;
}

export const defaultRequestTimeoutMs = 30_000;

/** Deliveries in flight at once. */
export const maxDeliveries = 256;

/** Bodies of all of them together, unless one alone may be larger. */
export const maxInflightBytes = 64 * 1024 * 1024;

/** Events that are worked on without a pause, some 10 ms. */
const eventsAtOnce = 500;

export function createWebhookReceiver(options: WebhookReceiverOptions, deps: WebhookReceiverDeps): WebhookReceiver {
  const { telemetry, logger, clock, pipeline, forgottenUntil } = deps;
  const { maxBodyBytes, requestTimeoutMs = defaultRequestTimeoutMs, ownHosts = [], awaitsSecret = false } = options;
  const signedBy = (secret: string): void => deps.signedBy?.(secret);
  const tooLarge = `The body is larger than ${maxBodyBytes} bytes (webhook.max_body_bytes)`;
  const budget = createByteBudget(Math.max(maxInflightBytes, maxBodyBytes));
  const deliveries = createSlots(maxDeliveries);
  const inFlight = createInFlight((change) => telemetry.add("tailscale.webhook.inflight", change, {}));
  const refusals = createRefusalLog("webhook delivery", { logger, clock });
  const turns = createTurns();
  let gate = createGate({ ...options, awaitsSecret, ownHosts, forgottenUntil, signedBy });
  let isDraining = false;

  async function receive(exchange: Exchange): Promise<Response> {
    const beganMs = performance.now();
    const { name, detail } = await answerTo(exchange).catch(answerToError);
    const answer = webhookAnswers[name];
    if (answer.rejected !== undefined) {
      telemetry.add("tailscale.webhook.rejected", 1, { reason: answer.rejected });
      refusals.add(answer, exchange.peer);
    }
    telemetry.record("tailscale.webhook.request.duration", (performance.now() - beganMs) / 1000, {});
    return webhookResponse(name, detail);
  }

  async function answerTo(exchange: Exchange): Promise<Answer> {
    if (isDraining) return { name: "shuttingDown" };
    const leave = deliveries.tryTake();
    if (leave === undefined) return { name: "busy" };
    const reservation = budget.open();
    inFlight.enter();
    const end = (): void => {
      reservation.release();
      inFlight.leave();
      leave();
    };
    let delivery: Delivery | Answer;
    try {
      delivery = await admit(exchange, reservation);
    } catch (error) {
      end();
      throw error;
    }
    if ("name" in delivery) {
      end();
      return delivery;
    }
    const { receivedAt, body } = delivery;
    return await withinDeadline(requestTimeoutMs, (checkDeadline) =>
      commit(body, receivedAt, checkDeadline).finally(end),
    );
  }

  /** The body of one who may come in, or the answer to one who may not. */
  async function admit(exchange: Exchange, reservation: Reservation): Promise<Delivery | Answer> {
    const receivedAt = clock();
    const deniedSender = gate.judgeSender(exchange);
    if (deniedSender !== undefined) return { name: deniedSender };
    const body = await exchange.readBody({
      maxBytes: maxBodyBytes,
      tooLarge,
      timeoutMs: requestTimeoutMs,
      reservation,
    });
    const deniedBody = gate.judgeBody(exchange.request, body, receivedAt);
    return deniedBody === undefined ? { receivedAt, body } : { name: deniedBody };
  }

  async function commit(body: Body, receivedAt: number, checkDeadline: () => void): Promise<Answer> {
    const events = eventsOf(body);
    const batch = pipeline.open({ source: "webhook", receivedAt });
    try {
      for (let at = 0; at < events.length; at += eventsAtOnce) {
        if (at > 0) await turns.next();
        checkDeadline();
        for (const event of events.slice(at, at + eventsAtOnce)) batch.addRecord(event);
      }
      await batch.commit(body.bytes);
      return { name: "success" };
    } finally {
      batch.drop();
    }
  }

  function answerToError(error: unknown): Answer {
    if (error instanceof Refusal) return { name: answerToRefusal(error.reason), detail: { text: error.message } };
    if (error instanceof Unavailable)
      return { name: "unavailable", detail: { retryAfterSeconds: error.retryAfterSeconds } };
    logger.error("a webhook delivery failed inside this program; nothing of it was taken", {
      error: error instanceof Error ? error.stack : String(error),
    });
    return { name: "internalError" };
  }

  return {
    routes: pathsOf(options.path).map((path): Route => ({ path, methods: { POST: receive } })),
    useSecrets(secret, secretPrevious) {
      gate = createGate({ ...options, secret, secretPrevious, awaitsSecret, ownHosts, forgottenUntil, signedBy });
    },
    async drain() {
      isDraining = true;
      await inFlight.idle();
    },
  };
}

interface Answer {
  readonly name: WebhookAnswerName;
  readonly detail?: AnswerDetail;
}

/** A body that may come in. */
interface Delivery {
  readonly receivedAt: number;
  readonly body: Body;
}

/** With and without a slash at the end. */
function pathsOf(path: string): readonly string[] {
  const bare = path.replace(/\/+$/, "");
  return bare === "" ? ["/"] : [bare, `${bare}/`];
}
