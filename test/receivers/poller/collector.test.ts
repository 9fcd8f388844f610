/** A collector on its own: what it asks for after an answer that is too large, after none, and after keys have left meanwhile. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentTelemetry } from "../../../src/catalogue/telemetry.ts";
import { Refusal } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/lib/logger.ts";
import { formatRfc3339 } from "../../../src/lib/rfc3339.ts";
import type { Horizon } from "../../../src/journal/index.ts";
import { type CollectorDeps, LogCollector } from "../../../src/receivers/poller/collector.ts";
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

/** What a collector needs of the real journal, as an object of its own whose members can be replaced. */
function collectorJournal(): CollectorDeps["journal"] {
  const { journal } = store;
  return {
    space: journal.space,
    horizon: (type) => journal.horizon(type),
    pollCursor: (type) => journal.pollCursor(type),
    movePollCursor: (cursor) => journal.movePollCursor(cursor),
    dropPollCursor: (type) => journal.dropPollCursor(type),
  };
}

function api() {
  return createTailscaleApi(
    {
      baseUrl: tailnet.url,
      tailnet: tailnet.tailnet,
      auth: { kind: "apikey", key: tailnet.apiKey },
      http: { timeoutMs: 10_000, maxAttempts: 1, rateLimit: 0 },
    },
    { fetch, clock: () => store.now, random: () => 0.5, telemetry: silentTelemetry },
  );
}

/** Lengths of the windows that were asked for, seconds. */
function asked(): readonly number[] {
  return tailnet.requests
    .filter(({ path }) => path.endsWith("/logging/network"))
    .map(({ query }) => (Date.parse(query["end"] ?? "") - Date.parse(query["start"] ?? "")) / 1000);
}

test("asks for half of a window that took too long, until an answer comes", async () => {
  const collector = collectorWith();
  tailnet.fail({ path: /logging/, times: 3, effect: { kind: "status", status: 408 } });
  for (let failure = 0; failure < 3; failure++) {
    await expect(collector.step(signal)).rejects.toThrow("408");
    expect(collector.canHalve).toBe(true);
  }
  expect(await collector.step(signal)).toBe("behind");
  expect(collector.canHalve).toBe(false);
  expect(asked()).toEqual([900, 450, 225, 112]);
});

test("halves nothing if a step fails before it asks for logs", async () => {
  const slow = api();
  const collector = collectorWith({
    api: { authenticate: slow.authenticate, readLogs: slow.readLogs, clockAheadMs: undefined },
  });
  tailnet.fail({ path: /logging/, effect: { kind: "status", status: 408 } });
  await expect(collector.step(signal)).rejects.toThrow("408");
  expect(collector.canHalve).toBe(true);
  tailnet.fail({ path: /webhooks/, effect: { kind: "status", status: 500 } });
  await expect(collector.step(signal)).rejects.toThrow("500");
  expect(collector.canHalve).toBe(false);
});

test("drops what it has read if keys have left meanwhile, and asks for less", async () => {
  let asks = 0;
  const leaving: CollectorDeps["journal"] = {
    ...collectorJournal(),
    /** The horizon lies far back when a window begins, and inside of it when it has been read: twice. */
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
  expect(asked()).toEqual([900, 450, 225]);
});

test("refuses to read while the journal refuses to append, with the journal's own reason", async () => {
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
  await expect(collector.step(signal)).rejects.toThrow("More than 500000 records");
  expect(collector.canHalve).toBe(true);
  expect(await collector.step(signal)).toBe("behind");
  expect(asked()).toEqual([900, 450]);
});
