/** Long absences and wrong clocks, by a clock that the test holds: nothing lost, nothing counted twice, and the horizon says how far back that holds. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import type { Journal } from "../../src/journal/index.ts";
import { Ledger, type LedgerView } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { conservationOf } from "../../src/pipeline/conservation.ts";
import { createPipeline, incrementsOf } from "../../src/pipeline/index.ts";
import { observeStore } from "../../src/pipeline/observe.ts";
import { recover } from "../../src/pipeline/recover.ts";
import { createState, hourMs, type TestState } from "../support/journal.ts";
import { enveloped, flowValue, unwrapped } from "../support/records.ts";

const names = { collapseExternal: true };
const windowsMs = { flow: 6 * hourMs, audit: 48 * hourMs, webhook: 26 * hourMs };
const dayMs = 24 * hourMs;

let state: TestState;
let journal: Journal;
let ledger: Ledger;
let horizonSeconds: () => number;

beforeEach(() => {
  state = createState();
  state.steady = 0;
  start();
});
afterEach(() => state.remove());

function start(options: Parameters<TestState["open"]>[0] = {}): void {
  journal = state.open(options);
  ledger = new Ledger(
    { metricsMode: "both", rollupTopN: 1, metricLimit: 100, idleFolds: 1e6 },
    journal.identity.createdAt,
  );
  recover(journal, ledger, names, silentLogger);
  journal.onCommitted((committed) => {
    for (const increments of incrementsOf(committed)) ledger.add(increments);
  });
  const telemetry: Telemetry = {
    ...silentTelemetry,
    observe(metric, ask) {
      if (metric === "tailscale2otel.dedup.horizon") horizonSeconds = () => ask()[0]?.value ?? Number.NaN;
    },
  };
  observeStore(journal, ledger, { windowsMs, metricLimit: 100 }, { telemetry, clock: () => state.now });
}

/** The machine runs on for that long, with what the program does every now and then. */
function pass(ms: number, stepMs = hourMs): void {
  for (let left = ms; left > 0; left -= stepMs) {
    const step = Math.min(left, stepMs);
    state.now += step;
    state.steady = (state.steady ?? 0) + step;
    journal.maintain();
  }
}

/** How many of these records were accepted: one for each node name. */
async function send(...nodeIds: readonly string[]): Promise<number> {
  const draft = createPipeline(journal, names).open({ source: "stream", receivedAt: state.now });
  for (const nodeId of nodeIds) draft.add(unwrapped(enveloped(flowValue({ nodeId }), state.now / 1000)).records);
  return (await draft.commit(1)).accepted;
}

const fold = (): LedgerView => ledger.fold(state.now, journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));

function flows(): { readonly value: number; readonly startAt: number | undefined } {
  const series = fold().metrics.find(({ name }) => name === "tailscale.network.flows")?.series ?? [];
  return { value: series.reduce((sum, { value }) => sum + value, 0), startAt: series[0]?.startAt };
}

function expectSums(expected: Partial<ReturnType<typeof conservationOf>>): void {
  const sums = conservationOf(journal, ledger);
  expect(sums.accepted + sums.duplicate + sums.skipped + sums.quarantined).toBe(sums.received);
  expect(sums.delivered + sums.pending + sums.deadLettered).toBe(sums.accepted);
  expect(sums).toMatchObject({ ...expected, lost: 0, uncounted: 0 });
}

describe("a week down", () => {
  test("keeps what waits, knows what a sender sends again, and counts on where it ended", async () => {
    expect(await send("a", "b", "c")).toBe(3);
    const before = flows();
    await send("d");
    journal.close();
    state.now += 7 * dayMs;
    start();
    journal.maintain();
    expectSums({ accepted: 4, pending: 4 });
    expect(await send("a", "b", "c", "d")).toBe(0);
    expect(await send("e")).toBe(1);
    expectSums({ accepted: 5, duplicate: 4, pending: 5 });
    expect(flows()).toEqual({ value: 5, startAt: before.startAt });
  });

  test("leaves the horizon where it was, until keys leave in their time; then it is the window", async () => {
    await send("a");
    pass(hourMs);
    expect(horizonSeconds()).toBe(windowsMs.flow / 1000);
    journal.close();
    state.now += 7 * dayMs;
    start();
    journal.maintain();
    expect(horizonSeconds()).toBe(windowsMs.flow / 1000);
    expect(journal.keyCount("flow")).toBe(1);
    pass(14 * dayMs);
    expect(journal.keyCount("flow")).toBe(0);
    expect(horizonSeconds()).toBe(windowsMs.flow / 1000);
  });
});

test("keys that are forced out bring the horizon nearer, and a restart after a week does not hide it", async () => {
  journal.close();
  const limit = { windowMs: windowsMs.flow, maxKeys: 10 };
  const keyLimits = { flow: limit, audit: limit, webhook: limit, quarantined: limit };
  start({ keyLimits });
  for (let n = 0; n < 30; n++) {
    await send(`node-${n}`);
    pass(60_000, 60_000);
  }
  const forced = horizonSeconds();
  expect(forced).toBeLessThan(30 * 60);
  expect(await send("node-29")).toBe(0);
  journal.close();
  state.now += 10 * 60_000;
  start({ keyLimits });
  expect(horizonSeconds()).toBe(forced + 600);
});

describe("a clock that is hours", () => {
  test.each([
    ["ahead", 5 * hourMs],
    ["behind", -5 * hourMs],
  ])("%s, and then right again, counts every record once, and no counter goes back", async (_, offMs) => {
    let accepted = 0;
    let last = flows().value;
    let lastAt = ledger.view.at;
    const step = async (...nodeIds: string[]): Promise<void> => {
      accepted += await send(...nodeIds);
      pass(60_000, 60_000);
      const { value } = flows();
      expect(value).toBeGreaterThanOrEqual(last);
      expect(ledger.view.at).toBeGreaterThan(lastAt);
      last = value;
      lastAt = ledger.view.at;
    };
    await step("a", "b");
    state.now += offMs;
    await step("a", "b", "c");
    journal.close();
    start();
    await step("b", "c", "d");
    state.now -= offMs;
    await step("a", "b", "c", "d", "e");
    journal.close();
    start();
    await step("e");
    expect([accepted, last]).toEqual([5, 5]);
    expectSums({ accepted: 5, duplicate: 9, pending: 5 });
  });
});
