import { describe, expect, test } from "bun:test";
import { Refusal } from "../../src/errors.ts";
import { createLimiter } from "../../src/http/limiter.ts";

const wide = { maxReading: 100, maxBytes: 1000, maxWorking: 100 };

function reasonOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.reason;
  }
}

describe("requests that are read", () => {
  test.each([
    ["first", 0],
    ["second", 1],
  ])("make room for another peer: the slowest request of the heaviest peer ends, its %s", (_, slowest) => {
    const limiter = createLimiter({ ...wide, maxReading: 3 });
    const shed: string[] = [];
    const requests = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map((peer, place) => {
      const admission = limiter.enter(peer);
      admission.reading(() => shed.push(`${peer} ${place}`));
      return admission;
    });
    requests[1 - slowest]?.reserve(500, "");
    limiter.enter("192.0.2.3");
    expect(shed).toEqual([`192.0.2.1 ${slowest}`]);
  });

  test("do not make room for a peer that already holds as much", () => {
    const limiter = createLimiter({ ...wide, maxReading: 2 });
    for (const peer of ["192.0.2.1", "192.0.2.2"]) limiter.enter(peer).reading(() => {});
    expect(reasonOf(() => limiter.enter("192.0.2.1"))).toBe("overloaded");
  });

  test("do not make room for a peer that would then hold as much as the heaviest", () => {
    const limiter = createLimiter({ ...wide, maxReading: 3 });
    for (const peer of ["192.0.2.1", "192.0.2.1", "192.0.2.2"]) limiter.enter(peer).reading(() => {});
    expect(reasonOf(() => limiter.enter("192.0.2.2"))).toBe("overloaded");
  });

  test("are no longer counted once their body has arrived, and are uncounted only once", () => {
    const limiter = createLimiter({ ...wide, maxReading: 1 });
    const first = limiter.enter("192.0.2.1");
    first.reading(undefined);
    first.leave();
    expect(reasonOf(() => limiter.enter("192.0.2.1"))).toBeUndefined();
    expect(reasonOf(() => limiter.enter("192.0.2.1"))).toBe("overloaded");
  });
});

describe("bytes", () => {
  test("are counted as they arrive, and released only once", () => {
    const limiter = createLimiter(wide);
    const first = limiter.enter("192.0.2.1");
    first.reserve(600, "");
    const second = limiter.enter("192.0.2.1");
    expect(reasonOf(() => second.reserve(600, ""))).toBe("overloaded");
    first.leave();
    first.leave();
    expect(reasonOf(() => second.reserve(1000, ""))).toBeUndefined();
    expect(reasonOf(() => second.reserve(1, "more than 1000"))).toBe("body_too_large");
  });

  test("of the heaviest peer are freed for another, if its body is still being read", () => {
    const limiter = createLimiter(wide);
    const heavy = [0, 1].map(() => limiter.enter("192.0.2.1"));
    const shed: number[] = [];
    heavy.forEach((admission, place) => {
      admission.reading(() => shed.push(place));
      admission.reserve(450, "");
    });
    heavy[0]?.reading(undefined);
    const light = limiter.enter("192.0.2.2");
    light.reserve(300, "");
    expect(shed).toEqual([1]);
    expect(heavy.map(({ bytes }) => bytes)).toEqual([450, 0]);
    expect(reasonOf(() => light.reserve(300, ""))).toBe("overloaded");
  });
});

describe("work", () => {
  test("is done in order of arrival, never more at once than allowed", async () => {
    const limiter = createLimiter({ ...wide, maxWorking: 2 });
    const [first, second, third, fourth] = Array.from({ length: 4 }, () => limiter.enter("192.0.2.1"));
    await first?.work(1000);
    await second?.work(1000);
    const order: string[] = [];
    const waiting = [
      third?.work(60_000).then(() => order.push("third")),
      fourth?.work(60_000).then(() => order.push("fourth")),
    ];
    await Promise.resolve();
    expect(order).toEqual([]);
    second?.leave();
    first?.leave();
    await Promise.all(waiting);
    expect(order).toEqual(["third", "fourth"]);
  });

  test("is refused after its timeout, and then leaves the queue", async () => {
    const limiter = createLimiter({ ...wide, maxWorking: 1 });
    const [first, second, third] = Array.from({ length: 3 }, () => limiter.enter("192.0.2.1"));
    await first?.work(0);
    await expect(second?.work(5)).rejects.toThrow("waited 5 ms behind other requests");
    first?.leave();
    await third?.work(0);
    second?.leave();
    third?.leave();
    await limiter.enter("192.0.2.1").work(0);
  });
});

test("a limiter reports each request that enters and leaves", () => {
  let inside = 0;
  const limiter = createLimiter(wide, (change) => (inside += change));
  const admission = limiter.enter("192.0.2.1");
  expect(inside).toBe(1);
  admission.leave();
  admission.leave();
  expect(inside).toBe(0);
});
