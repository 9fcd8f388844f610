/** What a body holds in memory while it arrives: nothing if it is discarded, and only the returned copy if it is read. */
import { describe, expect, test } from "bun:test";
import type { Refusal } from "../../src/errors.ts";
import { createExchange, maxDiscarding, type ServedExchange, type ServerState } from "../../src/http/exchange.ts";
import { createLimiter } from "../../src/http/limiter.ts";

const chunkBytes = 32 * 1024;
const chunkCount = 100;
const limiter = createLimiter({ maxReading: 1, maxBytes: 1e9, maxWorking: 1 });

const newServer = (): ServerState => ({
  isLocalOnly: true,
  refusesBodiesAt: Number.POSITIVE_INFINITY,
  discarding: 0,
});

const exchangeWith = (body: ReadableStream<Uint8Array<ArrayBuffer>>, server: ServerState): ServedExchange =>
  createExchange(
    new Request("http://127.0.0.1/", { method: "POST", body }),
    { peer: "127.0.0.1", disableIdleTimeout() {}, close() {} },
    server,
  );

/** A request whose chunks are created one at a time, when the reader asks for the next. */
function exchangeOf(nextChunk: (index: number) => Uint8Array<ArrayBuffer> | undefined): ServedExchange {
  let index = 0;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const chunk = nextChunk(index++);
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
    },
    { highWaterMark: 0 },
  );
  return exchangeWith(body, newServer());
}

/** Chunks created on request, and the number still in memory once the last has been read. */
function watchedChunks(make: (index: number) => Uint8Array<ArrayBuffer>) {
  const made: WeakRef<Uint8Array>[] = [];
  const watched = {
    alive: chunkCount,
    next(index: number): Uint8Array<ArrayBuffer> | undefined {
      if (index < chunkCount) {
        const chunk = make(index);
        made.push(new WeakRef(chunk));
        return chunk;
      }
      Bun.gc(true);
      watched.alive = made.filter((chunk) => chunk.deref() !== undefined).length;
      return undefined;
    },
  };
  return watched;
}

describe("a discarded body", () => {
  test("frees the memory of each chunk before it asks for the next", async () => {
    const chunks: Uint8Array[] = [];
    const held: number[] = [];
    const exchange = exchangeOf((index) => {
      held.push(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
      if (index === chunkCount) return undefined;
      const chunk = new Uint8Array(chunkBytes);
      chunks.push(chunk);
      return chunk;
    });
    expect(await exchange.discardBody()).toBe(true);
    expect(held).toEqual(Array.from({ length: chunkCount + 1 }, () => 0));
  });

  test("does not touch other slices of a chunk's buffer", async () => {
    const shared = new Uint8Array(2 * chunkBytes).fill(1);
    const exchange = exchangeOf((index) => (index === 0 ? shared.subarray(0, chunkBytes) : undefined));
    expect(await exchange.discardBody()).toBe(true);
    expect(shared.at(-1)).toBe(1);
  });

  test("does not hold on to small chunks, which are not freed explicitly", async () => {
    const watched = watchedChunks(() => new Uint8Array(1024));
    expect(await exchangeOf(watched.next).discardBody()).toBe(true);
    expect(watched.alive).toBeLessThan(chunkCount / 2);
  });
});

test("while the maximum number of bodies is being discarded, another is not waited for unless it has arrived", async () => {
  const server = newServer();
  const discardEndless = (): Promise<boolean> => exchangeWith(new ReadableStream(), server).discardBody();
  const arrived = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      controller.enqueue(new Uint8Array(chunkBytes));
      controller.close();
    },
  });
  const others = Array.from({ length: maxDiscarding }, discardEndless);
  const oneMore = discardEndless();
  expect(await exchangeWith(arrived, server).discardBody()).toBe(true);
  // The others would time out as too slow, in the order in which they began.
  const first = await Promise.race([...others.map((other) => other.then(() => "another")), oneMore.then(() => "last")]);
  expect([first, await oneMore]).toEqual(["last", false]);
  server.refusesBodiesAt = Number.NEGATIVE_INFINITY;
  await Promise.all(others);
  expect(server.discarding).toBe(0);
});

test.each([
  ["too large", { maxBytes: (chunkCount * chunkBytes) / 2 }],
  ["more than fits in memory", { admission: createLimiter({ maxReading: 1, maxBytes: 1e6, maxWorking: 1 }).enter("") }],
])("the memory of a body that turns out to be %s is freed at once", async (_, limits) => {
  const chunks: Uint8Array[] = [];
  const exchange = exchangeOf(() => {
    const chunk = new Uint8Array(chunkBytes);
    chunks.push(chunk);
    return chunk;
  });
  const admission = limiter.enter("127.0.0.1");
  const reading = exchange.readBody({ maxBytes: 1e9, tooLarge: "too large", timeoutMs: 60_000, admission, ...limits });
  const reason = await reading.then(
    () => "none",
    (error: Refusal) => error.reason,
  );
  admission.leave();
  expect(reason).toBe("body_too_large");
  expect(chunks.length).toBeGreaterThan(10);
  // The chunk that was refused was never held.
  expect(chunks.slice(0, -1).reduce((sum, chunk) => sum + chunk.byteLength, 0)).toBe(0);
});

test("a body that is being read does not hold the large buffers from which its chunks were copied", async () => {
  const watched = watchedChunks(() => new Uint8Array(2 * chunkBytes).subarray(0, chunkBytes));
  const admission = limiter.enter("127.0.0.1");
  const exchange = exchangeOf(watched.next);
  const body = await exchange.readBody({ maxBytes: 1e9, tooLarge: "too large", timeoutMs: 60_000, admission });
  admission.leave();
  expect(body.bytes).toBe(chunkCount * chunkBytes);
  expect(watched.alive).toBeLessThan(chunkCount / 2);
});
