/** Tests a clock set back: series begin anew, and nothing accepted since the last fold is lost or uncounted. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { conservationOf } from "../../src/pipeline/observe.ts";
import { configAt, createStore, numberedFlow, openStore, take, type TestStore } from "../support/store.ts";

let store: TestStore;
beforeEach(() => (store = createStore()));
afterEach(() => store.remove());

test.each([
  ["all delivered", 4, { delivered: 2, pending: 0, uncounted: 0 }],
  ["one delivered", 3, { delivered: 1, pending: 1, uncounted: 0 }],
  ["none delivered", 2, { delivered: 0, pending: 2, uncounted: 0 }],
  ["one before the fold pending", 1, { delivered: 0, pending: 3, uncounted: 1 }],
])("sums hold with records after the last fold %s", async (_, nextSeq, sums) => {
  const { journal, ledger, now } = store;
  await take(store, [numberedFlow(1)], now);
  await ledger.fold(now);
  for (const number of [2, 3]) await take(store, [numberedFlow(number)], now);
  const { cursor } = journal;
  journal.progress({
    cursor: { ...cursor, seq: nextSeq, records: { delivered: nextSeq - 1, deadLettered: 0 } },
    marks: [],
  });
  await ledger.fold(now - 3_600_000);
  expect(conservationOf(journal, ledger)).toMatchObject({ accepted: 2, lost: 0, ...sums });
  store.close();
  const again = await openStore(configAt(store.config.state.path), () => now);
  expect(conservationOf(again.journal, again.ledger)).toMatchObject({ accepted: 2, lost: 0, ...sums });
  again.close();
});
