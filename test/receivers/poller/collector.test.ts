/** A collector on its own: what it asks for next, where an answer is too much, where none comes, and where keys leave meanwhile. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentTelemetry } from "../../../src/catalogue/telemetry.ts";
import type { Journal } from "../../../src/journal/index.ts";
import { silentLogger } from "../../../src/lib/logger.ts";
import { createPipeline } from "../../../src/pipeline/index.ts";
import { type CollectorDeps, LogCollector } from "../../../src/receivers/poller/collector.ts";
import { createTailscaleApi } from "../../../src/tailscale/index.ts";
import { createState, type TestState } from "../../support/journal.ts";
import { policy } from "../../support/polled-program.ts";
import { startTailnet, type Tailnet } from "../../support/tailnet/index.ts";

let state: TestState;
let journal: Journal;
let tailnet: Tailnet;
const signal = new AbortController().signal;

beforeEach(async () => {
  state = createState();
  journal = state.open();
  tailnet = await startTailnet({ clock: () => state.now });
});

afterEach(async () => {
  await tailnet.stop();
  state.remove();
});

function collectorWith(replaced: Partial<CollectorDeps> = {}): LogCollector {
  const clock = () => state.now;
  return new LogCollector(
    { type: "flow", policy, mode: "always" },
    {
      api: api(),
      pipeline: createPipeline(journal, { collapseExternal: true }),
      journal,
      logger: silentLogger,
      clock,
      ...replaced,
    },
  );
}

function api() {
  return createTailscaleApi(
    {
      baseUrl: tailnet.url,
      tailnet: tailnet.tailnet,
      auth: { kind: "apikey", key: tailnet.apiKey },
      http: { timeoutMs: 10_000, maxAttempts: 1, rateLimit: 0 },
    },
    { fetch, clock: () => state.now, random: () => 0.5, telemetry: silentTelemetry },
  );
}

/** Lengths of the windows that were asked for, seconds. */
function asked(): readonly number[] {
  return tailnet.requests
    .filter(({ path }) => path.endsWith("/logging/network"))
    .map(({ query }) => (Date.parse(query["end"] ?? "") - Date.parse(query["start"] ?? "")) / 1000);
}

test("asks for half of what took too long, until it is there", async () => {
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

test("has nothing to halve where the next step does not come as far as to ask", async () => {
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

test("drops what it has read where keys have left meanwhile, and asks for less", async () => {
  let left = 0;
  const leaving = {
    ...journal,
    pollCursor: journal.pollCursor,
    space: journal.space,
    /** The horizon lies far back when a window begins, and inside of it when it has been read: twice. */
    forgotten() {
      const at = ++left === 2 || left === 4 ? state.now : 1;
      return { until: at, streamed: at };
    },
  };
  const collector = collectorWith({ journal: leaving });
  expect(await collector.step(signal)).toBe("behind");
  const { readUntil } = journal.pollCursor("flow") ?? {};
  expect(await collector.step(signal)).toBe("behind");
  expect(journal.pollCursor("flow")?.readUntil).toBe(readUntil as number);
  expect(await collector.step(signal)).toBe("behind");
  expect(asked()).toEqual([900, 450, 225]);
});
