/** What delivery does with every answer of a backend: halving, dead letters, outages. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type OtlpSink, refusing, startOtlpSink } from "../support/otlp-sink.ts";
import { channelTo, numbered, rowOf, startDelivery, type TestDelivery, type TestRecord } from "./delivery.ts";

let sink: OtlpSink;
let deliveries: TestDelivery[];

beforeEach(async () => {
  sink = await startOtlpSink();
  deliveries = [];
});

afterEach(async () => {
  for (const { delivery } of deliveries) await delivery.stop(1);
  await sink.stop();
});

function deliver(
  records: readonly (readonly TestRecord[])[],
  settings: Omit<Parameters<typeof startDelivery>[1], "channel"> = {},
): TestDelivery {
  const rows = records.map((row, index) => rowOf(index + 1, row));
  const delivery = startDelivery(rows, { channel: channelTo(sink.url), ...settings });
  deliveries.push(delivery);
  return delivery;
}

const bodies = () => sink.logs.map(({ body }) => body);
const names = (count: number) => Array.from({ length: count }, (_, index) => `e${index}`);

describe("what speaks of the body", () => {
  test.each([400, 422])("%i: halving finds exactly the guilty", async (status) => {
    const guilty = new Set(["e3", "e17", "e18"]);
    sink.behave(refusing(({ body }) => guilty.has(String(body)), status));
    const delivery = deliver([numbered([4, 1, 1, 6, 7, 1, 5])], { maxRecords: 25 });
    await delivery.drained();
    expect(new Set(bodies())).toEqual(new Set(names(25).filter((name) => !guilty.has(name))));
    expect(delivery.setAside.map(({ class: kind, reason, text }) => [kind, reason, text])).toEqual([
      ["dead_letter", "rejected", '["e0","e1","e2","e3"]'],
      ["dead_letter", "rejected", '["e12","e13","e14","e15","e16","e17","e18"]'],
    ]);
    expect(delivery.setAside[0]).toMatchObject({
      type: "flow",
      source: "stream",
      seq: 1,
      detail: expect.stringContaining("a record is invalid"),
    });
    expect(delivery.cursor.records).toEqual({ delivered: 5, deadLettered: 2 });
    expect(delivery.cursor.events).toEqual({ delivered: 22, rejected: 0, deadLettered: 3 });
  });

  test("the newest pending event is tried alone before anything is set aside", async () => {
    sink.behave(refusing(({ body }) => body === "e1"));
    const delivery = deliver([numbered([1, 1, 1, 1])], { maxRecords: 4, concurrency: 1 });
    await delivery.drained();
    const alone = sink.requests.filter(({ logs }) => logs.length === 1).map(({ logs }) => logs[0]?.body);
    expect(alone.slice(alone.indexOf("e1"))).toEqual(["e1", "e3", "e1"]);
  });

  test("a guilty event is found in few requests, and harms no record beside it", async () => {
    sink.behave(refusing(({ body }) => body === "e60"));
    const sizes = [...Array.from({ length: 60 }, () => 1), 0, 1, 0, 0, 3];
    const delivery = deliver([numbered(sizes)], { maxRecords: 64, concurrency: 1 });
    await delivery.drained();
    expect(sink.requests.length).toBeLessThan(22);
    expect(delivery.cursor.records).toEqual({ delivered: sizes.length - 1, deadLettered: 1 });
  });

  test("413: halves until it fits, and sets aside what never does", async () => {
    sink.behave((request) =>
      request.logs.length > 3 || request.logs.some(({ body }) => body === "e5")
        ? { kind: "status", status: 413 }
        : { kind: "take" },
    );
    const delivery = deliver([numbered([1, 1, 1, 1, 1, 1, 1, 1])]);
    await delivery.drained();
    expect(new Set(bodies())).toEqual(new Set(names(8).filter((name) => name !== "e5")));
    expect(delivery.setAside).toMatchObject([{ reason: "too_large", text: '["e5"]' }]);
  });

  test("a backend that answers 400 to everything costs no record", async () => {
    sink.behave(() => ({ kind: "status", status: 400, body: "no" }));
    const delivery = deliver([numbered([1, 1, 1, 1, 1, 1, 1, 1])]);
    await sink.until(({ requests }) => requests.length > 24);
    expect(delivery.states.at(-1)).toMatchObject({
      kind: "waiting",
      why: expect.stringContaining("refuses every request"),
    });
    sink.behave(() => ({ kind: "take" }));
    await delivery.drained();
    expect(delivery.setAside).toEqual([]);
    expect(new Set(bodies())).toEqual(new Set(names(8)));
    expect(delivery.cursor.records).toEqual({ delivered: 8, deadLettered: 0 });
  });

  test("while it refuses everything, only the test of one event is repeated", async () => {
    sink.behave(() => ({ kind: "status", status: 422 }));
    deliver([numbered(Array(64).fill(1))], { maxRecords: 64, concurrency: 1 });
    await sink.until(({ requests }) => requests.length > 20);
    const testsFrom = performance.now();
    await sink.until(({ requests }) => requests.length > 40);
    expect(performance.now() - testsFrom).toBeGreaterThan(100);
    const tests = sink.requests.slice(-6).map(({ logs }) => logs.map(({ body }) => body));
    expect(tests).toEqual(Array.from({ length: 6 }, () => ["e63"]));
  });

  test("a single bad event waits until a newer one is taken", async () => {
    sink.behave(refusing(({ body }) => body === "bad"));
    const delivery = deliver([[["bad"]]]);
    await delivery.until(() => delivery.states.at(-1)?.kind === "waiting");
    expect(delivery.setAside).toEqual([]);
    delivery.commit([["good"]]);
    await delivery.drained();
    expect(delivery.setAside).toMatchObject([{ text: '["bad"]', reason: "rejected" }]);
    expect(bodies()).toContain("good");
  });

  test("a partial success is a success with a note", async () => {
    sink.behave(() => ({ kind: "take", rejected: 2, message: "too old" }));
    const delivery = deliver([numbered([2, 3])]);
    await delivery.drained();
    expect(delivery.cursor.events).toEqual({ delivered: 3, rejected: 2, deadLettered: 0 });
    expect(delivery.cursor.records).toEqual({ delivered: 2, deadLettered: 0 });
    expect(delivery.setAside).toMatchObject([{ class: "note", reason: "partial_success", seq: 1, text: "too old" }]);
  });
});

describe("what does not", () => {
  test.each([301, 401, 403, 404, 405, 408, 429, 500, 502, 503])("%i is retried until it ends", async (status) => {
    sink.behave((_request, index) => (index < 3 ? { kind: "status", status } : { kind: "take" }));
    const delivery = deliver([numbered([4])]);
    await delivery.drained();
    expect(bodies()).toEqual(names(4));
    expect(delivery.setAside).toEqual([]);
    expect(delivery.states.map(({ kind }) => kind)).toEqual(["delivering", "waiting", "idle"]);
  });

  test("resets and hangs are retried", async () => {
    const faults = [{ kind: "reset" }, { kind: "hang" }, { kind: "reset" }] as const;
    sink.behave((_request, index) => faults[index] ?? { kind: "take" });
    const delivery = startDelivery([rowOf(1, numbered([4]))], { channel: channelTo(sink.url, { timeoutMs: 100 }) });
    deliveries.push(delivery);
    await delivery.drained();
    expect(bodies()).toEqual(names(4));
  });

  test("an event that always fails while others are taken is set aside, and the queue goes on", async () => {
    sink.behave((request) =>
      request.logs.some(({ body }) => body === "e2") ? { kind: "status", status: 500 } : { kind: "take" },
    );
    const delivery = deliver([numbered(Array(12).fill(1))], { maxRecords: 4, concurrency: 1 });
    await delivery.drained();
    expect(delivery.setAside).toMatchObject([{ reason: "failing", text: '["e2"]' }]);
    expect(new Set(bodies())).toEqual(new Set(names(12).filter((name) => name !== "e2")));
  }, 20_000);

  test("one that fails often in a short time is not suspected yet", async () => {
    sink.behave(({ logs }, index) =>
      logs.length > 1 && index < 20
        ? { kind: "status", status: 503, headers: { "retry-after": "1" } }
        : { kind: "take" },
    );
    const delivery = deliver([numbered([4])]);
    await delivery.drained();
    expect(sink.requests.map(({ logs }) => logs.length)).toEqual(Array(21).fill(4));
  });

  test("a long outage sets nothing aside", async () => {
    sink.behave(() => ({ kind: "status", status: 503 }));
    const delivery = deliver([numbered(Array(12).fill(1))], { maxRecords: 4 });
    await sink.until(({ requests }) => requests.length > 60);
    sink.behave(() => ({ kind: "take" }));
    await delivery.drained();
    expect(delivery.setAside).toEqual([]);
    expect(new Set(bodies())).toEqual(new Set(names(12)));
  }, 20_000);
});
