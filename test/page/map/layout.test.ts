/** The layout of the map, as its worker computes it. */
import { describe, expect, test } from "bun:test";
import { Layout, type LayoutAnswer } from "../../../src/page/map/layout.ts";

const toTheEnd = { type: "step", ticks: 1000, maxMs: 60_000, positions: undefined } as const;

function show(layout: Layout, names: readonly string[], links: readonly (readonly [number, number])[], revision = 1) {
  const radii = new Float32Array(names.length).fill(5);
  layout.answer({ type: "graph", revision, names, radii, links: Uint32Array.from(links.flat()), aspect: 1.6 });
}

function settled(layout: Layout): LayoutAnswer {
  const answer = layout.answer(toTheEnd);
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `node-${index}`);

function tangle(count: number, edges: number): [number, number][] {
  return Array.from({ length: edges }, (_, index) => [index % count, (index * index * 31 + index + 1) % count]);
}

function movements(before: Float32Array, after: Float32Array, count: number): number[] {
  return Array.from({ length: count }, (_, index) => {
    const at = index * 2;
    return Math.hypot((after[at] ?? 0) - (before[at] ?? 0), (after[at + 1] ?? 0) - (before[at + 1] ?? 0));
  });
}

test("500 nodes with 2,000 edges settle within bounds", () => {
  const layout = new Layout();
  show(layout, names(500), tangle(500, 2000));
  const { positions, isSettled, revision } = settled(layout);
  expect([isSettled, revision, positions.length]).toEqual([true, 1, 1000]);
  expect(positions.every((place) => Number.isFinite(place) && Math.abs(place) < 5000)).toBe(true);
});

test("two unlinked nodes, a single one and none at all settle", () => {
  for (const count of [0, 1, 2]) {
    const layout = new Layout();
    show(layout, names(count), []);
    const { positions, isSettled } = settled(layout);
    expect([positions.length, isSettled, positions.every(Number.isFinite)]).toEqual([count * 2, true, true]);
  }
});

test("an edge from a node to itself or to a missing node is left out", () => {
  const layout = new Layout();
  show(layout, names(2), [
    [0, 0],
    [0, 9],
  ]);
  expect(settled(layout).positions.every(Number.isFinite)).toBe(true);
});

test("the same tailnet looks the same each time", () => {
  const [one, other] = [new Layout(), new Layout()];
  show(one, names(60), tangle(60, 150));
  show(other, names(60), tangle(60, 150));
  for (let step = 0; step < 1000; step++) other.answer({ ...toTheEnd, ticks: 1 });
  expect(settled(other).positions).toEqual(settled(one).positions);
});

test("nothing moves when only bytes have changed", () => {
  const layout = new Layout();
  show(layout, names(60), tangle(60, 150));
  const before = settled(layout).positions;
  show(layout, names(60), tangle(60, 150), 2);
  const after = settled(layout);
  expect([after.revision, after.positions]).toEqual([2, before]);
});

test("a new node starts beside its peer and hardly moves the others", () => {
  const layout = new Layout();
  show(layout, names(100), tangle(100, 250));
  const before = settled(layout).positions.slice();
  show(layout, [...names(100), "zz"], [...tangle(100, 250), [3, 100]], 2);
  const first = layout.answer({ ...toTheEnd, ticks: 0 })?.positions ?? new Float32Array();
  expect(Math.hypot((first[200] ?? 0) - (before[6] ?? 0), (first[201] ?? 0) - (before[7] ?? 0))).toBeCloseTo(50, 3);
  const moved = movements(before, settled(layout).positions, 100).toSorted((left, right) => left - right);
  expect(moved[50]).toBeLessThan(15);
});

test("a node that returns is where it was", () => {
  const layout = new Layout();
  show(layout, names(20), tangle(20, 40));
  const before = settled(layout).positions.slice();
  show(layout, names(19), [], 2);
  layout.answer({ ...toTheEnd, ticks: 0 });
  show(layout, names(20), tangle(20, 40), 3);
  const back = layout.answer({ ...toTheEnd, ticks: 0 })?.positions ?? new Float32Array();
  expect(movements(before, back, 20)[19]).toBe(0);
});

describe("a node that is held", () => {
  test("stays in place, even in the next graph, until it is released", () => {
    const layout = new Layout();
    show(layout, names(20), tangle(20, 40));
    settled(layout);
    layout.answer({ type: "pin", name: "node-3", x: 400, y: -300 });
    expect(settled(layout).positions.slice(6, 8)).toEqual(Float32Array.of(400, -300));
    show(layout, names(21), tangle(21, 40), 2);
    expect(settled(layout).positions.slice(6, 8)).toEqual(Float32Array.of(400, -300));
    layout.answer({ type: "release", name: "node-3" });
    expect(movements(Float32Array.of(400, -300), settled(layout).positions.slice(6, 8), 1)[0]).toBeGreaterThan(20);
  });

  test("may be unknown", () => {
    const layout = new Layout();
    show(layout, names(2), [[0, 1]]);
    expect(layout.answer({ type: "pin", name: "gone", x: 1, y: 1 })).toBeUndefined();
  });
});

describe("the messages", () => {
  test("a step is not answered before there is a graph", () => {
    expect(new Layout().answer(toTheEnd)).toBeUndefined();
  });

  test("a returned array is reused, unless it has the wrong length", () => {
    const layout = new Layout();
    show(layout, names(3), [[0, 1]]);
    const [fitting, short] = [new Float32Array(6), new Float32Array(2)];
    expect(layout.answer({ ...toTheEnd, positions: fitting })?.positions).toBe(fitting);
    expect(layout.answer({ ...toTheEnd, positions: short })?.positions).toHaveLength(6);
  });

  test("a step does as many ticks as allowed, and says whether more are needed", () => {
    const layout = new Layout();
    show(layout, names(10), tangle(10, 20));
    const first = layout.answer({ ...toTheEnd, ticks: 1 });
    expect(first?.isSettled).toBe(false);
    expect(settled(layout).isSettled).toBe(true);
  });
});
