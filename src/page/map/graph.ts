/** Builds the graph that the map shows, nodes and the traffic between them, limited to what can be drawn. */
import type { TrafficNode, TrafficPair } from "../../admin/traffic/answers.ts";
import { type NodeKind, nodeKindOf } from "./names.ts";

type KindBytes = TrafficPair["kinds"];

export interface GraphNode {
  readonly name: string;
  readonly kind: NodeKind;
  readonly bytes: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** The relayed share of the bytes that peers send it by a known path. */
  readonly relayedShare: number | undefined;
  readonly peers: number;
  /** In layout units. */
  readonly radius: number;
  /** Indexes of its edges, busiest first. */
  readonly edges: readonly number[];
}

/** How most bytes of an edge travel, as far as its ends reveal: paths are known per node, not per pair. */
export type Path = "direct" | "relayed" | "unknown";

/** All traffic between two nodes, or of one with itself. */
export interface GraphEdge {
  readonly key: string;
  /** Index of the node whose name sorts first. */
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly forwardBytes: number;
  readonly backwardBytes: number;
  readonly entries: number;
  readonly kinds: KindBytes;
  readonly path: Path;
  /** Thickness level, 0 to `levels` - 1, by the logarithm of its bytes. */
  readonly level: number;
}

export interface Graph {
  /** Sorted by name, so that the same nodes keep their order whatever they send. */
  readonly nodes: readonly GraphNode[];
  /** Busiest first. */
  readonly edges: readonly GraphEdge[];
  readonly indexes: ReadonlyMap<string, number>;
  /** Totals that include what is not drawn. */
  readonly total: { readonly nodes: number; readonly edges: number };
}

export const levels = 5;
export const maxNodes = 500;
export const maxEdges = 2000;
const minRadius = 4;
const maxRadius = 20;
const severalRadius = 9;

/** Merges both directions of a pair into one edge, and keeps the busiest if there are too many. */
export function buildGraph(pairs: readonly TrafficPair[], reached: readonly TrafficNode[]): Graph {
  const merged = mergedPairs(pairs);
  const busiest = merged.toSorted((left, right) => right.bytes - left.bytes || compare(left.key, right.key));
  const { kept, names } = bounded(busiest);
  const sorted = [...names].sort(compare);
  const indexes = new Map(sorted.map((name, index) => [name, index]));
  const shares = new Map(reached.map(({ name, kinds }) => [name, relayedShareOf(kinds)]));
  const edges = edgesOf(kept, indexes, shares);
  const allNames = new Set(merged.flatMap(({ first, second }) => [first, second]));
  return {
    nodes: nodesOf(sorted, edges, shares),
    edges,
    indexes,
    total: { nodes: allNames.size, edges: merged.length },
  };
}

interface MergedPair {
  readonly key: string;
  readonly first: string;
  readonly second: string;
  forwardBytes: number;
  backwardBytes: number;
  bytes: number;
  entries: number;
  readonly kinds: Record<string, number>;
}

function mergedPairs(pairs: readonly TrafficPair[]): MergedPair[] {
  const merged = new Map<string, MergedPair>();
  for (const { from, to, entries, txBytes, rxBytes, kinds } of pairs) {
    const isForward = compare(from, to) <= 0;
    const [first, second] = isForward ? [from, to] : [to, from];
    // The length keeps apart pairs of names that would otherwise give the same key.
    const key = `${first.length} ${first} ${second}`;
    let pair = merged.get(key);
    if (pair === undefined) {
      pair = { key, first, second, forwardBytes: 0, backwardBytes: 0, bytes: 0, entries: 0, kinds: {} };
      merged.set(key, pair);
    }
    pair.forwardBytes += isForward ? txBytes : rxBytes;
    pair.backwardBytes += isForward ? rxBytes : txBytes;
    pair.bytes += txBytes + rxBytes;
    pair.entries += entries;
    for (const [kind, bytes] of Object.entries(kinds)) pair.kinds[kind] = (pair.kinds[kind] ?? 0) + bytes;
  }
  return [...merged.values()];
}

/** Keeps the busiest edges whose ends fit among the allowed nodes, so that every node has an edge. */
function bounded(busiest: readonly MergedPair[]): { kept: MergedPair[]; names: Set<string> } {
  const names = new Set<string>();
  const kept: MergedPair[] = [];
  for (const pair of busiest) {
    if (kept.length === maxEdges) break;
    const added = new Set([pair.first, pair.second]).difference(names);
    if (names.size + added.size > maxNodes) continue;
    kept.push(pair);
    for (const name of added) names.add(name);
  }
  return { kept, names };
}

type Shares = ReadonlyMap<string, number | undefined>;

function edgesOf(pairs: readonly MergedPair[], indexes: ReadonlyMap<string, number>, shares: Shares): GraphEdge[] {
  const logarithms = pairs.map(({ bytes }) => Math.log1p(bytes));
  const least = logarithms.at(-1) ?? 0;
  const range = (logarithms[0] ?? 0) - least;
  return pairs.map(({ key, first, second, ...pair }, index) => {
    const height = range === 0 ? 0.5 : ((logarithms[index] ?? 0) - least) / range;
    return {
      ...pair,
      key,
      from: indexes.get(first) ?? 0,
      to: indexes.get(second) ?? 0,
      path: pathBetween(first, second, shares),
      // Squared, so that most edges are thin and the busy ones stand out.
      level: Math.min(levels - 1, Math.floor(height ** 2 * levels)),
    };
  });
}

/** A node that is always reached in one way determines the path of all its edges; of two nodes, the clearer one decides. */
function pathBetween(first: string, second: string, shares: Shares): Path {
  if (first === second || nodeKindOf(first) !== "machine" || nodeKindOf(second) !== "machine") return "unknown";
  const [share, other] = [shares.get(first), shares.get(second)];
  if (share === undefined && other === undefined) return "unknown";
  const lean = (share ?? 0.5) + (other ?? 0.5) - 1;
  return lean > 0 ? "relayed" : "direct";
}

function nodesOf(names: readonly string[], edges: readonly GraphEdge[], shares: Shares): GraphNode[] {
  const sums = names.map(() => ({ sentBytes: 0, receivedBytes: 0, edges: [] as number[] }));
  for (const [index, { from, to, forwardBytes, backwardBytes }] of edges.entries()) {
    for (const [end, sent, received] of [
      [from, forwardBytes, backwardBytes],
      [to, backwardBytes, forwardBytes],
    ] as const) {
      const sum = sums[end];
      if (sum === undefined || sum.edges.at(-1) === index) continue;
      sum.edges.push(index);
      sum.sentBytes += sent;
      sum.receivedBytes += received;
    }
  }
  const most = sums.reduce(
    (found, { sentBytes, receivedBytes }, index) =>
      nodeKindOf(names[index] ?? "") === "several" ? found : Math.max(found, sentBytes + receivedBytes),
    1,
  );
  return names.map((name, index) => {
    const { sentBytes = 0, receivedBytes = 0, edges: own = [] } = sums[index] ?? {};
    const bytes = sentBytes + receivedBytes;
    const kind = nodeKindOf(name);
    return {
      name,
      kind,
      bytes,
      sentBytes,
      receivedBytes,
      relayedShare: shares.get(name),
      peers: own.filter((edge) => edges[edge]?.from !== edges[edge]?.to).length,
      radius: kind === "several" ? severalRadius : minRadius + (maxRadius - minRadius) * (bytes / most) ** 0.35,
      edges: own,
    };
  });
}

function relayedShareOf({ direct = 0, relayed = 0 }: TrafficNode["kinds"]): number | undefined {
  return direct + relayed > 0 ? relayed / (direct + relayed) : undefined;
}

/** Compares by code units, so that the order does not depend on the browser's language. */
function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
