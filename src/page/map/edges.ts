/** Draws the edges of the map. */
import type { Emphases, Emphasis } from "./focus.ts";
import { clippedLine, loopOf, type Size, type View } from "./geometry.ts";
import type { Path } from "./graph.ts";
import type { Scene, SceneEdge } from "./scene.ts";

const emphases: readonly Emphasis[] = ["dim", "normal", "strong"];
/** Line widths by level. */
const widths: readonly number[] = [0.75, 1, 1.8, 3, 4.5];

/**
 * Emphasized edges are drawn on top, and busier ones above the others. Each edge is a stroke of its own, clipped to the frame. Measured without a GPU, a
 * frame with 500 nodes and 2,000 edges takes 6 to 13 ms that way; with one path per style it takes 12 ms, and 100 ms when zoomed in.
 */
export function paintEdges(
  context: CanvasRenderingContext2D,
  scene: Scene,
  view: View,
  size: Size,
  colors: Readonly<Record<Path, string>>,
  stressed: Emphases,
): void {
  const scale = Math.min(1.3, Math.max(0.55, view.k ** 0.4));
  const crowd = crowdOpacity(scene.edges.length);
  const stressedEdges = scene.edges.map(stressed.ofEdge);
  for (const emphasis of emphases) {
    for (let index = scene.edges.length - 1; index >= 0; index--) {
      const edge = scene.edges[index] as SceneEdge;
      if (stressedEdges[index] !== emphasis || edge.opacity === 0 || !edge.from.isPlaced || !edge.to.isPlaced) continue;
      const { path, level } = edge.edge;
      const width = (widths[level] ?? 1) * scale;
      context.lineWidth = emphasis === "strong" ? Math.max(1.5, width) : width;
      context.strokeStyle = colors[path];
      context.globalAlpha = edge.opacity * (emphasis === "strong" ? 0.95 : levelOpacity(emphasis, level) * crowd);
      context.setLineDash(path === "relayed" ? [2 + 2 * width, 2 + 1.2 * width] : []);
      strokeEdge(context, edge, view, size);
    }
  }
  context.setLineDash([]);
  context.lineDashOffset = 0;
}

function strokeEdge(context: CanvasRenderingContext2D, edge: SceneEdge, view: View, size: Size): void {
  const { from, to } = edge;
  context.beginPath();
  if (from === to) {
    const { x, y, radius } = loopOf(edge, view);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  } else {
    const { k, x, y } = view;
    const line = clippedLine(from.x * k + x, from.y * k + y, to.x * k + x, to.y * k + y, size);
    if (line === undefined) return;
    // Keeps the dashes where they are on the unclipped line.
    context.lineDashOffset = line.skipped;
    context.moveTo(line.fromX, line.fromY);
    context.lineTo(line.toX, line.toY);
  }
  context.stroke();
}

function levelOpacity(emphasis: Emphasis, level: number): number {
  return (emphasis === "dim" ? 0.2 : 1) * (0.42 + 0.11 * level);
}

/** With many edges each is fainter, so that the busy ones stand out. */
function crowdOpacity(count: number): number {
  return count <= 150 ? 1 : Math.max(0.5, (150 / count) ** 0.3);
}
