/** Tests the ledger over a real journal: committed folds survive any end, and a leaping clock is recovered from. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { openSqliteJournal } from "../../src/journal/sqlite/index.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { configOf, Flows, shown } from "./support.ts";

const io = "tailscale.network.io.rollup";
const directory = mkdtempSync(join(tmpdir(), "ledger-"));
const config = configOf(`state.path=${directory}`, "cardinality.flow.collapse_external=false");
let now = 1_800_000_000_000;

function open() {
  const logger = silentLogger;
  const journal = openSqliteJournal(config, { telemetry: silentTelemetry, logger, clock: () => now });
  return { journal, ledger: new Ledger(config, { journal, logger }), flows: new Flows(config) };
}

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("totals, names, starts and the position are those of the last fold, over restarts and a clock set back", async () => {
  const first = open();
  const sources = Array.from({ length: 600 }, (_, n) => `192.0.${n >> 8}.${n & 255}:1`);
  first.flows.add(first.ledger, ...sources.map((from, n) => ({ from, to: "a", tx: n + 1 })));
  first.ledger.measuredSeq = 3;
  const fold = await first.ledger.fold((now += 60_000));
  first.flows.add(first.ledger, { from: "b", to: "a", tx: 1_000_000 });
  first.journal.close();

  const second = open();
  expect(second.ledger.measuredSeq).toBe(3);
  expect(second.ledger.shown.at).toBe(fold.at);
  expect(shown(second.ledger.shown, io)).toEqual(shown(fold, io));
  second.flows.add(second.ledger, { from: "192.0.2.87:1", to: "a", tx: 5 });
  const leaped = await second.ledger.fold(now + 86_400_000);
  expect(shown(leaped, io)[0]).toMatchObject({ value: 605, startAt: fold.since as number });
  second.journal.close();

  const third = open();
  expect(third.ledger.shown.at).toBe(now + 86_400_000);
  third.flows.add(third.ledger, { from: "c", to: "a", tx: 2 });
  const anew = await third.ledger.fold((now += 60_000));
  expect(anew).toMatchObject({ since: now, at: now + 1 });
  expect(shown(anew, io)).toMatchObject([{ value: 2, startAt: now }]);
  expect(third.journal.identity.createdAt).toBe(now);
  third.journal.close();

  const fourth = open();
  expect(shown(fourth.ledger.shown, io)).toMatchObject([{ value: 2, startAt: now }]);
  expect((await fourth.ledger.fold(now + 60_000)).at).toBe(now + 60_000);
  fourth.journal.close();
});
