/** The sending process, which prepares all bodies, then posts them over a few connections and times the responses. */
import { setTimeout as wait } from "node:timers/promises";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { createLoad, laterPass, type Load, type Shape } from "./bodies.ts";
import { parentMessages, tellParent } from "./child.ts";

/** The only argument, from the parent. */
export interface GeneratorRequest {
  readonly shape: Shape;
  /** Bodies prepared in advance. Once all are sent, another pass begins with different windows. */
  readonly bodies: number;
  readonly endMs: number;
  readonly senders: number;
}

/** A message from the parent for each stretch of load; the next stretch continues with the next body. */
export interface Stretch {
  readonly url: string;
  readonly token: string;
  readonly seconds: number;
  /** Maximum bodies per second; 0 sends as fast as they are answered. */
  readonly bodiesPerSecond: number;
  /** Maximum number of bodies. */
  readonly maxBodies?: number;
}

export interface StretchReport {
  /** Bodies answered with 200, each counted once; the next stretch continues after them. */
  readonly bodies: number;
  readonly seconds: number;
  /** Requests repeated because they were refused or not answered. */
  readonly repeated: number;
  readonly acknowledgementMs: { readonly p50: number; readonly p99: number };
}

/** A sender gives up on a body after this time, and the run fails. */
const longestRepeatMs = 60_000;

class Generator {
  readonly #prepared: Uint8Array<ArrayBuffer>[];
  readonly #senders: number;
  #next = 0;

  constructor({ bodies, senders }: GeneratorRequest, load: Load) {
    this.#senders = senders;
    this.#prepared = Array.from({ length: bodies }, (_, body) => compressed(load.envelopes(body).join("")));
  }

  async send({ url, token, seconds, bodiesPerSecond, maxBodies }: Stretch): Promise<StretchReport> {
    const headers = {
      authorization: `Splunk ${token}`,
      "content-type": "application/json",
      "content-encoding": "zstd",
    };
    const times: number[] = [];
    const first = this.#next;
    const end = first + (maxBodies ?? Number.POSITIVE_INFINITY);
    const began = performance.now();
    let repeated = 0;

    const post = async (body: Uint8Array<ArrayBuffer>): Promise<void> => {
      const firstTry = performance.now();
      for (;;) {
        const sentAt = performance.now();
        const status = await statusOf(url, headers, body);
        if (status === "200") return void times.push(performance.now() - sentAt);
        repeated++;
        if (performance.now() - firstTry > longestRepeatMs)
          throw new Error(`a body was refused for a minute, last with ${status}`);
        await wait(status === "503" ? 1000 : 20);
      }
    };

    const sender = async (): Promise<void> => {
      while (this.#next < end && performance.now() - began < seconds * 1000) {
        const dueMs = bodiesPerSecond === 0 ? 0 : ((this.#next - first) * 1000) / bodiesPerSecond;
        const earlyMs = dueMs - (performance.now() - began);
        if (earlyMs > 1) await wait(earlyMs);
        else await post(this.#body(this.#next++));
      }
    };

    await Promise.all(Array.from({ length: this.#senders }, sender));
    times.sort((left, right) => left - right);
    const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
    return {
      bodies: this.#next - first,
      seconds: (performance.now() - began) / 1000,
      repeated,
      acknowledgementMs: { p50: at(0.5), p99: at(0.99) },
    };
  }

  #body(number: number): Uint8Array<ArrayBuffer> {
    const body = this.#prepared[number % this.#prepared.length] as Uint8Array<ArrayBuffer>;
    const pass = Math.floor(number / this.#prepared.length);
    return pass === 0 ? body : compressed(laterPass(zstdDecompressSync(body).toString("latin1"), pass));
  }
}

function compressed(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(zstdCompressSync(text));
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

async function main(request: GeneratorRequest): Promise<void> {
  const generator = new Generator(request, createLoad(request.shape, request.bodies, request.endMs));
  tellParent({ ready: true });
  for await (const line of parentMessages()) tellParent(await generator.send(JSON.parse(line) as Stretch));
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as GeneratorRequest);
