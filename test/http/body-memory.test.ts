/** What a body holds in memory while it arrives: of a discarded one nothing, of one that is read no more than the copy that is returned. */
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

/** A request whose chunks are made one at a time, when the reader asks for the next. */
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

/** Chunks that are made on request, and how many of them are still in memory when the last has been read. */
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
  test("gives back the memory of each chunk before it asks for the next", async () => {
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

  test("leaves alone what else was cut from the buffer of a chunk", async () => {
    const shared = new Uint8Array(2 * chunkBytes).fill(1);
    const exchange = exchangeOf((index) => (index === 0 ? shared.subarray(0, chunkBytes) : undefined));
    expect(await exchange.discardBody()).toBe(true);
    expect(shared.at(-1)).toBe(1);
  });

  test("holds on to no small chunk, which is not given back by hand", async () => {
    const watched = watchedChunks(() => new Uint8Array(1024));
    expect(await exchangeOf(watched.next).discardBody()).toBe(true);
    expect(watched.alive).toBeLessThan(chunkCount / 2);
  });
});

test("while as many bodies as may be are discarded, one more is not waited for, unless it is there", async () => {
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
  // The others would be given up for their slowness, in the order in which they began.
  const first = await Promise.race([...others.map((other) => other.then(() => "another")), oneMore.then(() => "last")]);
  expect([first, await oneMore]).toEqual(["last", false]);
  server.refusesBodiesAt = Number.NEGATIVE_INFINITY;
  await Promise.all(others);
  expect(server.discarding).toBe(0);
});

test.each([
  ["too large", { maxBytes: (chunkCount * chunkBytes) / 2 }],
  ["more than fits in memory", { admission: createLimiter({ maxReading: 1, maxBytes: 1e6, maxWorking: 1 }).enter("") }],
])("of a body that turns out to be %s, what has been read is given back at once", async (_, limits) => {
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
  // The one that was refused was never held.
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
