/** What the map emphasizes: the chosen nodes, the target under the pointer, and the keyboard cursor. */
import type { Target } from "./geometry.ts";
import type { Graph } from "./graph.ts";
import type { SceneEdge, SceneNode } from "./scene.ts";

export interface Focus {
  /** Node names. If any of them is on the map, everything unrelated to the chosen ones is dimmed. */
  readonly chosen: ReadonlySet<string>;
  readonly hovered: Target | undefined;
  /** The node that the arrow keys start from. */
  readonly cursor: string | undefined;
}

export type Emphasis = "dim" | "normal" | "strong";

/** Looks up the emphasis of every edge and node of a frame. */
export interface Emphases {
  ofEdge(edge: SceneEdge): Emphasis;
  ofNode(node: SceneNode): Emphasis;
}

/** How strongly each edge and node of the graph is drawn. */
export function emphasesOf(graph: Graph, { chosen, hovered }: Focus): Emphases {
  const centers = new Set([...chosen].flatMap((name) => graph.indexes.get(name) ?? []));
  const hoveredNode = hovered?.type === "node" ? hovered.node : undefined;
  const hoveredEdge = hovered?.type === "edge" ? hovered.edge : undefined;
  const near = new Set<string>();
  for (const center of centers) {
    for (const index of graph.nodes[center]?.edges ?? []) {
      const edge = graph.edges[index];
      for (const end of edge === undefined ? [] : [edge.from, edge.to]) near.add(graph.nodes[end]?.name ?? "");
    }
  }
  return {
    ofEdge(edge) {
      if (edge === hoveredEdge || edge.from === hoveredNode || edge.to === hoveredNode) return "strong";
      if (centers.size === 0) return "normal";
      const ends = Number(chosen.has(edge.from.node.name)) + Number(chosen.has(edge.to.node.name));
      // With several chosen nodes, the traffic between them stands out.
      return ends === 2 || (ends === 1 && centers.size === 1) ? "strong" : ends === 1 ? "normal" : "dim";
    },
    ofNode(node) {
      const isHovered = node === hoveredNode || node === hoveredEdge?.from || node === hoveredEdge?.to;
      if (isHovered || chosen.has(node.node.name)) return "strong";
      return centers.size === 0 || near.has(node.node.name) ? "normal" : "dim";
    },
  };
}
