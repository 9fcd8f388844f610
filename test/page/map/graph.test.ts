/** The graph behind the map: merged pairs, paths and limits. */
import { describe, expect, test } from "bun:test";
import type { TrafficPair } from "../../../src/admin/traffic/answers.ts";
import { buildGraph, levels, maxEdges, maxNodes } from "../../../src/page/map/graph.ts";

function pair(from: string, to: string, txBytes: number, rxBytes = 0): TrafficPair {
  return { from, to, entries: 1, txBytes, rxBytes, kinds: { virtual: txBytes + rxBytes } };
}

function reached(name: string, direct: number, relayed: number) {
  return { name, kinds: { direct, relayed } };
}

test("merges both directions of a pair into one edge, with the bytes of each", () => {
  const { nodes, edges } = buildGraph([pair("b", "a", 10, 3), pair("a", "b", 100, 20)], []);
  expect(nodes.map(({ name, sentBytes, receivedBytes }) => [name, sentBytes, receivedBytes])).toEqual([
    ["a", 103, 30],
    ["b", 30, 103],
  ]);
  expect(edges).toMatchObject([
    { from: 0, to: 1, forwardBytes: 103, backwardBytes: 30, bytes: 133, entries: 2, kinds: { virtual: 133 } },
  ]);
});

test("keeps names apart that differ only in case or in the position of a space", () => {
  const { nodes, edges } = buildGraph([pair("a b", "c", 1), pair("a", "b c", 1), pair("A", "B C", 1)], []);
  expect(nodes.map(({ name }) => name)).toEqual(["A", "B C", "a", "a b", "b c", "c"]);
  expect(edges).toHaveLength(3);
});

test("accepts names that are members of JavaScript objects", () => {
  const { nodes, edges } = buildGraph([pair("__proto__", "constructor", 5)], [reached("toString", 1, 0)]);
  expect(nodes.map(({ name, bytes }) => [name, bytes])).toEqual([
    ["__proto__", 5],
    ["constructor", 5],
  ]);
  expect(edges[0]?.path).toBe("unknown");
});

test("counts traffic of a node with itself once, and not as a peer", () => {
  const { nodes, edges } = buildGraph([pair("a", "a", 7, 2)], []);
  expect(nodes).toMatchObject([{ name: "a", bytes: 9, peers: 0, edges: [0] }]);
  expect(edges).toMatchObject([{ from: 0, to: 0 }]);
});

describe("the path of an edge", () => {
  const path = (...nodes: ReturnType<typeof reached>[]) => buildGraph([pair("a", "b", 1)], nodes).edges[0]?.path;

  test("is relayed if one end is always reached by relay", () => {
    expect(path(reached("a", 80, 20), reached("b", 0, 9))).toBe("relayed");
  });
  test("is direct if one end is always reached directly", () => {
    expect(path(reached("a", 80, 0), reached("b", 4, 6))).toBe("direct");
  });
  test("is unknown without any evidence", () => {
    expect(path(reached("c", 1, 0), reached("a", 0, 0))).toBe("unknown");
  });
  test("is unknown to an address outside the tailnet", () => {
    for (const outside of ["203.0.113.9", "external"])
      expect(buildGraph([pair("a", outside, 1)], [reached("a", 1, 0)]).edges[0]?.path).toBe("unknown");
  });
});

test("sizes edges by the logarithm of their bytes", () => {
  const { edges } = buildGraph([pair("a", "b", 1e9), pair("a", "c", 1e5), pair("a", "d", 1)], []);
  expect(edges.map(({ level }) => level)).toEqual([levels - 1, 1, 0]);
});

test("never draws summed-up nodes larger than the busiest node", () => {
  const { nodes } = buildGraph([pair("a", "b", 10), pair("a", "__other__", 1e12)], []);
  const [other, , b] = nodes;
  expect([other?.name, b?.name]).toEqual(["__other__", "b"]);
  expect(other?.radius).toBeLessThan(10);
});

test("keeps the busiest of 10,000 pairs within its limits, and says how many there were", () => {
  const pairs = Array.from({ length: 10_000 }, (_, index) =>
    pair(`node-${index % 1250}`, `node-${(index * 7 + 1) % 1250}`, index + 1),
  );
  const { nodes, edges, total } = buildGraph(pairs, []);
  expect(nodes).toHaveLength(maxNodes);
  expect(edges.length).toBeLessThanOrEqual(maxEdges);
  expect(edges[0]?.bytes).toBeGreaterThanOrEqual(10_000);
  expect(nodes.every((node) => node.edges.length > 0)).toBe(true);
  expect(total.nodes).toBe(1250);
  expect(total.edges).toBeGreaterThan(edges.length);
});

test("does not depend on the order of the pairs", () => {
  const pairs = [pair("a", "b", 5), pair("c", "a", 5), pair("b", "d", 9), pair("d", "d", 5)];
  expect(buildGraph(pairs.toReversed(), [])).toEqual(buildGraph(pairs, []));
});
