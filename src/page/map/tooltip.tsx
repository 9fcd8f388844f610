/** The tooltip of the map: figures of the node or edge under the pointer. */
import { Fragment, type JSX } from "preact";
import { bytes, count, share } from "../format.ts";
import { kinds, kindTitles } from "../kinds.ts";
import type { Graph, GraphEdge, GraphNode } from "./graph.ts";
import { shownName } from "./names.ts";

/** Identified by name, so that it stays valid when the data changes. */
export interface Hovered {
  readonly type: "node" | "edge";
  /** The name of the node, or the key of the edge. */
  readonly key: string;
  /** True if the node was dragged and is held in place. */
  readonly isHeld: boolean;
  /** Position in the frame of the map, in CSS pixels. */
  readonly x: number;
  readonly y: number;
  readonly side: { readonly x: "left" | "right"; readonly y: "top" | "bottom" };
}

export interface TooltipProps {
  readonly hovered: Hovered;
  readonly graph: Graph;
}

const longest = 1000;

export function Tooltip({ hovered: { type, key, isHeld, x, y, side }, graph }: TooltipProps): JSX.Element | null {
  const node = type === "node" ? graph.nodes[graph.indexes.get(key) ?? -1] : undefined;
  const edge = type === "edge" ? graph.edges.find((one) => one.key === key) : undefined;
  if (node === undefined && edge === undefined) return null;
  const place = { [side.x]: `${x + 14}px`, [side.y]: `${y + 14}px` };
  return (
    <div class="map-tooltip" style={place} aria-hidden="true">
      {node && <NodeText node={node} />}
      {isHeld && <p>Held where you put it. Double-click to release it.</p>}
      {edge && <EdgeText edge={edge} graph={graph} />}
    </div>
  );
}

function NodeText({ node }: { readonly node: GraphNode }): JSX.Element {
  return (
    <>
      <bdi class="map-tooltip-name">{shownName(node.name, longest)}</bdi>
      <dl>
        <dt>Sent</dt>
        <dd>{bytes(node.sentBytes)}</dd>
        <dt>Received</dt>
        <dd>{bytes(node.receivedBytes)}</dd>
        <dt>Peers</dt>
        <dd>{count(node.peers)}</dd>
        {node.relayedShare !== undefined && (
          <>
            <dt>Reached by relay</dt>
            <dd>{share(node.relayedShare, 1)}</dd>
          </>
        )}
        {node.kind === "outside" && (
          <>
            <dt>Outside</dt>
            <dd>the tailnet</dd>
          </>
        )}
      </dl>
    </>
  );
}

function EdgeText({ edge, graph }: { readonly edge: GraphEdge; readonly graph: Graph }): JSX.Element {
  const name = (index: number): string => shownName(graph.nodes[index]?.name ?? "", 200);
  const [from, to] = [name(edge.from), name(edge.to)];
  return (
    <>
      <p class="map-tooltip-name">
        <bdi>{from}</bdi> ↔ <bdi>{to}</bdi>
      </p>
      <dl>
        <dt>
          To <bdi>{to}</bdi>
        </dt>
        <dd>{bytes(edge.forwardBytes)}</dd>
        <dt>
          To <bdi>{from}</bdi>
        </dt>
        <dd>{bytes(edge.backwardBytes)}</dd>
        <dt>Entries</dt>
        <dd>{count(edge.entries)}</dd>
        {kinds
          .filter((kind) => edge.kinds[kind] !== undefined)
          .map((kind) => (
            <Fragment key={kind}>
              <dt>{kindTitles[kind]}</dt>
              <dd>{bytes(edge.kinds[kind] ?? 0)}</dd>
            </Fragment>
          ))}
        <dt>Path</dt>
        <dd>{edge.path === "unknown" ? "unknown" : `mostly ${edge.path}`}</dd>
      </dl>
    </>
  );
}
