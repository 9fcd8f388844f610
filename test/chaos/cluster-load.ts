/** The load of a cluster's chaos run: HEC and webhook senders that try any instance, and a log that the leader polls. */
import { setTimeout as wait } from "node:timers/promises";
import { createRandom } from "../../src/demo/random.ts";
import type { Tailnet } from "../support/tailnet/index.ts";
import type { Account } from "./account.ts";
import { post, type Senders, startSenders } from "./senders.ts";
import { auditRecord, type Batch, flowRecord, streamTraffic, type TrafficSource } from "./traffic.ts";
import { webhookTraffic } from "./webhooks.ts";

export interface LoadOptions {
  readonly seed: number;
  readonly token: string;
  /** Base URLs of the instances. */
  readonly bases: readonly string[];
  readonly account: Account;
  readonly tailnet: Tailnet;
}

/** Traffic since `begin`. */
export interface Load {
  /** Number of requests that the instance at that base URL answered with 200. */
  takenAt(base: string): number;
  /** Stops sending, and resolves once everything sent has been answered with 200. */
  end(): Promise<void>;
}

export interface ClusterLoad {
  begin(round: number): Load;
  /** Number of requests by response status; 0: no response. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Polled records, and those among them that were streamed too. */
  readonly polled: { records: number; streamedToo: number };
}

const streamPath = "/services/collector/event";
const webhookPath = "/tailscale/webhook";

/** Short, so that a frozen instance does not hold up senders for long. */
const patienceMs = 1500;

const dayMs = 86_400_000;

/** Polled records are numbered from here, above all records that are only streamed. */
const firstPolled = 5e8;

export function createClusterLoad({ seed, token, bases, account, tailnet }: LoadOptions): ClusterLoad {
  const now = Date.now();
  /** Most flows start within the last two days, and a tenth 20 days ago. */
  const startOf = (number: number): number => {
    const random = createRandom(seed, number);
    return (random.chance(0.1) ? now - 20 * dayMs : now - random.below(2 * dayMs)) - (number % 1000) * 5;
  };
  const stream = streamTraffic(seed, token, { hasPoison: false, maxRecords: 12, startOf });
  const webhooks = webhookTraffic(seed + 1);
  const statuses = new Map<number, number>();
  const polled = { records: 0, streamedToo: 0 };
  const pollTraffic = polledTraffic(tailnet, { seed: seed + 2, token, startOf });

  function begin(round: number): Load {
    const common = { patienceMs, abandons: 0 };
    const senders = (path: string, source: TrafficSource, count: number, place: number): Senders => {
      const urls = bases.map((base) => base + path);
      return startSenders(
        { ...common, urls, source, count, seed: createRandom(seed, round, place).below(2 ** 31) },
        account,
      );
    };
    const all = [senders(streamPath, stream, 3, 0), senders(webhookPath, webhooks, 1, 1)];
    const stopping = new AbortController();
    const polling = fillLog(createRandom(seed, round, 2), stopping.signal);
    return {
      takenAt: (base) =>
        all.reduce(
          (sum, { taken }) => sum + (taken.get(base + streamPath) ?? 0) + (taken.get(base + webhookPath) ?? 0),
          0,
        ),
      async end() {
        stopping.abort();
        await Promise.all([polling, ...all.map((some) => some.stop())]);
        for (const { figures, statuses: answered } of all) {
          for (const [status, times] of [...answered, [0, figures.unanswered] as const])
            statuses.set(status, (statuses.get(status) ?? 0) + times);
        }
      },
    };
  }

  /** Fills the polled log, and streams some of its batches too after a while. */
  async function fillLog(random: ReturnType<typeof createRandom>, signal: AbortSignal): Promise<void> {
    const streaming: Promise<void>[] = [];
    while (!signal.aborted) {
      const batch = pollTraffic.next();
      account.sending(batch);
      account.promised(batch);
      pollTraffic.publish(batch);
      polled.records += batch.records.length;
      if (random.chance(0.4)) {
        polled.streamedToo += batch.records.length;
        streaming.push(streamToo(batch, random));
      }
      await wait(20 + random.below(60));
    }
    await Promise.all(streaming);
  }

  async function streamToo(batch: Batch, random: ReturnType<typeof createRandom>): Promise<void> {
    await wait(random.below(1500));
    while ((await post(random.pick(bases) + streamPath, batch, account)).status !== 200)
      await wait(20 + random.below(100));
  }

  return { begin, statuses, polled };
}

interface PolledTraffic extends TrafficSource {
  /** Adds a batch to the log. */
  publish(batch: Batch): void;
}

/** Batches of 1 to 4 records that polls find once published; sent as a request, they are what the stream would deliver. */
function polledTraffic(
  tailnet: Tailnet,
  {
    seed,
    token,
    startOf,
  }: { readonly seed: number; readonly token: string; readonly startOf: (number: number) => number },
): PolledTraffic {
  const random = createRandom(seed);
  const headers = { authorization: `Splunk ${token}` };
  let last = firstPolled;
  return {
    next() {
      const records = Array.from({ length: 1 + random.below(4) }, () =>
        random.chance(0.2) ? auditRecord(++last, random) : flowRecord(++last, random, { hasPoison: false, startOf }),
      );
      const streamed = records.map(({ value }) => ({ time: Date.now() / 1000, event: value }));
      const body = Buffer.from(streamed.map((value) => JSON.stringify(value)).join(""));
      return { records, own: records, alone: [], invalid: 0, headers, body };
    },
    publish({ records }) {
      for (const { value } of records) {
        if ("eventGroupID" in value) tailnet.addAudit({ ...value });
        else tailnet.addFlow({ ...value });
      }
    },
  };
}
