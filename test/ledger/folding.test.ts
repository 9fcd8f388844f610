/** Tests folds at their interval: each is handed on, and a failed one is reported and made up for by the next. */
import { expect, test } from "bun:test";
import { setImmediate as afterOthers } from "node:timers/promises";
import { silentLogger } from "../../src/lib/logger.ts";
import { startFolding } from "../../src/ledger/folding.ts";
import type { Fold } from "../../src/ledger/index.ts";
import { until } from "../support/wait.ts";
import { configOf, Flows, ledgerOver, shown, SnapshotJournal } from "./support.ts";

const { signal: lost } = new AbortController();

test("a fold that cannot be committed is reported, and the next one includes its counts", async () => {
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
    journal: { wantsSnapshot: false, maintain: () => undefined, lost },
    firstSeq: 0,
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

test("a stop before a fold has begun leaves it to the final fold", async () => {
  const config = configOf();
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  const [begun, settled] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  ledger.minutes.settleInSteps = () => {
    begun.resolve();
    return settled.promise;
  };
  const folds: Fold[] = [];
  const stop = startFolding(5, {
    ledger,
    journal: { wantsSnapshot: false, maintain: () => undefined, lost },
    firstSeq: 0,
    logger: silentLogger,
    clock: Date.now,
    folded: (fold) => folds.push(fold),
  });
  await begun.promise;
  stop();
  settled.resolve();
  await ledger.fold(Date.now());
  await afterOthers();
  expect([folds.length, journal.written.length]).toEqual([0, 1]);
});

test("failures that repeat are reported once a minute", async () => {
  const config = configOf();
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  const lines: { readonly message: string; readonly repeated?: unknown }[] = [];
  const tries = { commits: 0, tidying: 0 };
  let now = Date.now();
  const fails = (which: keyof typeof tries) => () => {
    tries[which]++;
    throw new Error("disk full");
  };
  journal.writeSnapshot = fails("commits");
  new Flows(config, journal).add(ledger, { from: "a", to: "b", tx: 7 });
  const stop = startFolding(5, {
    ledger,
    journal: { wantsSnapshot: false, maintain: fails("tidying"), lost },
    firstSeq: 0,
    logger: { ...silentLogger, error: (message, fields) => lines.push({ message, repeated: fields?.["repeated"] }) },
    clock: () => now,
    folded: () => undefined,
  });
  const inOrder = () => lines.toSorted((one, other) => (one.message < other.message ? -1 : 1));
  const [commit, tidy] = [
    "cannot commit the counters; they are kept and committed with the next ones",
    "cannot tidy the journal; retrying",
  ];
  await until(() => tries.commits > 2 && tries.tidying > 1);
  expect(inOrder()).toEqual([{ message: commit }, { message: tidy }]);
  lines.length = 0;
  now += 60_000;
  await until(() => lines.length > 1);
  stop();
  expect(inOrder()).toEqual([
    { message: commit, repeated: expect.any(Number) },
    { message: tidy, repeated: expect.any(Number) },
  ]);
});

test("what was restored and the first record since the start are folded at once, regardless of the interval, and nothing else", async () => {
  const config = configOf();
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  ledger.measuredSeq = 5;
  const [folds, ticks]: [number[], number[]] = [[], []];
  const stop = startFolding(3_600_000, {
    ledger,
    journal: { wantsSnapshot: false, maintain: () => void ticks.push(ledger.measuredSeq), lost },
    firstSeq: 5,
    logger: silentLogger,
    clock: Date.now,
    folded: () => folds.push(journal.measuredSeq),
  });
  await until(() => folds.length > 0 && ticks.length > 1);
  expect(folds).toEqual([5]);
  ledger.measuredSeq = 6;
  await until(() => folds.length > 1);
  ledger.measuredSeq = 7;
  const before = ticks.length;
  await until(() => ticks.length > before + 1);
  stop();
  expect(folds).toEqual([5, 6]);
});

test("a journal without records is not folded before the interval", async () => {
  const config = configOf();
  const journal = new SnapshotJournal();
  const [folds, ticks]: [number[], number[]] = [[], []];
  const stop = startFolding(3_600_000, {
    ledger: ledgerOver(journal, config),
    journal: { wantsSnapshot: false, maintain: () => void ticks.push(0), lost },
    firstSeq: 0,
    logger: silentLogger,
    clock: Date.now,
    folded: () => folds.push(0),
  });
  await until(() => ticks.length > 1);
  stop();
  expect(folds).toEqual([]);
});

test("a fold that fails because another instance leads is not reported", async () => {
  const config = configOf();
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  const errors: string[] = [];
  const term = new AbortController();
  let commits = 0;
  journal.writeSnapshot = () => {
    commits++;
    term.abort();
    throw new Error("another instance leads");
  };
  new Flows(config, journal).add(ledger, { from: "a", to: "b", tx: 7 });
  const stop = startFolding(5, {
    ledger,
    journal: { wantsSnapshot: false, maintain: () => undefined, lost: term.signal },
    firstSeq: 0,
    logger: { ...silentLogger, error: (message) => errors.push(message) },
    clock: Date.now,
    folded: () => undefined,
  });
  await until(() => commits > 1);
  stop();
  expect(errors).toEqual([]);
});

test("no fold begins while another is being committed", async () => {
  const config = configOf();
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  const committing = Promise.withResolvers<void>();
  journal.writeSnapshot = () => committing.promise;
  let [begun, ticks] = [0, 0];
  const fold = ledger.fold.bind(ledger);
  ledger.fold = (now) => {
    begun++;
    return fold(now);
  };
  const stop = startFolding(5, {
    ledger,
    journal: { wantsSnapshot: true, maintain: () => void ticks++, lost },
    firstSeq: 0,
    logger: silentLogger,
    clock: Date.now,
    folded: () => undefined,
  });
  await until(() => ticks > 0);
  expect(begun).toBe(1);
  committing.resolve();
  await until(() => begun > 1);
  stop();
});
