/**
 * The webhook receiver. A delivery goes through admission → signature header → body → signature → events → commit, and is
 * answered 200 only once all its events are on disk. Events are judged alone: an odd one is quarantined, its neighbours accepted.
 */
import { Buffer } from "node:buffer";
import type { Config } from "../../config/schema.ts";
import { orUnparsable, Refusal } from "../../errors.ts";
import { isFromBrowser, ownHostsOf } from "../../http/auth.ts";
import type { Body, Exchange, HttpAnswer } from "../../http/exchange.ts";
import { createLimiter } from "../../http/limiter.ts";
import type { Route } from "../../http/router.ts";
import type { Batch } from "../../pipeline/index.ts";
import { elementTexts, ValueBoundary } from "../../records/json.ts";
import { isObject } from "../../records/members.ts";
import { webhookRecord } from "../../records/plain.ts";
import type { RawRecord } from "../../records/types.ts";
import { type Answer, createAnswering, type ReceiverDeps, withinDeadline, withTrailingSlash } from "../answers.ts";
import { createPauses } from "../pauses.ts";
import { webhookAnswers, type WebhookAnswerName, webhookRefusals, webhookResponse } from "./protocol.ts";
import { isSigned, judgeTime, readSignature, type Signature, signatureHeader } from "./signature.ts";

export interface WebhookReceiverDeps extends ReceiverDeps {
  /** Epoch milliseconds up to which accepted deliveries may have been forgotten. */
  forgottenUntil(): number;
  /** Called with the secret that a delivery was signed with. */
  signedBy?(secret: string): void;
  readonly timeoutMs?: number;
}

export interface WebhookReceiver {
  readonly routes: readonly Route[];
  /** The next delivery is checked against these. */
  useSecrets(secret: string, secretPrevious: string): void;
  /** Refuses new deliveries; resolves when those in flight are done. Safe twice. */
  drain(): Promise<void>;
}

/** To receive a body; and once more, to check and commit it. */
export const defaultTimeoutMs = 30_000;

/** Deliveries in flight at once. */
export const maxDeliveries = 256;

/** Deliveries that are parsed and committed at once. */
const maxWorking = 64;

/** Bodies of all of them together, unless one alone may be larger. */
export const maxInflightBytes = 64 * 1024 * 1024;

/** Tailscale sends a few at once. */
export const maxEvents = 10_000;

export function createWebhookReceiver(settings: Config["webhook"], deps: WebhookReceiverDeps): WebhookReceiver {
  const { telemetry, logger, clock, pipeline, timeoutMs = defaultTimeoutMs } = deps;
  const { max_body_bytes: maxBytes, tolerance: toleranceMs, late_retry_window: lateRetryWindowMs } = settings;
  const tooLarge = `The body is larger than ${maxBytes} bytes (webhook.max_body_bytes)`;
  const limiter = createLimiter(
    { maxReading: maxDeliveries, maxBytes: Math.max(maxInflightBytes, maxBytes), maxWorking },
    (change) => telemetry.add("tailscale.webhook.inflight", change, {}),
  );
  const answering = createAnswering<WebhookAnswerName>({
    subject: "webhook delivery",
    rows: webhookAnswers,
    refusals: webhookRefusals,
    logger,
    clock,
  });
  const pauses = createPauses();
  const ownHosts = ownHostsOf(settings.public_url);
  let secrets = given(settings.secret, settings.secret_previous);
  let isDraining = false;

  async function receive(exchange: Exchange): Promise<HttpAnswer> {
    const beganMs = performance.now();
    const answer = await answering(exchange, answerTo(exchange));
    const { rejected } = webhookAnswers[answer.name];
    if (rejected !== undefined) telemetry.add("tailscale.webhook.rejected", 1, { reason: rejected });
    telemetry.record("tailscale.webhook.request.duration", (performance.now() - beganMs) / 1000, {});
    return webhookResponse(answer);
  }

  async function answerTo(exchange: Exchange): Promise<Answer<WebhookAnswerName>> {
    if (isDraining) return { name: "shuttingDown" };
    const receivedAt = clock();
    const claim = checkHeader(exchange, receivedAt);
    if (typeof claim === "string") return { name: claim };
    const admission = limiter.enter(exchange.peer);
    let isHandedOver = false;
    try {
      const body = await exchange.readBody({ maxBytes, tooLarge, timeoutMs, admission });
      const denied = checkBody(claim, body);
      if (denied !== undefined) return { name: denied };
      await admission.work(timeoutMs);
      isHandedOver = true;
      return await withinDeadline(timeoutMs, (checkDeadline) =>
        commit(body, receivedAt, checkDeadline).finally(() => admission.leave()),
      );
    } finally {
      if (!isHandedOver) admission.leave();
    }
  }

  /** Before a byte of the body is read. Without any secret every program may send and no web page; or nobody, until there is one. */
  function checkHeader(exchange: Exchange, receivedAt: number): Claim | WebhookAnswerName {
    if (secrets.length === 0) {
      if (settings.auto_configure) return "secretUnknown";
      return isFromBrowser(exchange, ownHosts) ? "crossSite" : { signature: undefined, isLate: false };
    }
    const signature = readSignature(exchange.request.headers.get(signatureHeader));
    if (signature === "missing_signature") return "missingSignature";
    if (signature === "malformed_signature") return "malformedSignature";
    const time = judgeTime(signature.seconds, receivedAt, { toleranceMs, lateRetryWindowMs });
    if (time === "stale_timestamp") return "staleTimestamp";
    if (time === "future_timestamp") return "futureTimestamp";
    return { signature, isLate: time === "late" };
  }

  /** Before the body is parsed. Secrets may have changed since its header was checked: the new ones decide. */
  function checkBody(claim: Claim, { chunks }: Body): WebhookAnswerName | undefined {
    const { signature, isLate } = claim;
    if (signature === undefined) return secrets.length === 0 ? undefined : "missingSignature";
    // Each secret is tried, whichever fits.
    const matches = secrets.map((secret) => isSigned(signature, chunks, [secret]));
    const signer = secrets[matches.indexOf(true)];
    if (signer === undefined) return "badSignature";
    deps.signedBy?.(signer);
    // Sent at the earliest that its time allows, its events must still be known, or a replay would be news.
    const earliestMs = signature.seconds * 1000 - toleranceMs;
    return isLate && earliestMs <= deps.forgottenUntil() ? "staleTimestamp" : undefined;
  }

  async function commit(body: Body, receivedAt: number, checkDeadline: () => void): Promise<Answer<WebhookAnswerName>> {
    const events = eventsOf(body);
    const batch = pipeline.open({ source: "webhook", receivedAt });
    try {
      await pauses.open().run(addAll(batch, events), checkDeadline);
      await batch.commit(body.bytes);
      return { name: "success" };
    } finally {
      batch.drop();
    }
  }

  return {
    routes: withTrailingSlash(settings.path).map((path): Route => ({ path, methods: { POST: receive } })),
    useSecrets(secret, secretPrevious) {
      secrets = given(secret, secretPrevious);
    },
    async drain() {
      isDraining = true;
      await limiter.idle();
    },
  };
}

/** The signature of a delivery's header, not yet verified against the body; absent if none is required. */
interface Claim {
  readonly signature: Signature | undefined;
  /** Signed longer ago than the tolerance. */
  readonly isLate: boolean;
}

function given(...secrets: readonly string[]): readonly string[] {
  return secrets.filter((secret) => secret !== "");
}

function* addAll(batch: Batch, events: readonly RawRecord[]): Generator<void> {
  for (const event of events) yield batch.addRecord(event);
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Members and elements of one delivery: an event has about twelve. */
const maxParts = maxEvents * 30;

const isNotSpace = (byte: number): boolean => byte > 0x20;

/**
 * The events of a body: one JSON array of them, or a single one. What no event can be is quarantined by its decoder.
 * @throws {Refusal} `unparsable` or `too_large`
 */
export function eventsOf({ chunks, bytes }: Body): RawRecord[] {
  const body = Buffer.concat(chunks, bytes);
  // Before parsing: 4 MiB of brackets or distinct keys would take seconds, and 100 MB.
  new ValueBoundary(maxParts).endOf(body, Math.max(0, body.findIndex(isNotSpace)), body.length);
  const text = orUnparsable("The body is not UTF-8", () => strictUtf8.decode(body));
  const value: unknown = orUnparsable("The body is not JSON", () => JSON.parse(text));
  if (isObject(value)) {
    if (
      typeof value["type"] !== "string" &&
      (typeof value["text"] === "string" || typeof value["content"] === "string")
    )
      throw new Refusal(
        "unparsable",
        `The body is a ${"text" in value ? "Slack" : "Discord"} message: ${formatRemedy}`,
      );
    return [webhookRecord(value, text.trim())];
  }
  if (!Array.isArray(value)) throw new Refusal("unparsable", "The body is neither an array of events nor one event");
  if (value.length > maxEvents)
    throw new Refusal("too_large", `More than ${maxEvents} events in one delivery (no setting changes this limit)`);
  const texts = elementTexts(text);
  return value.map((event: unknown, index) => webhookRecord(isObject(event) ? event : {}, texts[index] ?? ""));
}

const formatRemedy = "in Tailscale's admin console, set the webhook's destination to a generic endpoint";
