/** Answers after the filter, and their sums. */
import { expect, test } from "bun:test";
import type { TrafficNode, TrafficPair } from "../../../src/admin/traffic/index.ts";
import { isAbout, nodesOf, pairsWith, pathsOf, sumOfPaths } from "../../../src/page/now/reduce.ts";

function pair(from: string, to: string, txBytes: number): TrafficPair {
  return { from, to, entries: 1, txBytes, rxBytes: 1, kinds: { virtual: txBytes + 1 } };
}

const pairs = [pair("a", "b", 5), pair("b", "c", 100), pair("d", "a", 1)];

const nodes: readonly TrafficNode[] = [
  { name: "a", kinds: { direct: 10, relayed: 5 } },
  { name: "b", kinds: { relayed: 1 } },
  { name: "c", kinds: { physical: 7 } },
  { name: "e", kinds: { direct: 2 } },
];

test("keeps pairs with a chosen node at either end", () => {
  expect(pairsWith(pairs, [])).toBe(pairs);
  expect(pairsWith(pairs, ["a"])).toEqual([pair("a", "b", 5), pair("d", "a", 1)]);
  expect(pairsWith(pairs, ["c", "d"])).toEqual([pair("b", "c", 100), pair("d", "a", 1)]);
  expect(pairsWith(pairs, ["nobody"])).toEqual([]);
});

test("keeps the known paths of the chosen nodes", () => {
  expect(pathsOf(nodes, [])).toEqual([
    { name: "a", direct: 10, relayed: 5 },
    { name: "b", direct: 0, relayed: 1 },
    { name: "e", direct: 2, relayed: 0 },
  ]);
  expect(pathsOf(nodes, ["b", "c"])).toEqual([{ name: "b", direct: 0, relayed: 1 }]);
  expect(sumOfPaths(pathsOf(nodes, []))).toEqual({ direct: 12, relayed: 6 });
  expect(sumOfPaths([])).toEqual({ direct: 0, relayed: 0 });
});

test("lists all nodes of the map, those with the most traffic first", () => {
  expect(nodesOf({ pairs, nodes })).toEqual(["b", "c", "a", "d", "e"]);
});

test("an event is about a node whose name is one of its attributes", () => {
  const event = { attributes: { "tailscale.target.name": "nas.tail1234.ts.net", tags: ["tag:x", "db-1"], n: 1 } };
  expect(isAbout(event, [])).toBe(true);
  expect(isAbout(event, ["other", "nas"])).toBe(true);
  expect(isAbout(event, ["db-1"])).toBe(true);
  expect(isAbout(event, ["na"])).toBe(false);
});
