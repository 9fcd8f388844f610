/** The roll-up keeps the pairs that carried most, and every byte. */
import { describe, expect, test } from "bun:test";
import { Interval } from "../../src/ledger/interval.ts";
import { everyPair, type NamedSums, rollUp } from "../../src/ledger/rollup.ts";
import { flowIncrements, type FlowGain } from "../support/flows.ts";

function intervalOf(...gains: FlowGain[]): Interval {
  const interval = new Interval();
  for (const gain of gains) interval.add(flowIncrements([gain]));
  return interval;
}

const shown = (named: readonly NamedSums[]): string[] =>
  named.map(
    ({ source, destination, class: { transport }, sums }) =>
      `${source} ${destination} ${transport} ${sums.txBytes}/${sums.rxBytes}`,
  );

const pair = (source: string | undefined, txBytes: number, rxBytes = 0, members: Partial<FlowGain> = {}): FlowGain => ({
  source,
  destination: "z",
  sums: { txBytes, rxBytes },
  ...members,
});

describe("the first pairs", () => {
  test("are those with most bytes of both directions", () => {
    expect(shown(rollUp(intervalOf(pair("a", 5), pair("b", 1, 5), pair("c", 4)), 2))).toEqual([
      "b z tcp 1/5",
      "a z tcp 5/0",
      "__other__ __other__ tcp 4/0",
    ]);
  });

  test("are ranked over all their classes", () => {
    const interval = intervalOf(pair("a", 5), pair("b", 3), pair("b", 3, 0, { transport: "udp" }));
    expect(shown(rollUp(interval, 1))).toEqual(["b z tcp 3/0", "b z udp 3/0", "__other__ __other__ tcp 5/0"]);
  });

  test("are, at a tie, the first by key, whatever the order of arrival", () => {
    expect(shown(rollUp(intervalOf(pair("b", 5), pair("a", 5)), 1))).toEqual([
      "a z tcp 5/0",
      "__other__ __other__ tcp 5/0",
    ]);
    expect(shown(rollUp(intervalOf(pair("a", 5), pair("b", 5)), 1))).toEqual([
      "a z tcp 5/0",
      "__other__ __other__ tcp 5/0",
    ]);
  });

  test("are told apart from one with an absent end", () => {
    expect(shown(rollUp(intervalOf(pair("a", 5), pair(undefined, 6)), 5))).toEqual([
      "undefined z tcp 6/0",
      "a z tcp 5/0",
    ]);
  });
});

test("the rest is folded by class, region included", () => {
  const interval = intervalOf(
    pair("a", 1),
    pair("b", 2),
    pair("c", 4, 0, { derpRegion: "4" }),
    pair("d", 8, 0, { derpRegion: "5" }),
  );
  expect(rollUp(interval, 0).map(({ class: { derpRegion }, sums }) => [derpRegion, sums.txBytes])).toEqual([
    ["5", 8],
    ["4", 4],
    [undefined, 3],
  ]);
});

test("no more than 8,000 pairs are told apart, and what comes later is in the rest", () => {
  const interval = new Interval();
  interval.add(flowIncrements(Array.from({ length: 8_100 }, (_, n) => pair(`n${n}`, 1))));
  interval.add(flowIncrements([pair("n0", 10), pair("n8050", 10)]));
  expect(interval.pairs.size).toBe(8_000);
  const all = everyPair(interval);
  expect(all).toHaveLength(8_001);
  expect(shown(all.slice(0, 1))).toEqual(["n0 z tcp 11/0"]);
  expect(shown(all.slice(-1))).toEqual(["__other__ __other__ tcp 110/0"]);
  const rolled = rollUp(interval, 8_000);
  expect(rolled.reduce((sum, { sums }) => sum + sums.txBytes, 0)).toBe(8_120);
  expect(rolled.reduce((sum, { sums }) => sum + sums.entries, 0)).toBe(8_102);
});

test("what was added is not changed by adding more", () => {
  const first = flowIncrements([pair("a", 1)]);
  const interval = new Interval();
  interval.add(first);
  interval.add(flowIncrements([pair("a", 1)]));
  expect([...first.flows.values()]).toMatchObject([{ txBytes: 1 }]);
  expect(interval.isEmpty).toBe(false);
});
