/** Nodes and edges that appear, move and disappear; and hit testing under the pointer. */
import { beforeEach, describe, expect, test } from "bun:test";
import type { TrafficPair } from "../../../src/admin/traffic/answers.ts";
import { emphasesOf } from "../../../src/page/map/focus.ts";
import { clippedLine, fittingView, nodeTowards, radiusOf, targetAt } from "../../../src/page/map/geometry.ts";
import { buildGraph } from "../../../src/page/map/graph.ts";
import { Scene, type SceneNode } from "../../../src/page/map/scene.ts";

const fadeMs = 100;
const view = { k: 1, x: 0, y: 0 };

function pairs(...ends: readonly (readonly [string, string])[]): TrafficPair[] {
  return ends.map(([from, to]) => ({ from, to, entries: 1, txBytes: 10, rxBytes: 0, kinds: {} }));
}

function opacities(scene: Scene): Record<string, number> {
  return Object.fromEntries(scene.nodes.map(({ node, opacity }) => [node.name, opacity]));
}

function nodeOf(scene: Scene, name: string): SceneNode {
  const found = scene.nodes.find(({ node }) => node.name === name);
  if (found === undefined) throw new Error(name);
  return found;
}

let scene: Scene;

beforeEach(() => {
  scene = new Scene(fadeMs);
  scene.show(buildGraph(pairs(["a", "b"], ["b", "c"], ["c", "c"]), []));
  scene.move(Float32Array.of(0, 0, 100, 0, 100, 100), 0, 0);
  for (const now of [1000, 1050, 2000]) scene.advance(now);
});

describe("a node that appears or disappears", () => {
  test("waits for its position, then fades in", () => {
    const fresh = new Scene(fadeMs);
    fresh.show(buildGraph(pairs(["a", "b"]), []));
    expect(fresh.advance(5000)).toBe(false);
    expect(opacities(fresh)).toEqual({ a: 0, b: 0 });
    fresh.move(Float32Array.of(1, 2, 3, 4), 9000, 0);
    fresh.advance(9000);
    expect(opacities(fresh)).toEqual({ a: 0, b: 0 });
    expect(fresh.advance(9050)).toBe(true);
    expect(opacities(fresh)).toEqual({ a: 0.5, b: 0.5 });
    expect(fresh.advance(9200)).toBe(false);
    expect(opacities(fresh)).toEqual({ a: 1, b: 1 });
  });

  test("fades out and is removed, with its edges", () => {
    scene.show(buildGraph(pairs(["b", "c"]), []));
    scene.advance(10_000);
    scene.advance(10_040);
    expect(opacities(scene)).toEqual({ b: 1, c: 1, a: 0.6 });
    expect(scene.edges.map(({ opacity }) => opacity)).toEqual([1, 0.6, 0.6]);
    scene.advance(10_200);
    expect(opacities(scene)).toEqual({ b: 1, c: 1 });
    expect(scene.edges).toHaveLength(1);
  });

  test("reappears where it was", () => {
    scene.show(buildGraph(pairs(["b", "c"]), []));
    scene.advance(10_000);
    scene.advance(10_040);
    scene.show(buildGraph(pairs(["a", "b"], ["b", "c"]), []));
    scene.advance(10_060);
    expect(nodeOf(scene, "a")).toMatchObject({ opacity: expect.closeTo(0.8), x: 0, y: 0, isLeaving: false });
  });

  test("appears at once without animation", () => {
    const still = new Scene(0);
    still.show(buildGraph(pairs(["a", "b"]), []));
    still.move(Float32Array.of(1, 2, 3, 4), 0, 0);
    expect(still.advance(1)).toBe(false);
    expect(opacities(still)).toEqual({ a: 1, b: 1 });
  });
});

test("nodes move to their positions in the given time", () => {
  scene.move(Float32Array.of(10, 20, 100, 0, 100, 100), 3000, 100);
  expect(scene.advance(3050)).toBe(true);
  expect(nodeOf(scene, "a")).toMatchObject({ x: 5, y: 10 });
  expect(scene.advance(3100)).toBe(false);
  expect(nodeOf(scene, "a")).toMatchObject({ x: 10, y: 20 });
});

test("nothing moves if all nodes are already at their positions", () => {
  scene.move(Float32Array.of(0, 0, 100, 0, 100, 100), 3000, 100);
  expect(scene.advance(3010)).toBe(false);
});

describe("under the pointer is", () => {
  const at = (x: number, y: number) => {
    const target = targetAt(scene, view, x, y, 5);
    return target?.type === "node" ? target.node.node.name : target?.edge.edge.key;
  };

  test("a node before an edge", () => {
    expect(at(3, 3)).toBe("a");
  });
  test("an edge", () => {
    expect(at(50, 3)).toBe("1 a b");
    expect(at(100, 50)).toBe("1 b c");
  });
  test("a loop of a node with itself", () => {
    const radius = radiusOf(nodeOf(scene, "c"), view);
    expect(at(100, 100 - radius * 2.1)).toBe("1 c c");
  });
  test("nothing beside them, beyond their ends, or where a node is fading out", () => {
    expect(at(50, 9)).toBeUndefined();
    expect(at(-100, 0)).toBeUndefined();
    scene.show(buildGraph(pairs(["b", "c"]), []));
    expect(at(0, 0)).toBeUndefined();
  });
});

test("the fitting view shows all nodes inside the frame", () => {
  const size = { width: 300, height: 200 };
  const { k, x, y } = fittingView(scene.nodes, size);
  for (const node of scene.nodes) {
    expect(node.x * k + x).toBeWithin(0, size.width);
    expect(node.y * k + y).toBeWithin(0, size.height);
  }
  expect(fittingView([], size)).toEqual({ k: 1, x: 150, y: 100 });
});

describe("a line is clipped to the frame", () => {
  const frame = { width: 100, height: 50 };

  test("not if it is inside", () => {
    expect(clippedLine(10, 10, 90, 40, frame)).toEqual({ fromX: 10, fromY: 10, toX: 90, toY: 40, skipped: 0 });
  });
  test("if it passes through, with the skipped length", () => {
    expect(clippedLine(-1000, 25, 1000, 25, frame)).toEqual({ fromX: -10, fromY: 25, toX: 110, toY: 25, skipped: 990 });
  });
  test("to nothing if it passes by", () => {
    expect(clippedLine(-100, -100, 200, -90, frame)).toBeUndefined();
    expect(clippedLine(-50, 40, 40, 150, frame)).toBeUndefined();
    expect(clippedLine(200, 0, 200, 50, frame)).toBeUndefined();
  });
  test("even if it is a point", () => {
    expect(clippedLine(5, 5, 5, 5, frame)).toMatchObject({ fromX: 5, toY: 5 });
  });
});

describe("an arrow key moves", () => {
  test("to the neighbor in its direction", () => {
    expect(nodeTowards(scene, nodeOf(scene, "a"), "right")?.node.name).toBe("b");
    expect(nodeTowards(scene, nodeOf(scene, "b"), "down")?.node.name).toBe("c");
  });
  test("to another node if there is no neighbor in that direction", () => {
    scene.show(buildGraph(pairs(["a", "c"], ["b", "b"]), []));
    expect(nodeTowards(scene, nodeOf(scene, "a"), "right")?.node.name).toBe("c");
    expect(nodeTowards(scene, nodeOf(scene, "b"), "left")?.node.name).toBe("a");
  });
  test("nowhere from the last node", () => {
    expect(nodeTowards(scene, nodeOf(scene, "a"), "left")).toBeUndefined();
  });
});

describe("emphasized is", () => {
  const of = (...chosen: string[]) => {
    const found = emphasesOf(scene.graph, { chosen: new Set(chosen), hovered: undefined, cursor: undefined });
    return {
      nodes: Object.fromEntries(scene.nodes.map((node) => [node.node.name, found.ofNode(node)])),
      edges: Object.fromEntries(scene.edges.map((edge) => [edge.edge.key, found.ofEdge(edge)])),
    };
  };

  test("nothing if nothing is chosen, or only nodes that are not on the map", () => {
    expect(of().nodes).toEqual({ a: "normal", b: "normal", c: "normal" });
    expect(of("elsewhere")).toEqual(of());
  });
  test("the chosen node with its edges, and nodes further away are dimmed", () => {
    expect(of("a")).toEqual({
      nodes: { a: "strong", b: "normal", c: "dim" },
      edges: { "1 a b": "strong", "1 b c": "dim", "1 c c": "dim" },
    });
  });
  test("the edge between two chosen nodes", () => {
    expect(of("a", "b").edges).toEqual({ "1 a b": "strong", "1 b c": "normal", "1 c c": "dim" });
  });
});
