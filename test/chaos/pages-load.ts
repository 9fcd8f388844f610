/** Sends a steady stream of the demo's tailnet to a receiver, and measures response times and accepted entries. */
import { setTimeout as wait } from "node:timers/promises";
import { zstdCompressSync } from "node:zlib";
import { changesIn } from "../../src/demo/changes.ts";
import { createTraffic, windowMs } from "../../src/demo/flows.ts";
import { buildTailnet } from "../../src/demo/tailnet.ts";
import { bodyOf, entriesOf, type WireFlow } from "../../src/demo/wire.ts";

export interface LoadTotals {
  /** Connection entries in requests answered with 200. */
  entries: number;
  requests: number;
  /** Attempts not answered with 200. Each body is retried until it is. */
  failures: number;
  /** Milliseconds from each request to its 200. */
  readonly acknowledgementMs: number[];
}

export interface Load {
  readonly totals: LoadTotals;
  /** Sends at that rate, in entries per second, until the time is over. */
  steady(rate: number, untilMs: number): Promise<void>;
  /** Sends that many simulated windows as fast as they are accepted; returns entries per second. */
  burst(windows: number): Promise<number>;
}

interface Body {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly entries: number;
}

/** As many as Tailscale puts into one request. */
const recordsPerBody = 73;

/** With two connections, the receiver is never idle. */
const burstConnections = 2;

/** Within the dedup window of 6 hours, with some margin. */
const pastMs = 5 * 3_600_000;

/** `onTrouble`: called once per body if an attempt fails. */
export function createTailnetLoad(
  { url, token, nodes }: { readonly url: string; readonly token: string; readonly nodes: number },
  onTrouble: (why: string) => void,
): Load {
  const tailnet = buildTailnet(1, nodes);
  const traffic = createTraffic(tailnet);
  const totals: LoadTotals = { entries: 0, requests: 0, failures: 0, acknowledgementMs: [] };
  let window = Math.floor((Date.now() - pastMs) / windowMs);

  /** The bodies of the next window. */
  function next(): Body[] {
    const records: readonly { readonly event: object }[] = [...traffic(window), ...changesIn(tailnet, window)];
    window++;
    const bodies: Body[] = [];
    for (let at = 0; at < records.length; at += recordsPerBody) {
      const part = records.slice(at, at + recordsPerBody);
      const entries = part.reduce((sum, { event }) => sum + entriesOf(event as WireFlow), 0);
      bodies.push({ bytes: zstdCompressSync(bodyOf(part)), entries });
    }
    return bodies;
  }

  async function send({ bytes, entries }: Body): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const beganAt = performance.now();
      const trouble = await post(bytes);
      if (trouble === undefined) {
        totals.acknowledgementMs.push(performance.now() - beganAt);
        totals.entries += entries;
        totals.requests++;
        return;
      }
      totals.failures++;
      if (attempt === 0) onTrouble(trouble);
      await wait(200);
    }
  }

  async function post(body: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
    const headers = { authorization: `Splunk ${token}`, "content-encoding": "zstd" };
    try {
      const answer = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(60_000) });
      const text = await answer.text();
      return answer.status === 200 ? undefined : `${answer.status} ${text}`;
    } catch (error) {
      return String(error);
    }
  }

  return {
    totals,
    async steady(rate, untilMs) {
      const beganAt = performance.now();
      let due = 0;
      while (performance.now() < untilMs) {
        for (const body of next()) {
          const earlyMs = (due * 1000) / rate - (performance.now() - beganAt);
          if (earlyMs > 1) await wait(earlyMs);
          if (performance.now() >= untilMs) return;
          await send(body);
          due += body.entries;
        }
      }
    },
    async burst(windows) {
      const bodies = Array.from({ length: windows }, next).flat();
      const before = totals.entries;
      const beganAt = performance.now();
      const one = async (): Promise<void> => {
        for (let body = bodies.shift(); body !== undefined; body = bodies.shift()) await send(body);
      };
      await Promise.all(Array.from({ length: burstConnections }, one));
      return ((totals.entries - before) * 1000) / (performance.now() - beganAt);
    },
  };
}
