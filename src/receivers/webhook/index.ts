/**
 * The webhook receiver: verifies deliveries and commits their events as a batch. Each event is checked on its own: an invalid one
 * is quarantined, and the others are accepted.
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Config } from "../../config/schema.ts";
import { orUnparsable, Refusal } from "../../errors.ts";
import { isFromBrowser } from "../../http/auth.ts";
import type { Body, Exchange } from "../../http/exchange.ts";
import type { Route } from "../../http/router.ts";
import type { Batch } from "../../pipeline/index.ts";
import { elementsOf, ValueBoundary, valueLimits } from "../../records/json.ts";
import { isObject } from "../../records/members.ts";
import { webhookRecord } from "../../records/plain.ts";
import { withTrailingSlash } from "../answers.ts";
import { createIntake, type Job, type ReceiverDeps } from "../intake.ts";
import { createTailnets, type Known } from "../tailnets.ts";
import { type RejectedReason, webhookAnswers, type WebhookAnswerName } from "./protocol.ts";
import { isSigned, judgeTime, readSignature, type Signature, signatureHeader } from "./signature.ts";

export interface WebhookReceiverDeps extends ReceiverDeps {
  /** Epoch milliseconds up to which the dedup keys of accepted deliveries may have been dropped. */
  forgottenUntil(): number;
  /** Called with the secret that a delivery was signed with. */
  signedBy?(secret: string): void;
  readonly timeoutMs?: number;
}

/** A tailnet with webhooks. */
export interface WebhookTailnet extends Known, Pick<WebhookReceiverDeps, "forgottenUntil" | "signedBy"> {
  readonly settings: Pick<Config["webhook"], "secret" | "secret_previous" | "auto_configure">;
}

export interface WebhookReceiver {
  readonly routes: readonly Route[];
  /** Verifies deliveries against these secrets from now on. `tailnet`: its name. */
  useSecrets(secret: string, secretPrevious: string, tailnet?: string): void;
}

/** Time limit for receiving a body, and again for committing it. */
export const defaultTimeoutMs = 30_000;

/** Maximum number of deliveries whose body is being read. */
export const maxDeliveries = 256;

/** Maximum number of deliveries being parsed and committed. */
export const maxWorking = 64;

/** Maximum total size of bodies in memory, unless `max_body_bytes` is larger. */
export const maxInflightBytes = 64 * 1024 * 1024;

/** Maximum number of events per delivery; Tailscale sends a few. */
export const maxEvents = 10_000;

/** Maximum number of members and elements per delivery; an event has about twelve. */
export const maxParts = maxEvents * 30;

/** The signature header of a delivery, not yet verified against the body; `undefined` if none is required. */
interface Claim {
  readonly exchange: Exchange;
  readonly signature: Signature | undefined;
  /** Signed longer ago than the tolerance. */
  readonly isLate: boolean;
}

/** `hooked`: the tailnets, if there are several. `deps.telemetry` and `deps.logger` are for requests of none of them. */
export function createWebhookReceiver(
  settings: Config["webhook"],
  deps: WebhookReceiverDeps,
  hooked: readonly WebhookTailnet[] = [{ ...deps, name: "", settings }],
): WebhookReceiver {
  const { telemetry, timeoutMs = defaultTimeoutMs } = deps;
  const { max_body_bytes: maxBytes } = settings;
  const paths = withTrailingSlash(settings.path);
  const tailnets = createTailnets(hooked, paths);
  const secrets = new Map(
    hooked.map(({ name, settings: own }) => [name, given(own.secret, own.secret_previous)] as const),
  );
  const secretsOf = ({ name }: WebhookTailnet): readonly string[] => secrets.get(name) ?? [];
  /** Compared if a path names no known tailnet, so that the answer takes as long. */
  const nobodysSecret = randomBytes(32).toString("hex");

  const receive = createIntake<WebhookAnswerName, RejectedReason, Claim>(
    {
      signal: "webhook",
      subject: "webhook delivery",
      rows: webhookAnswers,
      limits: { maxReading: maxDeliveries, maxBytes: Math.max(maxInflightBytes, maxBytes), maxWorking },
      maxBytes,
      tooLarge: `The body is larger than ${maxBytes} bytes (webhook.max_body_bytes)`,
      timeoutMs,
      check,
      commit,
      tailnetOf: tailnets.of,
      rejected: (reason, exchange) =>
        (tailnets.of(exchange)?.telemetry ?? telemetry).add("tailscale.webhook.rejected", 1, { reason }),
    },
    deps,
  );

  /** The only candidate tailnet, if it has no secret. */
  function withoutSecret(exchange: Exchange): WebhookTailnet | undefined {
    const [only, ...others] = tailnets.candidates(exchange);
    return only !== undefined && others.length === 0 && secretsOf(only).length === 0 ? only : undefined;
  }

  /** Without a secret any program may send, but no web page; with `auto_configure` nobody may until it is known. */
  function check(exchange: Exchange, receivedAt: number): Claim | WebhookAnswerName {
    const { headers } = exchange.request;
    const encoding = headers.get("content-encoding") ?? "identity";
    const open = withoutSecret(exchange);
    if (open !== undefined) {
      if (open.settings.auto_configure && open.name === "") return "secretUnknown";
      if (!open.settings.auto_configure) {
        if (isFromBrowser(exchange, settings.public_url)) return "crossSite";
        return encoding === "identity" ? { exchange, signature: undefined, isLate: false } : "unsupportedEncoding";
      }
      // Among several tailnets, one whose secret is not known yet is refused like an unknown tailnet.
    }
    const signature = readSignature(headers.get(signatureHeader));
    if (typeof signature === "string") return signature;
    const time = judgeTime(signature.seconds, receivedAt, settings);
    if (time === "staleTimestamp" || time === "futureTimestamp") return time;
    return encoding === "identity" ? { exchange, signature, isLate: time === "late" } : "unsupportedEncoding";
  }

  /** The tailnet that signed the delivery. If secrets have changed since the header was checked, the new ones count. */
  async function verify({ claim, body, turns }: Job<Claim>): Promise<WebhookTailnet | WebhookAnswerName> {
    const { exchange, signature, isLate } = claim;
    if (signature === undefined) return withoutSecret(exchange) ?? "missingSignature";
    const tried = tailnets
      .candidates(exchange)
      .flatMap((tailnet) => secretsOf(tailnet).map((secret) => ({ tailnet, secret, isSigner: false })));
    // Every secret is tried, even after a match; other requests may run in between.
    function* tryAll(): Generator<void> {
      if (tried.length === 0) isSigned(signature as Signature, body.chunks, nobodysSecret);
      for (const one of tried) {
        one.isSigner = isSigned(signature as Signature, body.chunks, one.secret);
        yield;
      }
    }
    await turns.run(tryAll());
    const signer = tried.find(({ isSigner }) => isSigner);
    if (signer === undefined) return "badSignature";
    const { tailnet, secret } = signer;
    tailnet.signedBy?.(secret);
    // A delivery accepted at the earliest time its signature allows must still have its dedup keys, or a replay would go
    // unnoticed.
    const earliestMs = signature.seconds * 1000 - settings.tolerance;
    return isLate && earliestMs <= tailnet.forgottenUntil() ? "staleTimestamp" : tailnet;
  }

  async function commit(job: Job<Claim>): Promise<WebhookAnswerName> {
    const { claim, body, receivedAt, turns } = job;
    const tailnet = await verify(job);
    if (typeof tailnet === "string") return tailnet;
    tailnets.decide(claim.exchange, tailnet);
    const batch = tailnet.pipeline.open({ source: "webhook", receivedAt });
    try {
      await turns.run(addEvents(batch, body));
      await batch.commit(body.bytes);
      return "success";
    } finally {
      batch.drop();
    }
  }

  return {
    routes: paths.flatMap((path) => tailnets.routes(path, { POST: receive })),
    useSecrets(secret, secretPrevious, tailnet = "") {
      secrets.set(tailnet, given(secret, secretPrevious));
    },
  };
}

function given(...secrets: readonly string[]): readonly string[] {
  return secrets.filter((secret) => secret !== "");
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

const isNotSpace = (byte: number): boolean => byte > 0x20;

/**
 * Adds the events of a body to the batch: a JSON array of events, or a single one. The decoder quarantines anything that cannot
 * be an event. Yields where the caller may pause.
 * @throws {Refusal} `unparsable` or `too_large`
 */
export function* addEvents(batch: Pick<Batch, "addRecord">, { chunks, bytes }: Body): Generator<void> {
  const body = Buffer.concat(chunks, bytes);
  // Checked before parsing: 4 MiB of brackets or distinct keys would take seconds and 100 MB.
  const boundary = new ValueBoundary({ ...valueLimits, parts: maxParts, bytes: Number.POSITIVE_INFINITY });
  boundary.endOf(body, Math.max(0, body.findIndex(isNotSpace)), body.length);
  yield;
  const text = orUnparsable("The body is not UTF-8", () => strictUtf8.decode(body));
  const value: unknown = orUnparsable("The body is not JSON", () => JSON.parse(text));
  yield;
  if (isObject(value)) {
    const kind = typeof value["text"] === "string" ? "Slack" : typeof value["content"] === "string" ? "Discord" : "";
    if (kind !== "" && typeof value["type"] !== "string")
      throw new Refusal("unparsable", `The body is a ${kind} message: ${formatRemedy}`);
    return batch.addRecord(webhookRecord(value, body.subarray(body.indexOf("{"), body.lastIndexOf("}") + 1)));
  }
  if (!Array.isArray(value)) throw new Refusal("unparsable", "The body is neither an array of events nor one event");
  if (value.length > maxEvents)
    throw new Refusal("too_large", `More than ${maxEvents} events in one delivery (no setting changes this limit)`);
  let place = 0;
  for (const event of elementsOf(body)) {
    const parsed: unknown = value[place++];
    yield batch.addRecord(webhookRecord(isObject(parsed) ? parsed : {}, event));
  }
}

const formatRemedy = "in Tailscale's admin console, set the webhook's destination to a generic endpoint";
