/** The process that sends: makes all bodies beforehand, then posts them over a few connections and times the answers. */
import { setTimeout as wait } from "node:timers/promises";
import { zstdCompressSync } from "node:zlib";
import { createLoad, entriesPerBody } from "./bodies.ts";
import { parentMessages, tellParent } from "./child.ts";

/** What the parent asks for, as the one argument. */
export interface GeneratorRequest {
  readonly bodies: number;
  readonly endMs: number;
  readonly senders: number;
  readonly seconds: number;
  readonly rate: number;
}

/** What the parent writes when the load shall begin. */
export interface GeneratorStart {
  readonly url: string;
  readonly token: string;
}

export interface GeneratorReport {
  /** The first `bodies` bodies were answered 200, each once. */
  readonly bodies: number;
  readonly seconds: number;
  /** Whether the prepared bodies ran out before the time did. */
  readonly ranOut: boolean;
  readonly repeated: number;
  readonly wireBytes: number;
  readonly textBytes: number;
  readonly acknowledgementMs: {
    readonly p50: number;
    readonly p99: number;
    readonly max: number;
  };
  /** Answers other than 200, by status. */
  readonly refusals: Readonly<Record<string, number>>;
}

/** A sender gives up on a body after this long: the run has failed then. */
const longestRepeatMs = 60_000;

async function main(request: GeneratorRequest): Promise<void> {
  const load = createLoad(request.bodies, request.endMs);
  const prepared: Uint8Array<ArrayBuffer>[] = [];
  const textBytes: number[] = [];
  for (let body = 0; body < request.bodies; body++) {
    const text = load.envelopes(body).join("");
    textBytes.push(Buffer.byteLength(text));
    prepared.push(new Uint8Array(zstdCompressSync(text)));
  }
  tellParent({ ready: true });
  for await (const line of parentMessages()) {
    tellParent(await send(request, JSON.parse(line) as GeneratorStart, prepared, textBytes));
    process.exit(0);
  }
}

async function send(
  request: GeneratorRequest,
  { url, token }: GeneratorStart,
  prepared: readonly Uint8Array<ArrayBuffer>[],
  textBytes: readonly number[],
): Promise<GeneratorReport> {
  const headers = {
    authorization: `Splunk ${token}`,
    "content-type": "application/json",
    "content-encoding": "zstd",
  };
  const times: number[] = [];
  const refusals: Record<string, number> = {};
  const began = performance.now();
  let next = 0;
  let repeated = 0;

  async function post(body: Uint8Array<ArrayBuffer>): Promise<void> {
    const first = performance.now();
    for (;;) {
      const sent = performance.now();
      const status = await statusOf(url, headers, body);
      if (status === "200") {
        times.push(performance.now() - sent);
        return;
      }
      refusals[status] = (refusals[status] ?? 0) + 1;
      repeated++;
      if (performance.now() - first > longestRepeatMs)
        throw new Error(`a body was refused for a minute, last with ${status}`);
      await wait(status === "503" ? 1000 : 200);
    }
  }

  async function sender(): Promise<void> {
    while (next < prepared.length && performance.now() - began < request.seconds * 1000) {
      if (request.rate > 0) {
        const dueMs = (next * entriesPerBody * 1000) / request.rate;
        const early = dueMs - (performance.now() - began);
        if (early > 1) {
          await wait(early);
          continue;
        }
      }
      const body = prepared[next++];
      if (body !== undefined) await post(body);
    }
  }

  await Promise.all(Array.from({ length: request.senders }, sender));
  const seconds = (performance.now() - began) / 1000;
  times.sort((left, right) => left - right);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return {
    bodies: next,
    seconds,
    ranOut: next === prepared.length && seconds < request.seconds * 0.98,
    repeated,
    wireBytes: prepared.slice(0, next).reduce((sum, body) => sum + body.byteLength, 0),
    textBytes: textBytes.slice(0, next).reduce((sum, bytes) => sum + bytes, 0),
    acknowledgementMs: { p50: at(0.5), p99: at(0.99), max: times.at(-1) ?? Number.NaN },
    refusals,
  };
}

async function statusOf(url: string, headers: Record<string, string>, body: Uint8Array<ArrayBuffer>): Promise<string> {
  try {
    const response = await fetch(url, { method: "POST", headers, body });
    await response.arrayBuffer();
    return String(response.status);
  } catch {
    return "no answer";
  }
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as GeneratorRequest);
