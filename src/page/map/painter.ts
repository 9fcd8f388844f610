/** Draws the map on a canvas: edges, nodes above them, labels on top. */
import { paintEdges } from "./edges.ts";
import { type Emphases, emphasesOf, type Focus } from "./focus.ts";
import { radiusOf, type Size, type View } from "./geometry.ts";
import type { Path } from "./graph.ts";
import { type LabelCandidate, placeLabels } from "./labels.ts";
import { isolatedName } from "./names.ts";
import type { Scene, SceneNode } from "./scene.ts";

export type Colors = Readonly<Record<Path | "machine" | "outside" | "text" | "background", string>>;

const font = "12px system-ui, sans-serif";
const labelLength = 24;
/** While nodes move, labels stay on the same side of their nodes for this long. */
const labelsMs = 300;
/** One label per this many square pixels, up to a readable maximum. */
const pixelsPerLabel = 7000;
const maxLabels = 150;

interface NodeLabel extends LabelCandidate {
  readonly node: SceneNode;
}

interface Label {
  readonly node: SceneNode;
  readonly text: string;
  /** Offset from the center of the node. */
  readonly right: number;
  readonly down: number;
}

export class Painter {
  readonly #context: CanvasRenderingContext2D;
  readonly #texts = new Map<string, { readonly text: string; readonly width: number }>();
  #labels: readonly Label[] = [];
  #labelsFor: { readonly focus: Focus; readonly view: View; readonly at: number } | undefined;

  constructor(context: CanvasRenderingContext2D) {
    this.#context = context;
  }

  /** @param density Canvas pixels per CSS pixel. */
  paint(scene: Scene, view: View, size: Size, density: number, colors: Colors, focus: Focus, now: number): void {
    const context = this.#context;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    const stressed = emphasesOf(scene.graph, focus);
    paintEdges(context, scene, view, size, colors, stressed);
    this.#paintNodes(scene, view, size, colors, focus, stressed);
    this.#paintLabels(scene, view, size, colors, focus, stressed, now);
    context.globalAlpha = 1;
  }

  #paintNodes(scene: Scene, view: View, size: Size, colors: Colors, focus: Focus, stressed: Emphases): void {
    const context = this.#context;
    for (const node of scene.nodes) {
      if (!node.isPlaced || node.opacity === 0) continue;
      const [x, y, radius] = [node.x * view.k + view.x, node.y * view.k + view.y, radiusOf(node, view)];
      if (x < -radius || y < -radius || x > size.width + radius || y > size.height + radius) continue;
      const { kind, name } = node.node;
      context.globalAlpha = node.opacity * (stressed.ofNode(node) === "dim" ? 0.25 : 1);
      context.beginPath();
      if (kind === "several") context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      else context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fillStyle = kind === "machine" ? colors.machine : colors.background;
      context.fill();
      context.lineWidth = kind === "machine" ? 1 : 1.5;
      context.strokeStyle = kind === "machine" ? colors.background : colors.outside;
      context.stroke();
      if (node.isPinned) this.#ring(x, y, Math.max(1, radius * 0.35), 0, colors.background, 2);
      if (focus.chosen.has(name)) this.#ring(x, y, radius + 3.5, 0, colors.text, 2.5);
      if (focus.cursor === name) this.#ring(x, y, radius + 7, 3, colors.text, 1.5);
    }
  }

  #ring(x: number, y: number, radius: number, dash: number, style: string, width: number): void {
    const context = this.#context;
    context.globalAlpha = 1;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.setLineDash(dash === 0 ? [] : [dash, dash]);
    [context.lineWidth, context.strokeStyle] = [width, style];
    context.stroke();
    context.setLineDash([]);
  }

  #paintLabels(
    scene: Scene,
    view: View,
    size: Size,
    colors: Colors,
    focus: Focus,
    stressed: Emphases,
    now: number,
  ): void {
    const context = this.#context;
    context.font = font;
    [context.textAlign, context.textBaseline, context.direction] = ["center", "middle", "ltr"];
    const last = this.#labelsFor;
    if (last === undefined || last.focus !== focus || last.view !== view || now - last.at > labelsMs) {
      this.#labels = this.#placedLabels(scene, view, size, focus, stressed);
      this.#labelsFor = { focus, view, at: now };
    }
    [context.lineJoin, context.lineWidth, context.strokeStyle] = ["round", 3.5, colors.background];
    for (const { node, text, right, down } of this.#labels) {
      const [x, y] = [node.x * view.k + view.x + right, node.y * view.k + view.y + down];
      context.fillStyle = node.node.kind === "machine" ? colors.text : colors.outside;
      context.globalAlpha = node.opacity * (stressed.ofNode(node) === "dim" ? 0.3 : 1);
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    }
  }

  /** Places all labels anew in the next frame. */
  forgetLabels(): void {
    this.#labelsFor = undefined;
    this.#texts.clear();
  }

  #placedLabels(scene: Scene, view: View, size: Size, focus: Focus, stressed: Emphases): Label[] {
    const rank = (node: SceneNode): number =>
      node.node.name === focus.cursor ? 2 : stressed.ofNode(node) === "strong" ? 1 : 0;
    const isNear = (node: SceneNode): boolean => focus.chosen.size > 0 && stressed.ofNode(node) !== "dim";
    const candidates = scene.nodes.flatMap((node): NodeLabel[] => {
      const [x, y] = [node.x * view.k + view.x, node.y * view.k + view.y];
      const isSeen = x > 0 && y > 0 && x < size.width && y < size.height;
      if (!node.isPlaced || node.isLeaving || !isSeen) return [];
      const priority = rank(node) > 0 ? "always" : "if it fits";
      return [{ node, x, y, radius: radiusOf(node, view), priority, ...this.#textOf(node.node.name) }];
    });
    candidates.sort(
      (left, right) =>
        rank(right.node) - rank(left.node) ||
        Number(isNear(right.node)) - Number(isNear(left.node)) ||
        right.node.node.bytes - left.node.node.bytes,
    );
    const max = Math.min(maxLabels, Math.max(6, (size.width * size.height) / pixelsPerLabel));
    return placeLabels(candidates, size, max).map(({ candidate: { node, text, x, y }, ...place }) => {
      return { node, text, right: place.x - x, down: place.y - y };
    });
  }

  #textOf(name: string): { readonly text: string; readonly width: number } {
    let known = this.#texts.get(name);
    if (known === undefined) {
      const text = isolatedName(name, labelLength);
      known = { text, width: this.#context.measureText(text).width + 4 };
      if (this.#texts.size > 5000) this.#texts.clear();
      this.#texts.set(name, known);
    }
    return known;
  }
}
