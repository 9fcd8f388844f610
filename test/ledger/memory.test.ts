/** Tests what the ledger frees at once: outgrown arrays and folded intervals. */
import { expect, test } from "bun:test";
import { Growth } from "../../src/ledger/growth.ts";
import { Interval } from "../../src/ledger/interval.ts";
import { noMinute } from "../../src/ledger/minute.ts";
import { SeriesTable } from "../../src/ledger/series.ts";
import { freedBy } from "../support/freed.ts";
import { configOf, Flows, ledgerOver, SnapshotJournal } from "./support.ts";

function filled(): Interval {
  const flows = new Flows(configOf());
  const interval = new Interval();
  interval.addFlows(flows.columns([[{ from: "a", to: "b", tx: 1 }]]), undefined, flows.edges);
  return interval;
}

test("an interval frees the sums that it outgrows", () => {
  const flows = new Flows(configOf());
  const interval = new Interval();
  const outgrown = interval.sums;
  interval.addFlows(flows.columns([[{ from: "a", to: "b", tx: 1 }]]), undefined, flows.edges);
  expect(interval.sums).not.toBe(outgrown);
  expect(outgrown.byteLength).toBe(0);
});

test("an interval frees its sums, and what 32,768 sources reached", async () => {
  const interval = filled();
  const { byteLength } = interval.sums;
  const sources = 32_768;
  const firstMembers = 256 * 8;
  expect(await freedBy(() => interval.free())).toEqual([byteLength, firstMembers, sources, sources * 4, sources * 4]);
});

test("a fold frees the interval that it has ended", async () => {
  const journal = new SnapshotJournal();
  const flows = new Flows(configOf(), journal);
  const ledger = ledgerOver(journal, configOf());
  flows.add(ledger, { from: "a", to: "b", tx: 1 });
  const interval = filled();
  expect(await freedBy(() => ledger.fold(2000))).toEqual(await freedBy(() => interval.free()));
});

test("the sums of a minute's growth free those that they outgrow", async () => {
  const growth = new Growth();
  const freed = await freedBy(() => {
    for (const length of [1_000, 2_000, 2_000, 5_000])
      growth.addTo(noMinute, { seen: [], sums: new Float64Array(length) }, new Float64Array(0));
  });
  expect(freed).toEqual([8_000, 16_000]);
});

test("a table of series frees the rows that it outgrows", async () => {
  const table = new SeriesTable(2_000);
  const freed = await freedBy(() => {
    for (let n = 0; n < 1_000; n++) table.add({ node: `node-${n}` }, 1, { fold: 1, startAt: 1_000 });
  });
  // Arrays smaller than 1 KiB are left to the collector.
  expect(freed).toEqual([64, 128, 256, 512].map((series) => series * 24));
});
