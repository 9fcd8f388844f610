/** Sends as Tailscale does: stream bodies in zstd, signed webhooks; and what is not answered 2xx is sent again. */
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { zstdCompress } from "node:zlib";
import type { Clock } from "../lib/clock.ts";
import { signatureHeader, signatureHeaderOf } from "../receivers/webhook/signature.ts";
import { bodyOf } from "./wire.ts";
import type { Envelope, WireEvent } from "./wire.ts";

interface Shared {
  /** The full address of the receiver's path. */
  readonly url: string;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly clock: Clock;
  /** Ends the wait for a next attempt. A request under way is not cut off, so that its answer is known. */
  readonly signal: AbortSignal;
  /** Where to add what was acknowledged; its own where absent. */
  readonly totals?: SenderTotals;
}

export interface SenderOptions extends Shared {
  readonly token: string;
}

export interface WebhookSenderOptions extends Shared {
  readonly secret: string;
}

/** What was acknowledged so far. */
export interface SenderTotals {
  requests: number;
  /** Records and webhook events. */
  records: number;
  /** Bytes on the wire. */
  bytes: number;
  /** Requests that had to be repeated. */
  retries: number;
  /** Milliseconds from a request to its 200, of the last requests. */
  readonly acknowledgementMs: number[];
}

export interface Sender<Item = Envelope> {
  readonly totals: Readonly<SenderTotals>;
  /** Resolves once the receiver has answered 2xx. Rejects only when the signal ends the wait for another attempt. */
  push(items: readonly Item[]): Promise<void>;
}

/** How many acknowledgement times are remembered. */
const rememberedAcknowledgements = 500;

const firstRetryMs = 250;
const longestRetryMs = 10_000;

/** The longest wait for an answer. */
const answerTimeoutMs = 10_000;

export function noTotals(): SenderTotals {
  return { requests: 0, records: 0, bytes: 0, retries: 0, acknowledgementMs: [] };
}

/** A sender of stream bodies. */
export function createSender(options: SenderOptions): Sender {
  return senderOf<Envelope>(options, async (envelopes) => {
    const body = await compressed(bodyOf(envelopes));
    const headers = { authorization: `Splunk ${options.token}`, "content-encoding": "zstd" };
    return { body, headers: () => headers };
  });
}

/** A sender of webhook deliveries, each attempt signed anew. */
export function createWebhookSender(options: WebhookSenderOptions): Sender<WireEvent> {
  return senderOf<WireEvent>(options, async (events) => {
    const text = JSON.stringify(events);
    return {
      body: new TextEncoder().encode(text),
      headers: () => ({
        [signatureHeader]: signatureHeaderOf(options.secret, Math.floor(options.clock() / 1000), text),
      }),
    };
  });
}

interface Prepared {
  readonly body: Uint8Array<ArrayBuffer>;
  /** For one attempt. */
  headers(): Readonly<Record<string, string>>;
}

function senderOf<Item>(options: Shared, prepare: (items: readonly Item[]) => Promise<Prepared>): Sender<Item> {
  const totals = options.totals ?? noTotals();
  const { acknowledgementMs } = totals;
  return {
    totals,
    async push(items) {
      const prepared = await prepare(items);
      let backOffMs = firstRetryMs;
      for (;;) {
        const began = options.clock();
        const answer = await attempt(options, prepared);
        if (answer.isTaken) {
          totals.requests++;
          totals.records += items.length;
          totals.bytes += prepared.body.byteLength;
          acknowledgementMs.push(options.clock() - began);
          if (acknowledgementMs.length > rememberedAcknowledgements) acknowledgementMs.shift();
          return;
        }
        totals.retries++;
        await wait(answer.retryAfterMs ?? backOffMs, undefined, { signal: options.signal });
        backOffMs = Math.min(backOffMs * 2, longestRetryMs);
      }
    },
  };
}

const zstd = promisify(zstdCompress);

async function compressed(text: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await zstd(text));
}

type Answer = { readonly isTaken: true } | { readonly isTaken: false; readonly retryAfterMs: number | undefined };

async function attempt(options: Shared, { body, headers }: Prepared): Promise<Answer> {
  try {
    const response = await options.fetch(options.url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers() },
      body,
      signal: AbortSignal.timeout(answerTimeoutMs),
    });
    await response.arrayBuffer();
    if (response.ok) return { isTaken: true };
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    return {
      isTaken: false,
      retryAfterMs: Number.isFinite(seconds) ? Math.min(seconds * 1000, longestRetryMs) : undefined,
    };
  } catch {
    return { isTaken: false, retryAfterMs: undefined };
  }
}
