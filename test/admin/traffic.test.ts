/** Traffic as the page requests it, with a real journal, ledger and listener. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { Pace } from "../../src/admin/pace.ts";
import {
  createTraffic,
  type RecentTraffic,
  type Traffic,
  type TrafficFeed,
  type TrafficMap,
  type TrafficSample,
} from "../../src/admin/traffic/index.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { adminWith } from "../support/admin.ts";
import { auditValue, connection, flowValue } from "../support/records.ts";
import { createStore, take, type TestStore } from "../support/store.ts";
import { timeoutMs, until } from "../support/wait.ts";

const minute = 60_000;

let store: TestStore;
let traffic: TrafficFeed;
let admin: Admin;
beforeEach(async () => {
  store = createStore();
  const clock = (): number => store.now;
  traffic = createTraffic({ ...store, pace: new Pace(), clock, telemetry: silentTelemetry, logger: silentLogger });
  admin = createAdmin(
    { listen: "127.0.0.1:0", token: "" },
    adminWith({
      traffic,
    }),
  );
  await admin.start();
});
afterEach(async () => {
  traffic.stop();
  await admin.stop(0);
  store.remove();
});

async function ask<Answer>(path: string): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${admin.port}/api/v1/${path}`);
  const answer = (await response.json()) as Answer;
  if (!response.ok) throw new Error(`${response.status} ${(answer as { text: string }).text}`);
  return answer;
}

const names = ["", "laptop", "server", "phone"];
const claim = (node: number): JsonObject => ({
  nodeId: `n${node}CNTRL`,
  name: `${names[node]}.tail1234.ts.net`,
  addresses: [`100.64.1.${node}`],
});

let reports = 0;

/** A flow record in which one node reports its traffic with another. */
function report(from: number, to: number, members: JsonObject): JsonObject {
  const start = new Date(Date.UTC(2026, 10, 2, 9) + ++reports * 1000).toISOString();
  return flowValue({ nodeId: `n${from}CNTRL`, start, srcNode: claim(from), dstNodes: [claim(to)], ...members });
}

function bytes(from: number, to: number, txBytes: number, rxBytes: number, port = 443): JsonObject {
  return connection({ src: `100.64.1.${from}:40000`, dst: `100.64.1.${to}:${port}`, txBytes, rxBytes });
}

describe("by minute of acceptance", () => {
  test("shows entries and bytes by kind, audit and webhook records, and the current minute", async () => {
    const first = store.now - (store.now % minute) - 5 * minute;
    const relayed = connection({ src: "100.64.1.2", dst: "127.3.3.40:7", txBytes: 50, rxBytes: 5 });
    const direct = connection({ src: "100.64.1.2", dst: "192.0.2.7:41641", txBytes: 40, rxBytes: 4 });
    const virtualTraffic = [bytes(1, 2, 100, 10), bytes(1, 2, 1, 2, 22)];
    await take(store, [report(1, 2, { virtualTraffic, physicalTraffic: [relayed, direct] })], first + 1000);
    await take(store, [auditValue()], first + 2000);
    await take(store, [report(1, 2, { virtualTraffic: [bytes(1, 2, 7, 8)] })], store.now);
    const found = await ask<Traffic>(`traffic?since=${first}&until=${store.now + 1}`);
    expect(found).toMatchObject({ since: first, stepSeconds: 60, isComplete: true, isPartial: false, audit: [1, 0] });
    expect(found.at).toEqual([first, first + 5 * minute]);
    expect(found.webhook).toEqual([0, 0]);
    expect(found.series.virtual).toEqual({ entries: [2, 1], txBytes: [101, 7], rxBytes: [12, 8] });
    expect(found.series.relayed).toEqual({ entries: [1, 0], txBytes: [50, 0], rxBytes: [5, 0] });
    expect(found.series.direct).toEqual({ entries: [1, 0], txBytes: [40, 0], rxBytes: [4, 0] });
    expect(found.series.physical.entries).toEqual([0, 0]);
  });

  test("shows what a node sends and receives, whichever node reports it", async () => {
    await take(store, [report(1, 2, { virtualTraffic: [bytes(1, 2, 100, 10)] })], store.now);
    await take(store, [report(3, 1, { virtualTraffic: [bytes(3, 1, 7, 5)] })], store.now);
    await take(store, [report(2, 3, { virtualTraffic: [bytes(2, 3, 1000, 1000)] })], store.now);
    const { series, isPartial } = await ask<Traffic>("traffic?node=laptop");
    expect(series.virtual).toEqual({ entries: [2], txBytes: [105], rxBytes: [17] });
    expect(isPartial).toBe(false);
  });

  test("refuses an invalid range", async () => {
    for (const [query, text] of [
      ["since=yesterday", "since must be a whole number of milliseconds, up to 8640000000000000"],
      ["since=2&until=1", "until is before since"],
      ["node=", "node must be the name of a node"],
      ["limit=3", '"limit" is unknown'],
    ])
      await expect(ask(`traffic?${query}`)).rejects.toThrow(`400 ${text}`);
    await expect(ask("map?limit=2001")).rejects.toThrow("400 limit must be 1 to 2000");
    await expect(ask("map?node=a")).rejects.toThrow('400 "node" is unknown');
  });
});

describe("as a map", () => {
  test("uses the larger of two reports, and sums up the pairs that are not named", async () => {
    const [virtualTraffic, fromServer] = [[bytes(1, 2, 100, 10)], [bytes(2, 1, 9, 99)]];
    const relayed = [connection({ src: "100.64.1.2", dst: "127.3.3.40:7", txBytes: 50, rxBytes: 5 })];
    await take(store, [report(1, 2, { virtualTraffic, physicalTraffic: relayed })], store.now - 3 * minute);
    await take(store, [report(2, 1, { virtualTraffic: fromServer })], store.now - 3 * minute);
    await take(store, [report(3, 2, { virtualTraffic: [bytes(3, 2, 30, 3, 22)] })], store.now);
    const map = await ask<TrafficMap>("map?limit=1");
    const pair = { from: "laptop", to: "server", entries: 1, txBytes: 100, rxBytes: 10, kinds: { virtual: 110 } };
    expect(map.pairs).toEqual([pair]);
    expect(map.nodes).toEqual([{ name: "server", kinds: { relayed: 55 } }]);
    expect(map.services).toEqual([
      { name: "https", isTransport: false, entries: 2, bytes: 218 },
      { name: "ssh", isTransport: false, entries: 1, bytes: 33 },
    ]);
    expect(map.others).toEqual({ entries: 1, bytes: 33 });
    const { pairs, others } = await ask<TrafficMap>("map");
    expect(pairs.map(({ from, to }) => [from, to])).toEqual([
      ["laptop", "server"],
      ["phone", "server"],
    ]);
    expect(others).toEqual({ entries: 0, bytes: 0 });
  });

  test("computes an answer once for all concurrent requests", async () => {
    await take(store, [report(1, 2, { virtualTraffic: [bytes(1, 2, 100, 10)] })], store.now);
    const range = { since: store.now - minute, until: store.now };
    const answers = await Promise.all([traffic.map({ ...range, limit: 5 }), traffic.map({ ...range, limit: 5 })]);
    expect(answers[0]).toBe(answers[1]);
  });
});

test(
  "a damaged minute is left out until it is rebuilt in the background",
  async () => {
    const [first, ...others] = [0, 1, 2, 3, 4, 5].map((n) => store.now + n * minute) as [number, ...number[]];
    for (const at of [first, ...others])
      await take(store, [report(1, 2, { virtualTraffic: [bytes(1, 2, 7, 8)] })], (store.now = at));
    await store.ledger.fold(store.now);
    const changed = [{ at: first, totals: Buffer.of(1), detail: Buffer.of(2) }];
    const { lastSeq: measuredSeq } = store.journal;
    store.journal.writeSnapshot({ measuredSeq, blobs: new Map(), minutes: { changed, gap: undefined } });
    const found = await ask<Traffic>(`traffic?since=${first}`);
    expect(found).toMatchObject({ at: others, isComplete: false });
    traffic.start();
    let since = first;
    await until(async () => (await ask<Traffic>(`traffic?since=${(since -= minute)}`)).isComplete);
    expect(await ask<Traffic>(`traffic?since=${since}`)).toMatchObject({ at: [first, ...others], isComplete: true });
  },
  timeoutMs,
);

test("at most 32 different answers are computed at once; identical requests share one", async () => {
  const asked = Array.from({ length: 32 }, (_, n) => traffic.map({ since: n * minute, limit: 5 }));
  expect(() => traffic.map({ since: 99 * minute, limit: 5 })).toThrow("32 answers are being computed already");
  expect(traffic.map({ since: 0, limit: 5 })).toBe(asked[0] as Promise<TrafficMap>);
  await Promise.all(asked);
  expect((await traffic.map({ since: 99 * minute, limit: 5 })).since).toBe(99 * minute);
});

test("a sample covers the time since the last one, live and for a page that opens later", async () => {
  const seen: TrafficSample[] = [];
  await take(store, [report(1, 2, { virtualTraffic: [bytes(1, 2, 100, 10)] })], store.now);
  traffic.start();
  traffic.onSample((sample) => seen.push(sample));
  await take(store, [report(1, 2, { virtualTraffic: [bytes(1, 2, 7, 8)] })], store.now);
  await store.ledger.fold(store.now);
  await take(store, [report(2, 1, { virtualTraffic: [bytes(2, 1, 1, 2)] })], store.now);
  traffic.takeSample();
  traffic.takeSample();
  expect(seen.map(({ series }) => series.virtual)).toEqual([
    { entries: 2, txBytes: 8, rxBytes: 10 },
    { entries: 0, txBytes: 0, rxBytes: 0 },
  ]);
  const recent = await ask<RecentTraffic>("traffic/recent");
  expect(recent.at).toEqual([store.now, store.now]);
  expect(recent.seconds).toHaveLength(2);
  expect(recent.series.virtual.txBytes).toEqual([8, 0]);
});
