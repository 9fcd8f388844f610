/** Words from the wire on metrics: known ones always, so many others, and the same ones after a restart. */
import { expect, test } from "bun:test";
import { count, type Increments, noIncrements } from "../../src/catalogue/increments.ts";
import { webhookTypes } from "../../src/catalogue/vocabulary.ts";
import type { LedgerSnapshot } from "../../src/journal/types.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { Words } from "../../src/ledger/words.ts";
import { silentLogger } from "../../src/lib/logger.ts";

const metric = "tailscale.webhook.events";

function events(...types: readonly string[]): Increments {
  const increments = noIncrements();
  for (const type of types) count(increments, metric, { "tailscale.webhook.type": type }, 1);
  return increments;
}

function settled(words: Words, increments: Increments): Record<string, number> {
  const counts = [...words.settle(increments).counts.values()];
  return Object.fromEntries(counts.map(({ attributes, value }) => [Object.values(attributes).join(" "), value]));
}

const strangers = (from: number, count_: number): string[] =>
  Array.from({ length: count_ }, (_, at) => `type${from + at}`);

test("64 unknown words are kept, later ones are other, known ones are always themselves", () => {
  const words = new Words([metric]);
  expect(Object.keys(settled(words, events(...strangers(0, 64))))).toEqual(strangers(0, 64));
  expect(settled(words, events(...strangers(60, 10), ...webhookTypes))).toEqual({
    ...Object.fromEntries([...strangers(60, 4), ...webhookTypes].map((type) => [type, 1])),
    other: 6,
  });
});

test("what does not look like a word takes no place", () => {
  const words = new Words([metric]);
  expect(settled(words, events("a b", "x".repeat(65), "", "né", "\u0000", "other"))).toEqual({ other: 6 });
  expect(Object.keys(settled(words, events(...strangers(0, 65))))).toHaveLength(65);
  expect(settled(words, events("type63", "type64"))).toEqual({ type63: 1, other: 1 });
});

test("what was restored is remembered", () => {
  const words = new Words([metric]);
  words.restore(
    metric,
    ["other", "test", ...strangers(100, 63)].map((type) => ({ attributes: { "tailscale.webhook.type": type } })),
  );
  expect(settled(words, events("type1", "type2", "type162"))).toEqual({ type1: 1, other: 1, type162: 1 });
});

test("a ledger that is restored counts the same event in the same series, and a new one in other", () => {
  const options = { metricsMode: "rollup", rollupTopN: 1, metricLimit: 1000, idleFolds: 1, hasNodes: true } as const;
  const before = new Ledger(options, 0);
  before.add(events(...strangers(0, 64)));
  let snapshot: LedgerSnapshot = { measuredSeq: 0, blobs: new Map() };
  before.fold(1, 1, (written) => (snapshot = written));
  const after = new Ledger(options, 0);
  after.restore(snapshot, silentLogger);
  after.add(events("type63", "type64"));
  for (const [type, value] of Object.entries({ type63: 2, type64: 0, other: 1 }))
    expect(after.sum(metric, { "tailscale.webhook.type": type })).toBe(value);
});

test("a tailnet's own name is bounded too", () => {
  const words = new Words([metric]);
  const increments = noIncrements();
  for (let at = 0; at < 10; at++)
    count(increments, metric, { "tailscale.webhook.type": "test", "tailscale.tailnet": `t${at}.example.com` }, 1);
  const found = settled(words, increments);
  expect(found["test other"]).toBe(2);
  expect(Object.keys(found)).toHaveLength(9);
});

test("other metrics pass as they are", () => {
  const words = new Words([metric, "tailscale.webhook.duplicates"]);
  const increments = noIncrements();
  count(increments, "tailscale.webhook.duplicates", {}, 3);
  expect(words.settle(increments)).toBe(increments);
});
