/** The current positions on the map: nodes moving to their places in the layout, and nodes and edges fading in and out. */
import type { Graph, GraphEdge, GraphNode } from "./graph.ts";

export interface SceneNode {
  node: GraphNode;
  /** In layout units. */
  x: number;
  y: number;
  fromX: number;
  fromY: number;
  toX: number;
  toY: number;
  /** A node without a place is not drawn. */
  isPlaced: boolean;
  isLeaving: boolean;
  /** Held in place by the user. */
  isPinned: boolean;
  /** 0 to 1. */
  opacity: number;
}

export interface SceneEdge {
  edge: GraphEdge;
  readonly from: SceneNode;
  readonly to: SceneNode;
  isLeaving: boolean;
  opacity: number;
}

export class Scene {
  /** In the order of the graph, followed by those that are leaving. */
  nodes: SceneNode[] = [];
  edges: SceneEdge[] = [];
  graph: Graph = { nodes: [], edges: [], indexes: new Map(), total: { nodes: 0, edges: 0 } };
  #movedAt = 0;
  #moveMs = 0;
  #isMoving = false;
  #isFading = false;
  #advancedAt: number | undefined;
  readonly #fadeMs: number;

  /** @param fadeMs How long something takes to fade in or out; 0 for no animation. */
  constructor(fadeMs: number) {
    this.#fadeMs = fadeMs;
  }

  show(graph: Graph): void {
    const nodes = new Map(this.nodes.map((node) => [node.node.name, node]));
    const edges = new Map(this.edges.map((edge) => [edge.edge.key, edge]));
    const shownNodes = graph.nodes.map((node): SceneNode => {
      const known = nodes.get(node.name);
      nodes.delete(node.name);
      return known === undefined ? newNode(node) : Object.assign(known, { node, isLeaving: false });
    });
    const shownEdges = graph.edges.map((edge): SceneEdge => {
      const known = edges.get(edge.key);
      edges.delete(edge.key);
      if (known !== undefined) return Object.assign(known, { edge, isLeaving: false });
      const [from, to] = [shownNodes[edge.from], shownNodes[edge.to]] as [SceneNode, SceneNode];
      return { edge, from, to, isLeaving: false, opacity: 0 };
    });
    this.graph = graph;
    this.nodes = [...shownNodes, ...leaving(nodes.values())];
    this.edges = [...shownEdges, ...leaving(edges.values())];
    this.#startFading();
  }

  /** Moves the nodes of the graph to these positions (x and y of each) within `durationMs`. */
  move(positions: Float32Array, now: number, durationMs: number): void {
    let isMoving = false;
    for (let index = 0; index < this.graph.nodes.length; index++) {
      const node = this.nodes[index] as SceneNode;
      const [x, y] = [positions[index * 2] as number, positions[index * 2 + 1] as number];
      if (!node.isPlaced) {
        [node.x, node.y, node.isPlaced] = [x, y, true];
        this.#startFading();
      }
      isMoving ||= node.x !== x || node.y !== y;
      [node.fromX, node.fromY, node.toX, node.toY] = [node.x, node.y, x, y];
    }
    [this.#movedAt, this.#moveMs, this.#isMoving] = [now, durationMs, isMoving];
  }

  /** Moves a node to the pointer, ahead of the layout. */
  place(node: SceneNode, x: number, y: number): void {
    Object.assign(node, { x, y, fromX: x, fromY: y, toX: x, toY: y });
  }

  /** Advances everything to `now`. Returns true if the next frame will differ. */
  advance(now: number): boolean {
    if (this.#isMoving) {
      const part = this.#moveMs <= 0 ? 1 : Math.min(1, Math.max(0, now - this.#movedAt) / this.#moveMs);
      for (const node of this.nodes) {
        node.x = node.fromX * (1 - part) + node.toX * part;
        node.y = node.fromY * (1 - part) + node.toY * part;
      }
      this.#isMoving = part < 1;
    }
    const passed = now - (this.#advancedAt ?? now);
    if (this.#isFading) this.#fade(this.#fadeMs === 0 ? 1 : Math.min(1, passed / this.#fadeMs));
    this.#advancedAt = now;
    return this.#isMoving || this.#isFading;
  }

  /** Fades everything but nodes and edges that have no place yet. */
  #fade(part: number): void {
    const fade = (one: SceneNode | SceneEdge): boolean => {
      if (isPlaced(one)) one.opacity = Math.min(1, Math.max(0, one.opacity + (one.isLeaving ? -part : part)));
      return !one.isLeaving || (one.opacity > 0 && isPlaced(one));
    };
    this.nodes = this.nodes.filter(fade);
    this.edges = this.edges.filter(fade);
    const isDone = (one: SceneNode | SceneEdge): boolean => !one.isLeaving && (one.opacity === 1 || !isPlaced(one));
    this.#isFading = !this.nodes.every(isDone) || !this.edges.every(isDone);
  }

  /** Starts fading; time counts from the next frame. */
  #startFading(): void {
    if (!this.#isFading) this.#advancedAt = undefined;
    this.#isFading = true;
  }
}

function isPlaced(one: SceneNode | SceneEdge): boolean {
  return "node" in one ? one.isPlaced : one.from.isPlaced && one.to.isPlaced;
}

function newNode(node: GraphNode): SceneNode {
  const start = { x: 0, y: 0, fromX: 0, fromY: 0, toX: 0, toY: 0 };
  return { node, ...start, isPlaced: false, isLeaving: false, isPinned: false, opacity: 0 };
}

function* leaving<Leaving extends SceneNode | SceneEdge>(gone: Iterable<Leaving>): Generator<Leaving> {
  for (const one of gone) {
    one.isLeaving = true;
    yield one;
  }
}
