/** Distances on the map: what is under the pointer, what lies in a direction, and which part of the plane to show. */
import type { Scene, SceneEdge, SceneNode } from "./scene.ts";

/** Transforms layout units to CSS pixels on the screen: `x * k + view.x`. */
export interface View {
  readonly k: number;
  readonly x: number;
  readonly y: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export type Target =
  { readonly type: "node"; readonly node: SceneNode } | { readonly type: "edge"; readonly edge: SceneEdge };

export const minZoom = 0.05;
export const maxZoom = 8;

/** The radius on the screen. It grows more slowly than the plane, so that nodes stay apart when zoomed in and visible when zoomed out. */
export function radiusOf({ node }: SceneNode, { k }: View): number {
  return Math.max(2, node.radius * (k < 1 ? k ** 0.7 : k ** 0.5));
}

/** The edge of a node to itself: a circle above the node, on the screen. */
export function loopOf({ from }: SceneEdge, view: View): { x: number; y: number; radius: number } {
  const radius = radiusOf(from, view);
  return { x: from.x * view.k + view.x, y: from.y * view.k + view.y - radius * 1.2, radius: radius * 0.9 };
}

export interface Line {
  readonly fromX: number;
  readonly fromY: number;
  readonly toX: number;
  readonly toY: number;
  /** Length cut off at the start. */
  readonly skipped: number;
}

/** How far outside the frame a line can be and still reach into it with its thickness. */
const clipMargin = 10;

/** The part of a line that is visible in a frame (Liang–Barsky). */
export function clippedLine(fromX: number, fromY: number, toX: number, toY: number, frame: Size): Line | undefined {
  const [alongX, alongY] = [toX - fromX, toY - fromY];
  let [begin, end] = [0, 1];
  for (const [step, room] of [
    [-alongX, fromX + clipMargin],
    [alongX, frame.width + clipMargin - fromX],
    [-alongY, fromY + clipMargin],
    [alongY, frame.height + clipMargin - fromY],
  ] as const) {
    if (step === 0 && room < 0) return undefined;
    if (step < 0) begin = Math.max(begin, room / step);
    if (step > 0) end = Math.min(end, room / step);
  }
  if (begin > end) return undefined;
  return {
    fromX: fromX + alongX * begin,
    fromY: fromY + alongY * begin,
    toX: fromX + alongX * end,
    toY: fromY + alongY * end,
    skipped: Math.hypot(alongX, alongY) * begin,
  };
}

/** The node or, if there is none, the edge at a point of the screen, or up to `reach` beside it. */
export function targetAt(scene: Scene, view: View, x: number, y: number, reach: number): Target | undefined {
  const node = nodeAt(scene, view, x, y, reach);
  if (node !== undefined) return { type: "node", node };
  let nearest: SceneEdge | undefined;
  let least = reach;
  for (const edge of scene.edges) {
    if (edge.isLeaving || !edge.from.isPlaced || !edge.to.isPlaced) continue;
    const distance = distanceToEdge(edge, view, x, y);
    if (distance < least) [nearest, least] = [edge, distance];
  }
  return nearest && { type: "edge", edge: nearest };
}

/** The node at a point of the screen, or up to `reach` beside it. */
export function nodeAt(scene: Scene, view: View, x: number, y: number, reach: number): SceneNode | undefined {
  let nearest: SceneNode | undefined;
  let least = Infinity;
  for (const node of scene.nodes) {
    if (node.isLeaving || !node.isPlaced) continue;
    const distance = Math.hypot(node.x * view.k + view.x - x, node.y * view.k + view.y - y);
    const radius = radiusOf(node, view);
    // Inside several nodes, the one with the nearest center wins.
    if (distance <= radius + reach && distance < least) [nearest, least] = [node, distance];
  }
  return nearest;
}

function distanceToEdge(edge: SceneEdge, view: View, x: number, y: number): number {
  if (edge.from === edge.to) {
    const loop = loopOf(edge, view);
    return Math.abs(Math.hypot(loop.x - x, loop.y - y) - loop.radius);
  }
  const [fromX, fromY] = [edge.from.x * view.k + view.x, edge.from.y * view.k + view.y];
  const [alongX, alongY] = [(edge.to.x - edge.from.x) * view.k, (edge.to.y - edge.from.y) * view.k];
  const square = alongX ** 2 + alongY ** 2;
  const part = square === 0 ? 0 : ((x - fromX) * alongX + (y - fromY) * alongY) / square;
  const nearest = Math.min(1, Math.max(0, part));
  return Math.hypot(fromX + alongX * nearest - x, fromY + alongY * nearest - y);
}

/** A view of all nodes, with a margin for their labels. A few nodes are not enlarged to fill it. */
export function fittingView(nodes: readonly SceneNode[], { width, height }: Size): View {
  const placed = nodes.filter(({ isPlaced, isLeaving }) => isPlaced && !isLeaving);
  if (placed.length === 0) return { k: 1, x: width / 2, y: height / 2 };
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { toX, toY, node } of placed) {
    left = Math.min(left, toX - node.radius);
    right = Math.max(right, toX + node.radius);
    top = Math.min(top, toY - node.radius);
    bottom = Math.max(bottom, toY + node.radius);
  }
  const [marginX, marginY] = [Math.min(60, width * 0.1), Math.min(36, height * 0.08)];
  const k = Math.min((width - 2 * marginX) / (right - left), (height - 2 * marginY) / (bottom - top), 1.6);
  const bounded = Math.max(minZoom, k);
  return { k: bounded, x: width / 2 - ((left + right) / 2) * bounded, y: height / 2 - ((top + bottom) / 2) * bounded };
}

export type Direction = "up" | "down" | "left" | "right";

const angles: Readonly<Record<Direction, number>> = { right: 0, down: Math.PI / 2, left: Math.PI, up: -Math.PI / 2 };

/** Where an arrow key leads: to the neighbor nearest in its direction or, if there is none, to any node in that direction. */
export function nodeTowards(scene: Scene, start: SceneNode, direction: Direction): SceneNode | undefined {
  const neighbors = start.node.edges.flatMap((index) => {
    const edge = scene.graph.edges[index];
    if (edge === undefined) return [];
    const other = scene.nodes[edge.from === scene.graph.indexes.get(start.node.name) ? edge.to : edge.from];
    return other === undefined || other === start ? [] : [other];
  });
  return towards(neighbors, start, angles[direction]) ?? towards(scene.nodes, start, angles[direction]);
}

/** The node within 45° of the direction that has the least sum of distance and detour. */
function towards(nodes: readonly SceneNode[], start: SceneNode, angle: number): SceneNode | undefined {
  let best: SceneNode | undefined;
  let least = Infinity;
  for (const node of nodes) {
    if (node === start || node.isLeaving || !node.isPlaced) continue;
    const [x, y] = [node.toX - start.toX, node.toY - start.toY];
    const ahead = x * Math.cos(angle) + y * Math.sin(angle);
    const aside = Math.abs(y * Math.cos(angle) - x * Math.sin(angle));
    if (ahead <= 0 || aside > ahead) continue;
    const cost = ahead + 2 * aside;
    if (cost < least) [best, least] = [node, cost];
  }
  return best;
}
