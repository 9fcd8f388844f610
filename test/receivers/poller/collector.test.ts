/** One collector: what it requests after an oversized answer, after no answer, and after dedup keys were dropped while it was reading. */
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import { silentTelemetry } from "../../../src/catalogue/telemetry.ts";
import { Refusal } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/lib/logger.ts";
import { formatRfc3339 } from "../../../src/lib/rfc3339.ts";
import type { Horizon } from "../../../src/journal/index.ts";
import { type CollectorDeps, LogCollector } from "../../../src/receivers/poller/collector.ts";
import { tailscaleSettings } from "../../support/api-client.ts";
import { createTailscaleApi } from "../../../src/tailscale/index.ts";
import { flowValue } from "../../support/records.ts";
import { startTailnet, type Tailnet } from "../../support/tailnet/index.ts";
import { policy } from "../../support/polled-program.ts";
import { createStore, type TestStore } from "../../support/store.ts";

let store: TestStore;
let tailnet: Tailnet;
const signal = new AbortController().signal;

beforeEach(async () => {
  store = createStore();
  tailnet = await startTailnet({ clock: () => store.now });
});

afterEach(async () => {
  await tailnet.stop();
  store.remove();
});

function collectorWith(replaced: Partial<CollectorDeps> = {}): LogCollector {
  const clock = () => store.now;
  return new LogCollector(
    { type: "flow", policy, mode: "always" },
    {
      api: api(),
      pipeline: store.pipeline,
      journal: store.journal,
      logger: silentLogger,
      clock,
      ...replaced,
    },
  );
}

/** What a collector uses of the real journal, in an object whose members can be replaced. */
function collectorJournal(): CollectorDeps["journal"] {
  const { journal } = store;
  return {
    space: journal.space,
    horizon: (type) => journal.horizon(type),
    pollCursor: (type) => journal.pollCursor(type),
    setPollCursor: (type, cursor) => journal.setPollCursor(type, cursor),
  };
}

function api() {
  return createTailscaleApi(
    tailscaleSettings({
      url: tailnet.url,
      tailnet: tailnet.tailnet,
      auth: { kind: "apikey", key: tailnet.apiKey },
      http: { timeoutMs: 60_000, maxAttempts: 1 },
    }),
    { fetch, clock: () => store.now, random: () => 0.5, telemetry: silentTelemetry, sleep: () => Promise.resolve() },
  );
}

/** Lengths of the requested windows, seconds. */
function asked(): readonly number[] {
  return tailnet.requests
    .filter(({ path }) => path.endsWith("/logging/network"))
    .map(({ query }) => (Date.parse(query["end"] ?? "") - Date.parse(query["start"] ?? "")) / 1000);
}

/** The error of a step to be retried at once with half of the window. */
function halved(why: string): object {
  return { message: expect.stringMatching(new RegExp(`${why}.*; asking for half of it$`)), retryAfterSeconds: 0 };
}

test("halves a window that took too long until the API answers", async () => {
  const collector = collectorWith();
  tailnet.fail({ path: /logging/, times: 3, effect: { kind: "status", status: 408 } });
  for (let failure = 0; failure < 3; failure++) {
    await expect(collector.step(signal)).rejects.toMatchObject(halved("408"));
  }
  expect(await collector.step(signal)).toBe("behind");
  expect(asked()).toEqual([600, 300, 150, 75]);
});

test("discards what it has read if dedup keys were dropped meanwhile, and requests less", async () => {
  let asks = 0;
  const leaving: CollectorDeps["journal"] = {
    ...collectorJournal(),
    /** For the first two windows, the horizon is far back when the window begins and inside it once it has been read. */
    horizon(): Horizon {
      const at = ++asks === 2 || asks === 4 ? store.now : 1;
      return { until: at, streamed: at };
    },
  };
  const collector = collectorWith({ journal: leaving });
  expect(await collector.step(signal)).toBe("behind");
  const { readUntil } = store.journal.pollCursor("flow") ?? {};
  expect(await collector.step(signal)).toBe("behind");
  expect(store.journal.pollCursor("flow")?.readUntil).toBe(readUntil as number);
  expect(await collector.step(signal)).toBe("behind");
  expect(asked()).toEqual([600, 300, 150]);
});

test("gives others a turn while it reads the records of one piece", async () => {
  const records = Array.from({ length: 6 }, (_, place) =>
    Buffer.from(JSON.stringify(flowValue({ nodeId: `n${place}CNTRL` }))),
  );
  const { pipeline } = store;
  const slow: CollectorDeps["pipeline"] = {
    open(origin) {
      const batch = pipeline.open(origin);
      const scan = batch.scan.bind(batch);
      batch.scan = (...given) => {
        for (const endsAt = performance.now() + 30; performance.now() < endsAt;);
        return scan(...given);
      };
      return batch;
    },
  };
  let turns = 0;
  const atOnce: CollectorDeps["api"] = {
    authenticate: () => Promise.resolve(),
    clockAheadMs: 0,
    async readLogs(_log, _window, { onRecords }) {
      let isOver = false;
      const turn = (): void => {
        turns++;
        if (!isOver) setImmediate(turn);
      };
      turn();
      await onRecords(records);
      isOver = true;
    },
  };
  await collectorWith({ api: atOnce, pipeline: slow }).step(signal);
  expect(turns).toBeGreaterThanOrEqual(records.length);
  expect(store.ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" })).toBe(records.length);
});

test("does not read while the journal refuses to append, and gives the journal's own reason", async () => {
  const space = { usedBytes: 1, limitBytes: 1, refusal: "the journal is full" };
  const full: CollectorDeps["journal"] = { ...collectorJournal(), space };
  await expect(collectorWith({ journal: full }).step(signal)).rejects.toThrow("the journal is full");
  expect(asked()).toEqual([]);
});

test("halves a window with more records than one batch may have", async () => {
  const tooMany = new Refusal("too_large", "More than 500000 records in one request");
  const { pipeline } = store;
  let opened = 0;
  const crowded: CollectorDeps["pipeline"] = {
    open(origin) {
      const batch = pipeline.open(origin);
      if (++opened === 1)
        batch.scan = () => {
          throw tooMany;
        };
      return batch;
    },
  };
  tailnet.addFlow(flowValue(), formatRfc3339([Math.floor(store.now / 1000) - 300, 0]));
  const collector = collectorWith({ pipeline: crowded });
  await expect(collector.step(signal)).rejects.toMatchObject(halved("More than 500000 records"));
  expect(await collector.step(signal)).toBe("behind");
  expect(asked()).toEqual([600, 300]);
});

test("requests the look-back first, and re-reads the overlap from then on", async () => {
  const collector = collectorWith();
  expect(await collector.step(signal)).toBe("current");
  store.now += 60_000;
  expect(await collector.step(signal)).toBe("current");
  expect(asked()).toEqual([policy.lookback, policy.overlap + 60]);
});

test("commits a large answer in parts of a few MiB, each record once, even if it breaks off", async () => {
  const count = 60_000;
  const logged = formatRfc3339([Math.floor(store.now / 1000) - 300, 0]);
  tailnet.serveRecords("network", function* () {
    for (let serial = 0; serial < count; serial++)
      yield JSON.stringify(flowValue({ nodeId: `n${serial}CNTRL`, logged }));
  });
  const committed: number[] = [];
  const { pipeline } = store;
  const counted: CollectorDeps["pipeline"] = {
    open(origin) {
      const batch = pipeline.open(origin);
      const commit = batch.commit.bind(batch);
      batch.commit = async (bytes, besides) => {
        const { records } = batch;
        const outcome = await commit(bytes, besides);
        committed.push(records);
        return outcome;
      };
      return batch;
    },
  };
  const collector = collectorWith({ pipeline: counted });
  const collect = spyOn(Bun, "gc");
  tailnet.fail({ path: /logging/, effect: { kind: "cut", afterBytes: 12_000_000 } });
  await expect(collector.step(signal)).rejects.toThrow("network");
  expect(committed.length).toBeGreaterThan(0);
  expect(store.journal.pollCursor("flow")?.isOurClock).toBe(true);
  expect(await collector.step(signal)).toBe("current");
  expect(Math.max(...committed)).toBeLessThan(count * 0.7);
  // Garbage is collected after each full part; the last part is not full.
  expect(collect.mock.calls.length).toBe(committed.length - 1);
  collect.mockRestore();
  expect(store.ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" })).toBe(count);
});

test("treats a record that is not JSON as a malformed answer", async () => {
  tailnet.serveRecords("network", function* () {
    yield '{"nodeId":}';
  });
  await expect(collectorWith().step(signal)).rejects.toMatchObject({ reason: "malformed" });
});
