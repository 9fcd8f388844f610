/** Folds in time: each is handed on, one that fails is said and made good, and none is taken after the stop. */
import { expect, test } from "bun:test";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { Folding } from "../../src/ledger/folding.ts";
import type { Fold } from "../../src/ledger/index.ts";
import { configOf, Flows, ledgerOver, shown, SnapshotJournal } from "./support.ts";

function start(intervalMs: number, ...assignments: string[]) {
  const config = configOf("cardinality.metric_limit=2", ...assignments);
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  const flows = new Flows(config, journal);
  const folds: Fold[] = [];
  const errors: string[] = [];
  const overflowed: string[] = [];
  let wake = (): void => undefined;
  const folding = new Folding(intervalMs, {
    ledger,
    edges: flows.edges,
    ends: flows.ends,
    journal: { wantsSnapshot: false, maintain: () => undefined },
    telemetry: {
      ...silentTelemetry,
      add: (_, value, attributes) => void overflowed.push(`${Object.values(attributes)[0]} ${value}`),
    },
    logger: {
      ...silentLogger,
      error(message) {
        errors.push(message);
        wake();
      },
    },
    clock: Date.now,
    folded(fold) {
      folds.push(fold);
      wake();
    },
  });
  const event = () => new Promise<void>((resolve) => (wake = resolve));
  return { journal, ledger, flows, folding, folds, errors, overflowed, event };
}

test("a fold that cannot be committed is said, and the next one has its counts", async () => {
  const { journal, ledger, flows, folding, folds, errors, event } = start(5);
  journal.failure = new Error("disk full");
  flows.add(ledger, { from: "a", to: "b", tx: 7 });
  const failed = event();
  folding.start();
  await failed;
  expect(errors[0]).toBe("cannot commit the counters; they are kept and committed with the next ones");
  expect(folds).toEqual([]);
  journal.failure = undefined;
  await event();
  folding.stop();
  expect(shown(folds[0] as Fold, "tailscale.network.io.rollup")).toMatchObject([{ value: 7 }]);
  folding.stop();
});

test("the last fold is taken on demand, and overflowed series are counted", async () => {
  const { ledger, flows, folding, folds, overflowed } = start(3_600_000);
  folding.start();
  folding.stop();
  flows.add(ledger, ...["a", "b", "c", "d"].map((from) => ({ from, to: "z", tx: 1 })));
  const fold = await folding.fold();
  expect(fold).toBe(ledger.shown);
  expect(folds).toEqual([]);
  expect(overflowed).toContain("tailscale.network.io.rollup 2");
  expect(overflowed.some((line) => line.startsWith("tailscale.network.io "))).toBe(false);
});

test("connections that found no room in the edge book are counted at the fold, and once", async () => {
  const { ledger, flows, folding, overflowed } = start(3_600_000, "cardinality.flow.collapse_external=false");
  const hosts = Array.from({ length: 9_000 }, (_, host) => `10.0.${host >> 8}.${host & 255}:1`);
  flows.add(ledger, ...hosts.map((to) => ({ from: "a", to, tx: 1 })));
  const counted = () => overflowed.filter((line) => line.startsWith("tailscale.network.io "));
  await folding.fold();
  expect(Number(counted()[0]?.split(" ")[1])).toBeGreaterThanOrEqual(1_000);
  await folding.fold();
  expect(counted()).toHaveLength(1);
});
