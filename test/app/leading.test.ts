/** The leading half with a journal whose commits are announced, as with several instances. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createLeading, type Leading } from "../../src/app/leading.ts";
import { createTermTelemetry } from "../../src/app/telemetry.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import type { Journal, Tail } from "../../src/journal/index.ts";
import { Unavailable } from "../../src/errors.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createStore, numberedFlow, take, type TestStore } from "../support/store.ts";
import { until } from "../support/wait.ts";

let store: TestStore;
let tail: Tail;
let leading: Leading;
let snapshots: number;

beforeEach(async () => {
  store = createStore();
  tail = { onGrowth() {} };
  snapshots = 0;
  const writeSnapshot: Journal["writeSnapshot"] = (snapshot) => {
    snapshots++;
    return store.journal.writeSnapshot(snapshot);
  };
  leading = await lead({ writeSnapshot });
});
afterEach(() => store.remove());

/** Leads with the store's journal, with these members replaced. */
function lead(
  members: Partial<Record<keyof Journal, unknown>>,
  telemetry = createTermTelemetry(silentTelemetry)(),
  logger = silentLogger,
): Promise<Leading> {
  const own = Object.entries({ tail, ...members }).map(([name, value]) => [name, { value }] as const);
  const journal = Object.create(store.journal, Object.fromEntries(own)) as Journal;
  return createLeading(store.config, {
    ...store,
    journal,
    telemetry,
    logger,
    plainLogger: silentLogger,
    clock: Date.now,
    random: Math.random,
    entry: new URL("../export/worker-entry.ts", import.meta.url),
    version: "1.2.3",
    startedAt: 0,
    firstSeq: 0,
    notReady: () => [],
    onStdoutClosed() {},
    useWebhookSecrets() {},
  });
}

/** A commit by any instance, announced by the tail. */
async function commit(number: number): Promise<void> {
  const { accepted } = await take(store, [numberedFlow(number)], Date.now());
  tail.onGrowth(store.journal.lastSeq, accepted);
}

const sums = () => leading.status().conservation;

test("counts and delivers what the tail announces, and folds it at the end of its term", async () => {
  leading.begin();
  await commit(1);
  await commit(2);
  await until(() => sums().accepted === 2 && sums().delivered === 2);
  const before = snapshots;
  await leading.end(1000);
  expect(snapshots).toBeGreaterThan(before);
  expect(store.journal.readSnapshot().measuredSeq).toBe(2);
});

test("writes nothing more once it is abandoned", async () => {
  leading.begin();
  await commit(1);
  await until(() => sums().accepted === 1 && sums().delivered === 1);
  await leading.abandon();
  const before = snapshots;
  await commit(2);
  expect(sums()).toMatchObject({ accepted: 1, delivered: 1 });
  expect(snapshots).toBe(before);
});

test("leaves nothing running if the journal is lost before it has begun", async () => {
  const telemetry = createTermTelemetry(silentTelemetry)();
  let hasEnded = false;
  const end = (): void => {
    hasEnded = true;
    telemetry.end();
  };
  const useDestinations = (): never => {
    throw new Unavailable("another instance leads");
  };
  await expect(lead({ useDestinations }, { ...telemetry, end })).rejects.toThrow("another instance leads");
  expect(hasEnded).toBe(true);
});

test("restores the counters although a read of the journal fails once", async () => {
  await take(store, [numberedFlow(1)], Date.now());
  const lines: string[] = [];
  let reads = 0;
  const openReader: Journal["openReader"] = () => {
    const reader = store.journal.openReader();
    const read: typeof reader.read = (...given) => {
      if (reads++ === 0) throw new Error("disk I/O error");
      return reader.read(...given);
    };
    return Object.create(reader, { read: { value: read } }) as typeof reader;
  };
  const logger = { ...silentLogger, error: (line: string) => void lines.push(line) };
  const restarted = await lead({ tail: undefined, openReader }, undefined, logger);
  restarted.begin();
  await until(() => restarted.status().counters.kind === "current");
  expect(restarted.status().conservation.accepted).toBe(1);
  expect(lines).toEqual(["the journal cannot be read to restore the counters; trying again"]);
  await restarted.end(1000);
});
