/** Sends what the simulated tailnet has to send, as Tailscale does: stream bodies in zstd, signed webhooks, retries until a 2xx. */
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { zstdCompress } from "node:zlib";
import type { Clock } from "../lib/clock.ts";
import { signatureHeader, signatureHeaderOf } from "../receivers/webhook/signature.ts";
import { changesIn, visitsIn } from "./events.ts";
import { createTraffic, windowMs, windowSettledMs } from "./flows.ts";
import type { Tailnet } from "./tailnet.ts";
import { bodyOf, entriesOf, type Envelope, type WireAudit, type WireEvent, type WireFlow } from "./wire.ts";

/** What was acknowledged so far. */
export interface SenderTotals {
  requests: number;
  /** Records and webhook events. */
  records: number;
  /** Bytes on the wire. */
  bytes: number;
  retries: number;
  /** Milliseconds from a request to its 200, of the last requests. */
  readonly acknowledgementMs: number[];
}

export interface SenderOptions {
  /** The full address of the receiver's path, and its token or secret. */
  readonly url: string;
  readonly secret: string;
  readonly clock: Clock;
  /** Ends the wait for a next attempt. A request under way is not cut off, so that its answer is known. */
  readonly signal: AbortSignal;
  readonly totals: SenderTotals;
}

/** Resolves once the receiver has answered 2xx. Rejects only when the signal ends the wait for another attempt. */
export type Push<Item> = (items: readonly Item[]) => Promise<void>;

const rememberedAcknowledgements = 500;
const firstRetryMs = 250;
const longestRetryMs = 10_000;
const answerTimeoutMs = 10_000;

export function noTotals(): SenderTotals {
  return { requests: 0, records: 0, bytes: 0, retries: 0, acknowledgementMs: [] };
}

/** Sends stream bodies. */
export function createStreamSender(options: SenderOptions): Push<Envelope> {
  const headers = { authorization: `Splunk ${options.secret}`, "content-encoding": "zstd" };
  return senderOf(options, async (envelopes) => ({
    body: new Uint8Array(await promisify(zstdCompress)(bodyOf(envelopes))),
    headers: () => headers,
  }));
}

/** Sends webhook deliveries; each attempt gets a new signature. */
export function createWebhookSender(options: SenderOptions): Push<WireEvent> {
  return senderOf(options, async (events) => {
    const text = JSON.stringify(events);
    const sign = () => signatureHeaderOf(options.secret, Math.floor(options.clock() / 1000), text);
    return { body: new TextEncoder().encode(text), headers: () => ({ [signatureHeader]: sign() }) };
  });
}

interface Prepared {
  readonly body: Uint8Array<ArrayBuffer>;
  /** For one attempt. */
  headers(): Readonly<Record<string, string>>;
}

function senderOf<Item>(options: SenderOptions, prepare: (items: readonly Item[]) => Promise<Prepared>): Push<Item> {
  const { totals, clock, signal } = options;
  return async (items) => {
    const prepared = await prepare(items);
    for (let backOffMs = firstRetryMs; ; backOffMs = Math.min(backOffMs * 2, longestRetryMs)) {
      const began = clock();
      const answer = await attempt(options.url, prepared);
      if (answer === "accepted") {
        totals.requests++;
        totals.records += items.length;
        totals.bytes += prepared.body.byteLength;
        totals.acknowledgementMs.push(clock() - began);
        if (totals.acknowledgementMs.length > rememberedAcknowledgements) totals.acknowledgementMs.shift();
        return;
      }
      totals.retries++;
      await wait(answer.retryAfterMs ?? backOffMs, undefined, { signal });
    }
  };
}

async function attempt(
  url: string,
  { body, headers }: Prepared,
): Promise<"accepted" | { readonly retryAfterMs: number | undefined }> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers() },
      body,
      signal: AbortSignal.timeout(answerTimeoutMs),
    });
    await response.arrayBuffer();
    if (response.ok) return "accepted";
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    return { retryAfterMs: Number.isFinite(seconds) ? Math.min(seconds * 1000, longestRetryMs) : undefined };
  } catch {
    return { retryAfterMs: undefined };
  }
}

/** What to send next: records that are due, and while there is room, records of the past. */
export interface Schedule {
  /** The flow records of one window, or none while nothing is due. */
  nextFlows(): readonly Envelope<WireFlow>[];
  /** What became due since the last call; the first call gives the past minutes too. */
  nextChanges(): readonly Envelope<WireAudit>[];
  nextDeliveries(): readonly (readonly WireEvent[])[];
}

/** How far back the past goes: well inside the dedup window. */
const pastFlowWindows = (60 * 60 * 1000) / windowMs;
const pastEventWindows = (5 * 60 * 1000) / windowMs;

/** Windows that end after the start are sent as they settle; the past goes backwards from the start, in the gaps. */
export function createSchedule(tailnet: Tailnet, clock: Clock): Schedule {
  const traffic = createTraffic(tailnet);
  const settled = () => Math.floor((clock() - windowSettledMs) / windowMs);
  const first = settled();
  let present = first + 1;
  let past = first;

  /** All windows up to `last()`, each once; after a long sleep only the latest. */
  function due<Item>(of: (tailnet: Tailnet, window: number) => readonly Item[], last: () => number) {
    let next = first - pastEventWindows;
    return (): readonly Item[] => {
      const items: Item[] = [];
      const end = last();
      for (next = Math.max(next, end - pastFlowWindows); next <= end; next++) items.push(...of(tailnet, next));
      return items;
    };
  }

  return {
    nextFlows() {
      // After the machine has slept, windows older than the past are skipped.
      present = Math.max(present, settled() - pastFlowWindows);
      if (present <= settled()) return traffic(present++);
      return past > first - pastFlowWindows ? traffic(past--) : [];
    },
    nextChanges: due(changesIn, settled),
    // Webhooks are sent within seconds: no window has to settle.
    nextDeliveries: due(visitsIn, () => Math.floor(clock() / windowMs) - 1),
  };
}

export interface StreamOptions {
  readonly schedule: Schedule;
  readonly pushRecords: Push<Envelope>;
  readonly pushEvents: Push<WireEvent>;
  readonly entriesPerSecond: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const pollMs = 250;

/** Streams of flow records, of audit records and of webhooks, as Tailscale has them. Resolves when the signal ends them. */
export async function stream({ schedule, signal, clock, ...options }: StreamOptions): Promise<void> {
  const repeat = async (step: () => Promise<number>): Promise<void> => {
    try {
      for (;;) await wait(await step(), undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  };
  await Promise.all([
    repeat(async () => {
      const began = clock();
      const flows = schedule.nextFlows();
      const entries = flows.reduce((sum, { event }) => sum + entriesOf(event), 0);
      if (entries === 0) return pollMs;
      await options.pushRecords(flows);
      return Math.max(0, (entries * 1000) / options.entriesPerSecond - (clock() - began));
    }),
    repeat(async () => {
      const changes = schedule.nextChanges();
      if (changes.length > 0) await options.pushRecords(changes);
      return pollMs;
    }),
    repeat(async () => {
      for (const events of schedule.nextDeliveries()) {
        await options.pushEvents(events);
        signal.throwIfAborted();
      }
      return pollMs;
    }),
  ]);
}
