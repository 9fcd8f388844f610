/** Folds at their interval: each is handed on, and one that fails is reported and made up for by the next. */
import { expect, test } from "bun:test";
import { silentLogger } from "../../src/lib/logger.ts";
import { startFolding } from "../../src/ledger/folding.ts";
import type { Fold } from "../../src/ledger/index.ts";
import { configOf, Flows, ledgerOver, shown, SnapshotJournal } from "./support.ts";

test("a fold that cannot be committed is reported, and the next one has its counts", async () => {
  const config = configOf();
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  const flows = new Flows(config, journal);
  const folds: Fold[] = [];
  const errors: string[] = [];
  let wake = (): void => undefined;
  const event = () => new Promise<void>((resolve) => (wake = resolve));
  journal.failure = new Error("disk full");
  flows.add(ledger, { from: "a", to: "b", tx: 7 });
  const failed = event();
  const stop = startFolding(5, {
    ledger,
    journal: { wantsSnapshot: false, maintain: () => undefined },
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
  await failed;
  expect(errors[0]).toBe("cannot commit the counters; they are kept and committed with the next ones");
  expect(folds).toEqual([]);
  journal.failure = undefined;
  await event();
  stop();
  expect(shown(folds[0] as Fold, "tailscale.network.io.rollup")).toMatchObject([{ value: 7 }]);
  stop();
});
