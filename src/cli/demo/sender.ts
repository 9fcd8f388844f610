/** Sends stream bodies as Tailscale's log streaming does: zstd over HTTP, and what is not answered 2xx is sent again. */
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { zstdCompress } from "node:zlib";
import type { Clock } from "../../lib/clock.ts";
import { bodyOf } from "./wire.ts";
import type { Envelope } from "./wire.ts";

export interface SenderOptions {
  /** The full address of the receiver's path. */
  readonly url: string;
  readonly token: string;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly clock: Clock;
  /** Ends the wait for a next attempt. A request under way is not cut off, so that its answer is known. */
  readonly signal: AbortSignal;
}

/** What was acknowledged so far. */
export interface SenderTotals {
  readonly requests: number;
  readonly records: number;
  /** Bytes on the wire, compressed. */
  readonly bytes: number;
  /** Requests that had to be repeated. */
  readonly retries: number;
  /** Milliseconds from a request to its 200, of the last requests. */
  readonly acknowledgementMs: readonly number[];
}

export interface Sender {
  readonly totals: SenderTotals;
  /** Resolves once the receiver has answered 2xx. Rejects only when the signal ends the wait for another attempt. */
  push(envelopes: readonly Envelope[]): Promise<void>;
}

/** How many acknowledgement times are remembered. */
const rememberedAcknowledgements = 500;

const firstRetryMs = 250;
const longestRetryMs = 10_000;

/** The longest wait for an answer. */
const answerTimeoutMs = 10_000;

export function createSender(options: SenderOptions): Sender {
  const acknowledgementMs: number[] = [];
  const totals = { requests: 0, records: 0, bytes: 0, retries: 0, acknowledgementMs };

  return {
    totals,
    async push(envelopes) {
      const body = await compressed(bodyOf(envelopes));
      let backOffMs = firstRetryMs;
      for (;;) {
        const began = options.clock();
        const answer = await attempt(options, body);
        if (answer.isTaken) {
          totals.requests++;
          totals.records += envelopes.length;
          totals.bytes += body.byteLength;
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

async function attempt(options: SenderOptions, body: Uint8Array<ArrayBuffer>): Promise<Answer> {
  try {
    const response = await options.fetch(options.url, {
      method: "POST",
      headers: {
        authorization: `Splunk ${options.token}`,
        "content-type": "application/json",
        "content-encoding": "zstd",
      },
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
