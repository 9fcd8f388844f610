/** The map of who talks to whom, with machines as nodes and traffic as edges, and the same data as a table below. */
import type { JSX } from "preact";
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import type { TrafficNode, TrafficPair } from "../../admin/traffic/answers.ts";
import { bytes, count, share } from "../format.ts";
import { NodeLink } from "../node-link.tsx";
import { type Column, Table } from "../table.tsx";
import { useExpansion } from "./expansion.ts";
import type { Direction, Target } from "./geometry.ts";
import { buildGraph, type Graph, type GraphNode } from "./graph.ts";
import { isNamed, shownName } from "./names.ts";
import { Stage } from "./stage.ts";
import { type Hovered, Tooltip } from "./tooltip.tsx";
import { FindNode, Legend, ZoomButtons } from "./tools.tsx";

export interface TrafficMapProps {
  /** True while the first pairs are loading. */
  readonly isLoading?: boolean;
  readonly pairs: readonly TrafficPair[];
  /** How nodes are reached, which tells direct edges from relayed ones. */
  readonly nodes: readonly TrafficNode[];
  /** Node names. */
  readonly chosen: readonly string[];
  readonly onChoose: (nodes: readonly string[]) => void;
}

const hintMs = 1500;

export function TrafficMapView({ isLoading = false, pairs, nodes, chosen, onChoose }: TrafficMapProps): JSX.Element {
  const [section, frame, canvas] = [
    useRef<HTMLElement>(null),
    useRef<HTMLDivElement>(null),
    useRef<HTMLCanvasElement>(null),
  ];
  const help = useId();
  const graph = useMemo(() => buildGraph(pairs, nodes), [pairs, nodes]);
  const [hovered, setHovered] = useState<Hovered>();
  const [cursor, setCursor] = useState<string>();
  const [isHinting, setHinting] = useState(false);
  const [isPlaced, setPlaced] = useState(false);
  const [isFailed, setFailed] = useState(false);
  const [isExpanded, setExpanded] = useExpansion(section);
  const stage = useRef<Stage | undefined>(undefined);

  const choose = (names: readonly string[], how: "adds" | "replaces"): void => {
    // Aggregated nodes cannot be filtered by.
    const real = names.filter(isNamed);
    if (names.length > 0 && real.length === 0) return;
    onChoose(how === "replaces" ? real : toggled(chosen, real));
  };
  const current = { choose, isExpanded };
  const latest = useRef(current);
  latest.current = current;

  useEffect(() => {
    if (canvas.current === null) return undefined;
    const made = new Stage(canvas.current, {
      onChoose(names, how) {
        frame.current?.focus({ preventScroll: true });
        latest.current.choose(names, how);
      },
      onHover: (target, x, y) =>
        setHovered(target && frame.current ? hoveredAt(target, x, y, frame.current) : undefined),
      onCursor: setCursor,
      onIgnoredWheel: () => setHinting(true),
      onPlaced: () => setPlaced(true),
      onFailure: () => setFailed(true),
      isInUse: () => latest.current.isExpanded || frame.current?.contains(document.activeElement) === true,
      isExpanded: () => latest.current.isExpanded,
    });
    stage.current = made;
    return () => made.close();
  }, []);
  useEffect(() => stage.current?.show(graph), [graph]);
  useEffect(() => stage.current?.choose(chosen), [chosen]);
  useEffect(() => stage.current?.fit(), [isExpanded]);
  useEffect(() => {
    if (!isHinting) return undefined;
    const timer = setTimeout(() => setHinting(false), hintMs);
    return () => clearTimeout(timer);
  }, [isHinting]);

  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const clearsNothing = event.key === "Escape" && cursor === undefined && chosen.length === 0;
    if (!clearsNothing && onKey(event, cursor)) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  // Escape first clears the cursor and the choice, then closes.
  const onEscape = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && isExpanded && !event.defaultPrevented) setExpanded(false);
  };
  const onKey = ({ key, shiftKey }: KeyboardEvent, place: string | undefined): boolean => {
    const direction = directions[key];
    if (direction !== undefined) stage.current?.step(direction);
    else if (key === "Enter" && place !== undefined) choose([place], shiftKey ? "adds" : "replaces");
    else if (key === "Escape") {
      stage.current?.clearCursor();
      onChoose([]);
    } else if (key === "+" || key === "=") stage.current?.zoomBy(1.5);
    else if (key === "-") stage.current?.zoomBy(1 / 1.5);
    else if (key === "0") stage.current?.fit();
    else return false;
    return true;
  };

  return (
    <section class="map" aria-label="Node map" data-expanded={isExpanded} ref={section} onKeyDown={onEscape}>
      <div class="map-tools">
        <FindNode
          graph={graph}
          onFind={(name) => stage.current?.visit(name)}
          onDone={() => frame.current?.focus({ preventScroll: true })}
        />
        <ZoomButtons
          isExpanded={isExpanded}
          onZoom={(factor) => stage.current?.zoomBy(factor)}
          onFit={() => stage.current?.fit()}
          onExpand={() => setExpanded(!isExpanded)}
        />
      </div>
      <div
        class="map-frame"
        role="application"
        aria-label="Node map"
        aria-describedby={help}
        tabIndex={0}
        ref={frame}
        onKeyDown={onKeyDown}
      >
        <canvas ref={canvas} aria-hidden="true" />
        {hovered && <Tooltip hovered={hovered} graph={graph} />}
        {graph.nodes.length === 0 && (
          <p class="map-empty">{isLoading ? "Loading…" : "No traffic between nodes in this range."}</p>
        )}
        {graph.nodes.length > 0 && !isPlaced && !isFailed && (
          <p class="map-empty">Placing {count(graph.nodes.length)} nodes…</p>
        )}
        {isFailed && <p class="map-empty">This browser cannot draw the map. The table below has the same nodes.</p>}
        <p class="map-hint" data-shown={isHinting} aria-hidden="true">
          Hold Ctrl and scroll, or click the map first, to zoom
        </p>
      </div>
      <p id={help} class="unseen">
        Arrow keys move between neighbors, Enter filters by a node, Shift and Enter add it, Escape clears, plus, minus
        and 0 zoom. The table below has the same nodes.
      </p>
      <p role="status" class="unseen">
        {spoken(graph, cursor, chosen)}
      </p>
      <Legend graph={graph} />
      {isBounded(graph) && (
        <p class="note">
          Showing the busiest {count(graph.nodes.length)} of {count(graph.total.nodes)} nodes and{" "}
          {count(graph.edges.length)} of {count(graph.total.edges)} pairs.
        </p>
      )}
      <NodeTable graph={graph} />
    </section>
  );
}

const directions: Readonly<Record<string, Direction>> = {
  ArrowUp: "up",
  ArrowDown: "down",
  ArrowLeft: "left",
  ArrowRight: "right",
};

function toggled(chosen: readonly string[], names: readonly string[]): string[] {
  if (names.every((name) => chosen.includes(name))) return chosen.filter((name) => !names.includes(name));
  return [...new Set([...chosen, ...names])];
}

/** Places the tooltip on the side of the pointer that faces the middle of the frame. */
function hoveredAt(target: Target, x: number, y: number, { clientWidth, clientHeight }: HTMLElement): Hovered {
  const [isRight, isLow] = [x > clientWidth / 2, y > clientHeight / 2];
  return {
    type: target.type,
    key: target.type === "node" ? target.node.node.name : target.edge.edge.key,
    isHeld: target.type === "node" && target.node.isPinned,
    x: isRight ? clientWidth - x : x,
    y: isLow ? clientHeight - y : y,
    side: { x: isRight ? "right" : "left", y: isLow ? "bottom" : "top" },
  };
}

function isBounded({ nodes, edges, total }: Graph): boolean {
  return nodes.length < total.nodes || edges.length < total.edges;
}

/** Describes the cursor and the choice to screen readers. */
function spoken({ nodes, indexes }: Graph, cursor: string | undefined, chosen: readonly string[]): string {
  const node = cursor === undefined ? undefined : nodes[indexes.get(cursor) ?? -1];
  if (node === undefined)
    return chosen.length === 0 ? "" : `Filtered by ${chosen.map((name) => shownName(name, 60)).join(", ")}`;
  const isChosen = chosen.includes(node.name) ? ", chosen" : "";
  return `${shownName(node.name, 60)}, ${bytes(node.bytes)}, ${count(node.peers)} peers${isChosen}`;
}

const columns: readonly Column<GraphNode>[] = [
  { title: "Node", value: ({ name }) => name, cell: ({ name }) => <NodeLink node={name} /> },
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

/** The nodes as a table, for those who cannot see the map or want numbers. */
function NodeTable({ graph }: { readonly graph: Graph }): JSX.Element {
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

function amount(title: string, value: (node: GraphNode) => number): Column<GraphNode> {
  return { title, value, cell: (node) => bytes(value(node)), align: "right" };
}
