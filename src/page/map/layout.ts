/** The force-directed layout of the map, driven by messages: it computes only when asked for the next positions. */
import {
  type ForceLink,
  forceCollide,
  forceLink,
  forceManyBody,
  forceSimulation,
  forceX,
  forceY,
  type Simulation,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from "d3-force";

export type LayoutRequest =
  /** Replaces the nodes and edges. Known nodes stay where they are. */
  | {
      readonly type: "graph";
      /** Returned with the positions. */
      readonly revision: number;
      readonly names: readonly string[];
      readonly radii: Float32Array;
      /** Two node indexes per edge. */
      readonly links: Uint32Array;
      /** Width divided by height of the frame that the layout should fill. */
      readonly aspect: number;
    }
  /** Requests positions after at most `ticks` steps and about `maxMs`. Not answered before the first graph. */
  | {
      readonly type: "step";
      readonly ticks: number;
      readonly maxMs: number;
      /** An array from an earlier answer, for reuse. */
      readonly positions: Float32Array | undefined;
    }
  /** Holds a node in place until it is released. */
  | { readonly type: "pin"; readonly name: string; readonly x: number; readonly y: number }
  | { readonly type: "release"; readonly name: string };

export interface LayoutAnswer {
  readonly revision: number;
  /** x and y of each node, in the order of the graph's names. */
  readonly positions: Float32Array;
  readonly isSettled: boolean;
}

interface LayoutNode extends SimulationNodeDatum {
  readonly name: string;
  /** 0 to 1, derived from the name. */
  readonly chance: number;
  radius: number;
  degree: number;
  x: number;
  y: number;
}

type LayoutLink = SimulationLinkDatum<LayoutNode> & { source: LayoutNode; target: LayoutNode };

const settledAlpha = 0.004;
const gathering = 0.045;
/** How much an added or removed edge warms the layout, relative to a node: among the least busy pairs, edges always come and go. */
const edgeWeight = 0.3;
/** Alpha to which dragging a node warms the layout. */
const pinnedAlpha = 0.15;
/** Nodes remembered, including those that left, so that they return to where they were. */
const maxRemembered = 5000;

export class Layout {
  readonly #simulation: Simulation<LayoutNode, LayoutLink>;
  readonly #links: ForceLink<LayoutNode, LayoutLink>;
  readonly #gatherX = forceX<LayoutNode>();
  readonly #gatherY = forceY<LayoutNode>();
  readonly #nodes = new Map<string, LayoutNode>();
  #linkKeys = new Set<string>();
  #revision = 0;

  constructor() {
    this.#links = forceLink<LayoutNode, LayoutLink>([]).distance(distanceOf);
    this.#simulation = forceSimulation<LayoutNode, LayoutLink>([])
      .stop()
      .alpha(0)
      .alphaMin(settledAlpha)
      .alphaDecay(0.028)
      .velocityDecay(0.35)
      .force("link", this.#links)
      .force("charge", forceManyBody<LayoutNode>().strength(chargeOf).distanceMax(700).theta(1))
      .force("collide", forceCollide<LayoutNode>(({ radius }) => radius + 4).strength(0.7))
      .force("x", this.#gatherX)
      .force("y", this.#gatherY);
  }

  /** Positions for a `step`; undefined for requests that only change what will be computed. */
  answer(request: LayoutRequest): LayoutAnswer | undefined {
    switch (request.type) {
      case "graph":
        this.#gather(request.aspect);
        this.#show(request.names, request.radii, request.links);
        this.#revision = request.revision;
        return undefined;
      case "pin":
        this.#hold(request.name, request.x, request.y);
        return undefined;
      case "release":
        this.#hold(request.name, null, null);
        return undefined;
      case "step":
        return this.#revision === 0 ? undefined : this.#step(request.ticks, request.maxMs, request.positions);
    }
  }

  /** Pulls everything to the middle, more strongly across the shorter side. */
  #gather(aspect: number): void {
    const stretch = Math.min(2.5, Math.max(0.5, aspect));
    this.#gatherX.strength(gathering / stretch);
    this.#gatherY.strength(gathering * stretch);
  }

  #step(ticks: number, maxMs: number, returned: Float32Array | undefined): LayoutAnswer {
    const simulation = this.#simulation;
    const until = performance.now() + maxMs;
    for (let tick = 0; tick < ticks && simulation.alpha() >= settledAlpha; tick++) {
      simulation.tick();
      if (performance.now() >= until) break;
    }
    const nodes = simulation.nodes();
    const length = nodes.length * 2;
    const positions = returned?.length === length ? returned : new Float32Array(length);
    for (const [index, { x, y }] of nodes.entries()) {
      positions[index * 2] = x;
      positions[index * 2 + 1] = y;
    }
    return { revision: this.#revision, positions, isSettled: simulation.alpha() < settledAlpha };
  }

  #hold(name: string, x: number | null, y: number | null): void {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    [node.fx, node.fy] = [x, y];
    this.#warm(pinnedAlpha);
  }

  #show(names: readonly string[], radii: Float32Array, links: Uint32Array): void {
    const before = new Set(this.#simulation.nodes().map(({ name }) => name));
    const known = new Set(this.#nodes.keys());
    const nodes = names.map((name, index) => {
      const node = this.#nodes.get(name) ?? newNode(name, names.length);
      [node.radius, node.degree] = [radii[index] ?? 1, 0];
      // Moves the node to the end, so that the oldest are forgotten first.
      this.#nodes.delete(name);
      this.#nodes.set(name, node);
      return node;
    });
    const edges = linksOf(nodes, links);
    if (before.size > 0) placeNearPeers(edges, known);
    const keys = new Set(edges.map(({ source, target }) => `${source.name.length} ${source.name} ${target.name}`));
    const changed = differences(before, new Set(names)) + edgeWeight * differences(this.#linkKeys, keys);
    this.#linkKeys = keys;
    this.#links.links([]);
    this.#simulation.nodes(nodes);
    this.#links.links(edges);
    if (changed > 0)
      this.#warm(before.size === 0 ? 1 : Math.min(1, 0.03 + (1.5 * changed) / (names.length + keys.size)));
    for (const name of this.#nodes.keys()) {
      if (this.#nodes.size <= maxRemembered) break;
      this.#nodes.delete(name);
    }
  }

  #warm(alpha: number): void {
    this.#simulation.alpha(Math.max(alpha, this.#simulation.alpha()));
  }
}

/** Edges between different nodes. Also counts the degrees. */
function linksOf(nodes: readonly LayoutNode[], links: Uint32Array): LayoutLink[] {
  const found: LayoutLink[] = [];
  for (let at = 0; at + 1 < links.length; at += 2) {
    const [source, target] = [nodes[links[at] ?? -1], nodes[links[at + 1] ?? -1]];
    if (source === undefined || target === undefined || source === target) continue;
    source.degree++;
    target.degree++;
    found.push({ source, target });
  }
  return found;
}

/** Leaves of a hub lie in rings around it rather than all at one distance. */
function distanceOf({ source, target }: LayoutLink): number {
  const hub = Math.max(source.degree, target.degree);
  const leaf = source.degree < target.degree ? source : target;
  const ring = leaf.degree === 1 ? Math.sqrt(leaf.chance) * Math.sqrt(hub) * 14 : Math.sqrt(hub) * 3;
  return 26 + source.radius + target.radius + ring;
}

function chargeOf({ radius, degree }: LayoutNode): number {
  return -40 - radius * 4 - Math.min(degree, 20) * 3;
}

/** A name always starts at the same place, so that a tailnet looks the same after a reload. */
function newNode(name: string, count: number): LayoutNode {
  const chance = chanceOf(name, 1);
  const angle = 2 * Math.PI * chanceOf(name, 2);
  const distance = 18 * Math.sqrt(count) * Math.sqrt(chance);
  return { name, chance, radius: 1, degree: 0, x: distance * Math.cos(angle), y: distance * Math.sin(angle) * 0.7 };
}

/** Places new nodes next to their known peers. */
function placeNearPeers(links: readonly LayoutLink[], known: ReadonlySet<string>): void {
  const sums = new Map<LayoutNode, { x: number; y: number; count: number }>();
  for (const { source, target } of links) {
    for (const [node, peer] of [
      [source, target],
      [target, source],
    ] as const) {
      if (known.has(node.name) || !known.has(peer.name)) continue;
      const { x, y, count } = sums.get(node) ?? { x: 0, y: 0, count: 0 };
      sums.set(node, { x: x + peer.x, y: y + peer.y, count: count + 1 });
    }
  }
  for (const [node, { x, y, count }] of sums) {
    const angle = 2 * Math.PI * node.chance;
    [node.x, node.y] = [x / count + 50 * Math.cos(angle), y / count + 50 * Math.sin(angle)];
  }
}

function differences(before: ReadonlySet<string>, after: ReadonlySet<string>): number {
  return before.symmetricDifference(after).size;
}

/** 0 to 1, derived from the text (FNV-1a with a final mix, because short names differ little). */
function chanceOf(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
