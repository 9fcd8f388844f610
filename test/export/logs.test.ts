/** Log delivery over real sockets: what a request holds, where the cursor may stand, and the last try. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type LogCursor, startOfJournal } from "../../src/journal/types.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import {
  channelOf,
  channelTo,
  numbered,
  rowOf,
  startDelivery,
  type TestDelivery,
  type TestRecord,
} from "./delivery.ts";

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

describe("requests", () => {
  test("merge rows and split records, in the journal's order", async () => {
    const delivery = deliver([numbered([3, 0, 5]), [["a", "b"], []], [Array.from({ length: 20 }, (_, i) => `x${i}`)]], {
      concurrency: 1,
    });
    await delivery.drained();
    expect(bodies()).toEqual([...names(8), "a", "b", ...Array.from({ length: 20 }, (_, i) => `x${i}`)]);
    expect(sink.requests.map(({ logs }) => logs.length)).toEqual([8, 8, 8, 6]);
    expect(delivery.cursor).toEqual({
      seq: 4,
      record: 0,
      event: 0,
      records: {
        delivered: 6,
        deadLettered: 0,
      },
      events: {
        delivered: 30,
        rejected: 0,
        deadLettered: 0,
      },
    });
  });

  test("carry what a log event says, the same in both encodings", async () => {
    const json = deliver([[["warn one"]]]);
    await json.drained();
    const protobuf = startDelivery([rowOf(1, [["warn one"]])], { channel: channelTo(sink.url, {}, "protobuf") });
    deliveries.push(protobuf);
    await protobuf.drained();
    expect(sink.requests.map(({ encoding }) => encoding)).toEqual(["json", "protobuf"]);
    for (const log of sink.logs) {
      expect(log).toMatchObject({
        eventName: "tailscale.network.flow",
        timeUnixNano: "1800000000123456789",
        observedTimeUnixNano: "1800000001000000005",
        severityNumber: 13,
        severityText: "WARN",
        body: "warn one",
        attributes: { "source.port": 443, "tailscale.src.node": "web", "tailscale.src.tags": ["tag:a", "tag:b"] },
        resource: { "service.name": "tailscale2otel" },
        scope: { name: "tailscale2otel", version: "1.2.3" },
      });
    }
  });

  test("stay under the byte limit", async () => {
    const delivery = deliver([numbered(Array(40).fill(10))], { maxRecords: 1_000, maxBytes: 20_000 });
    await delivery.drained();
    expect(Math.max(...sink.requests.map(({ bytes }) => bytes))).toBeLessThanOrEqual(20_000);
    expect(bodies().toSorted()).toEqual(names(400).toSorted());
  });

  test("of large events are cut before they are sent", async () => {
    const large = Array.from({ length: 30 }, (_, index) => [`${index}`.padEnd(9_000, "x")]);
    const delivery = deliver([large], { maxRecords: 1_000, maxBytes: 20_000 });
    await delivery.drained();
    expect(sink.requests.every(({ bytes, logs }) => bytes <= 20_000 || logs.length === 1)).toBe(true);
    expect(new Set(bodies())).toEqual(new Set(large.flat()));
  });

  test("go on through more rows than are read at a time", async () => {
    const delivery = deliver(
      numbered(Array(300).fill(2)).map((record) => [record]),
      { maxRecords: 50 },
    );
    await delivery.drained();
    expect(new Set(bodies())).toEqual(new Set(names(600)));
    expect(sink.requests.length).toBeLessThan(30);
  });

  test("records without log events are delivered without a request", async () => {
    const delivery = deliver([[[], [], []], [[]]]);
    await delivery.drained();
    expect(sink.requests).toHaveLength(0);
    expect(delivery.cursor.records.delivered).toBe(4);
  });

  test("rows without records are passed", async () => {
    const tally = { ...rowOf(2, []), text: "" };
    const rows = [rowOf(1, [["a"]]), tally];
    const delivery = startDelivery(rows, { channel: channelTo(sink.url) });
    deliveries.push(delivery);
    await delivery.drained();
    expect(delivery.cursor).toMatchObject({ seq: 3, record: 0, event: 0 });
  });

  test("what is committed later goes out without being asked for again", async () => {
    const delivery = deliver([[["a"]]]);
    await delivery.drained();
    delivery.commit([["b"]]);
    await delivery.drained();
    expect(bodies()).toEqual(["a", "b"]);
  });
});

describe("the cursor", () => {
  test("waits for the unbroken run, and the window ends at the concurrency", async () => {
    let release = (): void => undefined;
    const first = new Promise<void>((resolve) => (release = resolve));
    const seen: string[][] = [];
    const channel = channelOf(async (request) => {
      seen.push([...request]);
      if (request.includes("e0")) await first;
      return { kind: "taken" };
    });
    const delivery = startDelivery([rowOf(1, numbered([2, 2, 2, 2]))], { channel, maxRecords: 2, concurrency: 2 });
    deliveries.push(delivery);
    while (seen.length < 2) await new Promise(setImmediate);
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect(seen).toEqual([
      ["e0", "e1"],
      ["e2", "e3"],
    ]);
    expect(delivery.cursors).toHaveLength(0);
    release();
    await delivery.drained();
    expect(delivery.cursors[0]).toMatchObject({ seq: 1, record: 2, event: 0 });
  });

  test("a delivery that starts at it repeats nothing before it and loses nothing after", async () => {
    const records = numbered([3, 9, 4]);
    const from: LogCursor = { ...startOfJournal, record: 1, event: 5, records: { delivered: 1, deadLettered: 0 } };
    const delivery = deliver([records], { from });
    await delivery.drained();
    expect(bodies().toSorted()).toEqual(names(16).slice(8).toSorted());
    expect(delivery.cursor.records.delivered).toBe(3);
  });
});

describe("faults of our own", () => {
  test("a record that cannot be described is set aside alone", async () => {
    const delivery = deliver([[["a"], ["b!"], ["c"]]]);
    await delivery.drained();
    expect(bodies().toSorted()).toEqual(["a", "c"]);
    expect(delivery.setAside).toMatchObject([{ class: "dead_letter", reason: "internal", text: '["b!"]' }]);
    expect(delivery.cursor.records).toEqual({ delivered: 2, deadLettered: 1 });
  });

  test("a row that cannot be read is accounted for whole", async () => {
    const rows = [rowOf(1, [["a"]]), { ...rowOf(2, [["b"], ["c"]]), text: "", damage: "checksum" }, rowOf(3, [["d"]])];
    const delivery = startDelivery(rows, { channel: channelTo(sink.url) });
    deliveries.push(delivery);
    await delivery.drained();
    expect(delivery.cursor.records).toEqual({ delivered: 2, deadLettered: 2 });
    expect(delivery.setAside).toMatchObject([
      { reason: "internal", seq: 2, detail: expect.stringContaining("checksum") },
    ]);
  });
});

describe("stop", () => {
  test("delivers what is pending first", async () => {
    const delivery = deliver([numbered([8, 8, 8])], { concurrency: 1 });
    await delivery.delivery.stop(10_000_000);
    expect(bodies()).toEqual(names(24));
    expect(delivery.cursor.seq).toBe(2);
  });

  test("ends at the deadline when the backend hangs", async () => {
    sink.behave(() => ({ kind: "hang" }));
    const delivery = deliver([numbered([4])]);
    await sink.until(({ requests }) => requests.length === 1);
    await delivery.delivery.stop(50_000);
    expect(delivery.cursor).toEqual(startOfJournal);
  });

  test("tries once more, and does not wait for a backend that fails", async () => {
    sink.behave(() => ({ kind: "status", status: 503, headers: { "retry-after": "200" } }));
    const delivery = deliver([numbered([4])]);
    await delivery.until(() => delivery.states.at(-1)?.kind === "waiting");
    const before = sink.requests.length;
    await delivery.delivery.stop(1_000_000_000);
    expect(sink.requests.length).toBe(before + 1);
  });

  test("is safe twice, and after it nothing is sent", async () => {
    const delivery = deliver([[["a"]]]);
    await Promise.all([delivery.delivery.stop(1_000_000), delivery.delivery.stop(1_000_000)]);
    delivery.commit([["b"]]);
    expect(bodies()).toEqual(["a"]);
  });
});
