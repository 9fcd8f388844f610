/** Tests long absences and wrong clocks: nothing is lost or counted twice, and the horizon says how far back that holds. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { horizonMs } from "../../src/pipeline/observe.ts";
import { shown } from "../ledger/support.ts";
import { enveloped, flowValue } from "../support/records.ts";
import { hourMs, Restarts, send, sumsOf } from "./restarts.ts";

const dayMs = 24 * hourMs;

let restarts: Restarts;
beforeEach(() => {
  restarts = new Restarts();
  restarts.steady = 0;
});
afterEach(() => restarts.remove());

const horizonSeconds = (): number =>
  horizonMs(restarts.store.journal, "flow", restarts.config.dedup, restarts.now) / 1000;

/** Lets the machine run for that long, with regular maintenance. */
function pass(ms: number, stepMs = hourMs): void {
  for (let left = ms; left > 0; left -= stepMs) {
    const step = Math.min(left, stepMs);
    restarts.now += step;
    restarts.steady = (restarts.steady ?? 0) + step;
    restarts.store.journal.maintain();
  }
}

/** Sends one record per node name, and returns how many were accepted. */
async function sendNodes(...nodeIds: readonly string[]): Promise<number> {
  const values = nodeIds.map((nodeId) => enveloped(flowValue({ nodeId }), restarts.now / 1000));
  return (await send(restarts.store, values, { receivedAt: restarts.now })).accepted;
}

async function flows(): Promise<{ readonly value: number; readonly startAt: number | undefined; readonly at: number }> {
  const fold = await restarts.store.ledger.fold(restarts.now);
  const series = shown(fold, "tailscale.network.flows");
  return {
    value: series.reduce((sum, { value }) => sum + value, 0),
    startAt: series[0]?.startAt,
    at: fold.at,
  };
}

describe("a week down", () => {
  test("keeps pending records, recognizes resent ones, and continues counting where it ended", async () => {
    expect(await sendNodes("a", "b", "c")).toBe(3);
    const before = await flows();
    await sendNodes("d");
    await restarts.restart({}, () => (restarts.now += 7 * dayMs));
    restarts.store.journal.maintain();
    expect(sumsOf(restarts.store)).toMatchObject({ accepted: 4, pending: 4, lost: 0, uncounted: 0 });
    expect(await sendNodes("a", "b", "c", "d")).toBe(0);
    expect(await sendNodes("e")).toBe(1);
    expect(sumsOf(restarts.store)).toMatchObject({ accepted: 5, duplicate: 4, pending: 5, lost: 0, uncounted: 0 });
    expect(await flows()).toMatchObject({ value: 5, startAt: before.startAt });
  });

  test("leaves the horizon unchanged until keys expire regularly; then it is the window", async () => {
    await sendNodes("a");
    pass(hourMs);
    expect(horizonSeconds()).toBe(6 * 3600);
    await restarts.restart({}, () => (restarts.now += 7 * dayMs));
    restarts.store.journal.maintain();
    expect(horizonSeconds()).toBe(6 * 3600);
    expect(restarts.store.journal.keyCount("flow")).toBe(1);
    pass(14 * dayMs);
    expect(restarts.store.journal.keyCount("flow")).toBe(0);
    expect(horizonSeconds()).toBe(6 * 3600);
  });
});

test("keys that are evicted shorten the horizon, even after a restart", async () => {
  restarts.remove();
  restarts = new Restarts(["dedup.max_keys=1000"]);
  for (let minute = 0; minute < 30; minute++) {
    await sendNodes(...Array.from({ length: 100 }, (_, n) => `node-${minute}-${n}`));
    restarts.now += 60_000;
    restarts.store.journal.maintain();
  }
  const forced = horizonSeconds();
  expect(forced).toBeLessThan(30 * 60);
  expect(await sendNodes("node-29-99")).toBe(0);
  await restarts.restart({}, () => (restarts.now += 10 * 60_000));
  expect(horizonSeconds()).toBe(forced + 600);
});

describe("a clock that is hours", () => {
  test.each([
    ["ahead", 5 * hourMs],
    ["behind", -5 * hourMs],
  ])("%s and then right again counts every record once", async (_, offMs) => {
    let accepted = 0;
    const step = async (...nodeIds: string[]): Promise<void> => {
      accepted += await sendNodes(...nodeIds);
      pass(60_000, 60_000);
      await flows();
      expect(restarts.store.ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" })).toBeLessThanOrEqual(
        accepted,
      );
    };
    await step("a", "b");
    restarts.now += offMs;
    await step("a", "b", "c");
    await restarts.restart();
    await step("b", "c", "d");
    restarts.now -= offMs;
    await step("a", "b", "c", "d", "e");
    await restarts.restart();
    await step("e");
    expect(accepted).toBe(5);
    const { pending, lost } = sumsOf(restarts.store);
    expect({ pending, lost }).toEqual({ pending: 5, lost: 0 });
  });
});
