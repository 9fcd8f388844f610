/** The nodes of the map as a table, for everybody who cannot see it or wants numbers. */
import type { JSX } from "preact";
import { bytes, count, share } from "../format.ts";
import { NodeLink } from "../node-link.tsx";
import { type Column, Table } from "../table.tsx";
import type { Graph, GraphNode } from "./graph.ts";
import { isNamed, shownName } from "./names.ts";

const columns: readonly Column<GraphNode>[] = [
  { title: "Node", value: ({ name }) => name, cell: NodeCell },
  amount("Bytes", ({ bytes: sum }) => sum),
  amount("Sent", ({ sentBytes }) => sentBytes),
  amount("Received", ({ receivedBytes }) => receivedBytes),
  { title: "Peers", value: ({ peers }) => peers, cell: ({ peers }) => count(peers), align: "right" },
  {
    title: "Relayed",
    value: ({ relayedShare }) => relayedShare ?? -1,
    cell: ({ relayedShare }) => (relayedShare === undefined ? "–" : share(relayedShare, 1)),
    align: "right",
  },
];

export function NodeTable({ graph }: { readonly graph: Graph }): JSX.Element {
  return (
    <Table
      caption="Nodes"
      columns={columns}
      rows={graph.nodes}
      keyOf={({ name }) => name}
      sortedBy="Bytes"
      limit={10}
    />
  );
}

function NodeCell({ name }: GraphNode): JSX.Element {
  return isNamed(name) ? <NodeLink node={name} /> : <span>{shownName(name, 100)}</span>;
}

function amount(title: string, value: (node: GraphNode) => number): Column<GraphNode> {
  return { title, value, cell: (node) => bytes(value(node)), align: "right" };
}
