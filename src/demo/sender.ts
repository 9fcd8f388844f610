/** Sends what the simulated tailnet generates as Tailscale does: stream bodies in zstd, signed webhooks, retries until a 2xx. */
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { zstdCompress } from "node:zlib";
import type { App } from "../app/index.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { signatureHeader, signatureHeaderOf } from "../receivers/webhook/signature.ts";
import { changesIn } from "./changes.ts";
import { noticesIn, visitsIn } from "./events.ts";
import { createTraffic, windowMs, windowSettledMs } from "./flows.ts";
import { mishapsIn } from "./mishaps.ts";
import type { Tailnet } from "./tailnet.ts";
import { bodyOf, entriesOf, type Envelope, type WireEvent, type WireFlow } from "./wire.ts";

/** What has been acknowledged so far. */
export interface SenderTotals {
  requests: number;
  /** Records and webhook events. */
  records: number;
  /** Bytes on the wire. */
  bytes: number;
  retries: number;
  /** Milliseconds from request to 2xx response, for the latest requests. */
  readonly acknowledgementMs: number[];
}

export interface SenderOptions {
  /** The receiver's full URL, and its token or secret. */
  readonly url: string;
  readonly secret: string;
  readonly clock: Clock;
  /** Ends the wait for a retry. A request in progress is not aborted, so that its response is known. */
  readonly signal: AbortSignal;
  readonly totals: SenderTotals;
}

/** Resolves once the receiver has answered 2xx. Rejects only if the signal ends the wait for a retry. */
export type Push<Item> = (items: readonly Item[]) => Promise<void>;

const rememberedAcknowledgements = 500;
const firstRetryMs = 250;
const longestRetryMs = 10_000;
const answerTimeoutMs = 10_000;

export function noTotals(): SenderTotals {
  return { requests: 0, records: 0, bytes: 0, retries: 0, acknowledgementMs: [] };
}

export function createStreamSender(options: SenderOptions): Push<object> {
  const headers = { authorization: `Splunk ${options.secret}`, "content-encoding": "zstd" };
  return async (values) => send(options, values.length, await promisify(zstdCompress)(bodyOf(values)), () => headers);
}

/** Sends webhook deliveries; each attempt gets a new signature. */
export function createWebhookSender(options: SenderOptions): Push<WireEvent> {
  return async (events) => {
    const text = JSON.stringify(events);
    const sign = () => signatureHeaderOf(options.secret, Math.floor(options.clock() / 1000), text);
    await send(options, events.length, Buffer.from(text), () => ({ [signatureHeader]: sign() }));
  };
}

async function send(
  { url, clock, signal, totals }: SenderOptions,
  records: number,
  body: Buffer,
  headers: () => Readonly<Record<string, string>>,
): Promise<void> {
  for (let backOffMs = firstRetryMs; ; backOffMs = Math.min(backOffMs * 2, longestRetryMs)) {
    const began = clock();
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers() },
      body: new Uint8Array(body),
      signal: AbortSignal.timeout(answerTimeoutMs),
    }).catch(() => undefined);
    await response?.arrayBuffer().catch(() => undefined);
    if (response?.ok === true) {
      totals.requests++;
      totals.records += records;
      totals.bytes += body.byteLength;
      totals.acknowledgementMs.push(clock() - began);
      if (totals.acknowledgementMs.length > rememberedAcknowledgements) totals.acknowledgementMs.shift();
      return;
    }
    totals.retries++;
    const seconds = Number(response?.headers.get("retry-after") ?? Number.NaN);
    await wait(Number.isNaN(seconds) ? backOffMs : Math.min(seconds * 1000, longestRetryMs), undefined, { signal });
  }
}

/** The items of all due windows that have not been returned before; empty if there are none. */
export type NextWindow<Item> = () => readonly Item[];

const hourWindows = (60 * 60 * 1000) / windowMs;

export type Schedule = ReturnType<typeof createSchedule>;

/** What to send from now on. After the machine has slept, only the last hour is caught up on. */
export function createSchedule(tailnet: Tailnet, clock: Clock) {
  const traffic = createTraffic(tailnet);
  const settled = () => Math.floor((clock() - windowSettledMs) / windowMs);
  const begun = () => Math.floor(clock() / windowMs) - 1;
  function from<Item>(last: () => number, of: (window: number) => readonly Item[], most = Infinity): NextWindow<Item> {
    let next = last() + 1;
    return () => {
      const end = last();
      next = Math.max(next, end - hourWindows);
      const count = Math.max(0, Math.min(most, end - next + 1));
      const items = Array.from({ length: count }, (_, index) => of(next + index)).flat();
      next += count;
      return items;
    };
  }
  return {
    nextFlows: from(settled, traffic, 1),
    nextMishaps: from(settled, (window) => mishapsIn(tailnet, window)),
    nextChanges: from(settled, (window) => changesIn(tailnet, window)),
    // Webhooks are sent within seconds, so their windows need not settle.
    nextDeliveries: from(begun, (window) => [...visitsIn(tailnet, window), ...noticesIn(tailnet, window)]),
  };
}

const pollMs = 250;

/** A window's flow records are sent in this many bodies, spread over the time until the next window. */
const bodiesPerWindow = 5;
const bodyMs = (windowMs / bodiesPerWindow) * 0.9;

/** A window that began longer ago is late, and the ones after it are sent without a pause. */
const lateMs = windowSettledMs + 2 * windowMs;

/** One body of flow records in this many is sent twice. */
const bodiesPerRepeat = 20;

export interface Pushes {
  readonly records: Push<object>;
  readonly events: Push<WireEvent>;
}

/** Sends everything that is due. `hasLostAnswer` simulates a lost response: the flow records are sent again. */
export async function sendDue(
  schedule: Schedule,
  { records, events }: Pushes,
  { hasLostAnswer }: { readonly hasLostAnswer: boolean },
): Promise<void> {
  const flows = schedule.nextFlows();
  const values = [flows, schedule.nextChanges(), schedule.nextMishaps()];
  await Promise.all([
    ...values.filter(({ length }) => length > 0).map((some) => records(some)),
    ...schedule.nextDeliveries().map((delivery) => events(delivery)),
  ]);
  if (hasLostAnswer && flows.length > 0) await records(flows);
}

/** Sends flow records, audit records and webhooks in streams like Tailscale's. Resolves when the signal ends them. */
export async function stream(
  { nextFlows, nextChanges, nextMishaps, nextDeliveries }: Schedule,
  { records, events }: Pushes,
  { entriesPerSecond, clock, signal }: { readonly entriesPerSecond: number } & Pick<SenderOptions, "clock" | "signal">,
): Promise<void> {
  /** `step` sends what is due and returns the milliseconds from its start to the next step. */
  const repeat = async (step: () => Promise<number>): Promise<void> => {
    while (!signal.aborted) {
      const began = performance.now();
      const dueMs = await step();
      await wait(Math.max(0, dueMs - (performance.now() - began)), undefined, { signal });
    }
  };
  let bodies = 0;
  let waiting: (readonly Envelope<WireFlow>[])[] = [];
  const streams = [
    repeat(async () => {
      if (waiting.length === 0) waiting = bodiesOf(nextFlows());
      const body = waiting.shift();
      if (body === undefined) return pollMs;
      await records(body);
      // As if the response had been lost on the way.
      if (++bodies % bodiesPerRepeat === 0) await records(body);
      const entries = body.reduce((sum, { event }) => sum + entriesOf(event), 0);
      const isLate = clock() - Date.parse(body[0]?.event.start ?? "") > lateMs;
      return Math.max((entries * 1000) / entriesPerSecond, isLate ? 0 : bodyMs);
    }),
    repeat(async () => {
      for (const values of [nextChanges(), nextMishaps()]) if (values.length > 0) await records(values);
      for (const delivery of nextDeliveries()) if (!signal.aborted) await events(delivery);
      return pollMs;
    }),
  ];
  await Promise.all(streams).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  await Promise.allSettled(streams);
}

function bodiesOf(flows: readonly Envelope<WireFlow>[]): (readonly Envelope<WireFlow>[])[] {
  const size = Math.max(1, Math.ceil(flows.length / bodiesPerWindow));
  return Array.from({ length: Math.ceil(flows.length / size) }, (_, index) =>
    flows.slice(index * size, (index + 1) * size),
  );
}

/** The simulated past before the page opens: the real program processes it, with a clock that runs as fast as it can. */
export type Past = ReturnType<typeof createPast>;

const stopDeadlineMs = 10_000;

export function createPast(tailnet: Tailnet, pastMs: number) {
  let now: number | undefined = systemClock() - pastMs;
  const clock: Clock = () => now ?? systemClock();
  const schedule = createSchedule(tailnet, clock);
  return {
    /** Starts in the past; afterwards it is the system clock. */
    clock,
    /** Continues in the present where the past ended. */
    schedule,
    /** Sends everything from the start of the past until now, then stops the app. */
    async liveThrough(app: App, pushes: Pushes, signal: AbortSignal): Promise<void> {
      try {
        for (let step = 1; now !== undefined && !signal.aborted; step++) {
          now += windowMs;
          if (now >= systemClock()) now = undefined;
          else await sendDue(schedule, pushes, { hasLostAnswer: step % bodiesPerRepeat === 0 });
        }
      } finally {
        now = undefined;
        await app.stop(stopDeadlineMs);
      }
    },
  };
}
