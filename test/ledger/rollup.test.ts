/** The roll-up keeps the pairs that carried most, and every byte. */
import { describe, expect, test } from "bun:test";
import { type Increments, noIncrements } from "../../src/catalogue/increments.ts";
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

/** A class with ports, as it stands beside the one without. */
function withPorts(increments: Increments, destination: string): Increments {
  const changed = noIncrements();
  for (const [{ pair: nodes, class: withoutPorts }, sums] of increments.flows) {
    const ports = { source: undefined, destination };
    const flowClass = { ...withoutPorts, key: `${withoutPorts.key}>${destination}`, ports, withoutPorts };
    changed.flows.set({ pair: nodes, class: flowClass }, sums);
  }
  return changed;
}

describe("ports", () => {
  const interval = new Interval();
  for (const port of ["22", "443"]) interval.add(withPorts(flowIncrements([pair("a", 5), pair("b", 1)]), port));

  test("are told apart by pair", () => {
    const ports = everyPair(interval).map(({ class: { ports: own } }) => own?.destination);
    expect(ports).toEqual(["22", "443", "22", "443"]);
  });

  test("are no part of a roll-up, neither of its pairs nor of the rest", () => {
    const rolled = rollUp(interval, 1);
    expect(rolled.every(({ class: { ports } }) => ports === undefined)).toBe(true);
    expect(shown(rolled)).toEqual(["a z tcp 5/0", "a z tcp 5/0", "__other__ __other__ tcp 2/0"]);
  });

  test("beyond the bound fold into the rest, and no byte is lost", () => {
    const flooded = new Interval();
    for (let port = 0; port < 66_000; port++) flooded.add(withPorts(flowIncrements([pair("a", 1)]), String(port)));
    const all = everyPair(flooded);
    expect(all.length).toBe(65_537);
    expect(all.reduce((sum, { sums }) => sum + sums.txBytes, 0)).toBe(66_000);
    expect(all.at(-1)).toMatchObject({ source: "__other__", sums: { txBytes: 464 } });
  });
});

test("regions without end fold too, and no byte is lost", () => {
  const gains = Array.from({ length: 9_000 }, (_, region) => pair("a", 1, 0, { derpRegion: String(region + 1) }));
  const folded = rollUp(intervalOf(...gains), 0);
  expect(folded.length).toBe(8_193);
  expect(folded.reduce((sum, { sums }) => sum + sums.txBytes, 0)).toBe(9_000);
  expect(folded.at(-1)).toMatchObject({ class: { derpRegion: undefined, path: undefined }, sums: { txBytes: 808 } });
});

test("where nodes are not told apart, the rest has no name either", () => {
  const [rest] = rollUp(intervalOf(pair("a", 5)), 0, "none");
  expect([rest?.source, rest?.destination]).toEqual([undefined, undefined]);
});
