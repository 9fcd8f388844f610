/** The map on its canvas: brings layout, drawing and pointer together, and draws only while something changes and can be seen. */
import { effect } from "@preact/signals";
import { colorValue, scheme } from "../theme.ts";
import type { Focus } from "./focus.ts";
import {
  type Direction,
  fittingView,
  maxZoom,
  minZoom,
  nodeAt,
  nodeTowards,
  type Size,
  type Target,
  targetAt,
  type View,
} from "./geometry.ts";
import type { Graph } from "./graph.ts";
import { LayoutClient } from "./layout-client.ts";
import { type Colors, Painter } from "./painter.ts";
import { followPointer, type PointerControl } from "./pointer.ts";
import { Scene, type SceneNode } from "./scene.ts";

export interface StageEvents {
  /** Node names: one, both ends of an edge, or none. */
  onChoose(names: readonly string[], how: "adds" | "replaces"): void;
  /** The target under the pointer, with a position on the canvas for its tooltip. */
  onHover(target: Target | undefined, x: number, y: number): void;
  onCursor(name: string | undefined): void;
  onIgnoredWheel(): void;
  /** The nodes have positions; more may follow. */
  onPlaced(): void;
  /** There is no layout, so nothing to see. */
  onFailure(): void;
  isInUse(): boolean;
  isExpanded(): boolean;
}

/** The fraction of the way to the wanted view covered per frame. */
const easing = 0.18;

export class Stage {
  readonly #canvas: HTMLCanvasElement;
  readonly #events: StageEvents;
  readonly #scene: Scene;
  readonly #layout: LayoutClient;
  readonly #painter: Painter | undefined;
  readonly #pointer: PointerControl;
  readonly #motion = matchMedia("(prefers-reduced-motion: reduce)");
  readonly #closers: (() => void)[] = [];
  #colors: Colors;
  #size: Size = { width: 0, height: 0 };
  #view: View = { k: 1, x: 0, y: 0 };
  /** Where the view is moving by itself: nowhere, to a view, or along with the layout. */
  #goal: View | "fit" | undefined = "fit";
  #isFirstView = true;
  #focus: Focus = { chosen: new Set(), hovered: undefined, cursor: undefined };
  #isSeen = true;
  #frame: number | undefined;
  #answeredAt = 0;

  constructor(canvas: HTMLCanvasElement, events: StageEvents) {
    this.#canvas = canvas;
    this.#events = events;
    this.#scene = new Scene(this.#motion.matches ? 0 : 350);
    const context = canvas.getContext("2d");
    this.#painter = context === null ? undefined : new Painter(context);
    this.#colors = readColors();
    this.#layout = new LayoutClient({
      onPositions: (positions) => this.#onPositions(positions),
      onOutdated: () => this.#draw(),
      onFailure: () => events.onFailure(),
    });
    this.#pointer = followPointer(canvas, {
      nodeAt: (x, y) => nodeAt(this.#scene, this.#view, x, y, 4),
      isInUse: () => events.isInUse(),
      isExpanded: () => events.isExpanded(),
      onIgnoredWheel: () => events.onIgnoredWheel(),
      onView: (view, by) => {
        this.#view = view;
        if (by === "hand") {
          this.#goal = undefined;
          this.#hover(undefined, undefined);
        }
        this.#draw();
      },
      onDrag: (node, x, y) => this.#drag(node, x, y),
      onRelease: (node) => {
        node.isPinned = false;
        this.#layout.release(node.node.name);
        this.#draw();
      },
      onHover: (place) => this.#hover(place && targetAt(this.#scene, this.#view, place.x, place.y, place.reach), place),
      onClick: (x, y, reach, how) => {
        const target = targetAt(this.#scene, this.#view, x, y, reach);
        this.#hover(target, { x, y });
        this.#focus = { ...this.#focus, cursor: undefined };
        events.onChoose(target === undefined ? [] : namesOf(target), how);
      },
    });
    this.#watch();
  }

  show(graph: Graph): void {
    const canvas = this.#canvas;
    const isFirst = this.#scene.graph.nodes.length === 0;
    this.#scene.show(graph);
    if (graph.nodes.length > 0 || !isFirst)
      this.#layout.show(graph, canvas.clientWidth / Math.max(1, canvas.clientHeight));
    this.#painter?.forgetLabels();
    this.#draw();
  }

  choose(names: readonly string[]): void {
    this.#focus = { ...this.#focus, chosen: new Set(names) };
    this.#draw();
  }

  /** Shows everything, and keeps doing so while the layout moves. */
  fit(): void {
    this.#goal = "fit";
    this.#hover(undefined, undefined);
    this.#draw();
  }

  zoomBy(factor: number): void {
    const { k, x, y } = typeof this.#goal === "object" ? this.#goal : this.#view;
    const zoomed = Math.min(maxZoom, Math.max(minZoom, k * factor));
    const { width, height } = this.#size;
    const around = (place: number, middle: number): number => middle - ((middle - place) / k) * zoomed;
    this.#goal = { k: zoomed, x: around(x, width / 2), y: around(y, height / 2) };
    this.#draw();
  }

  /** Puts the cursor on a node and centers it. */
  visit(name: string): void {
    const node = this.#nodeNamed(name);
    if (node === undefined) return;
    const k = Math.max(this.#view.k, 1.2);
    this.#goal = { k, x: this.#size.width / 2 - node.toX * k, y: this.#size.height / 2 - node.toY * k };
    this.#setCursor(node);
  }

  /** Moves the cursor in a direction; the first time, from a chosen node or to the busiest. */
  step(direction: Direction): void {
    const { nodes, indexes } = this.#scene.graph;
    const { cursor, chosen } = this.#focus;
    const current = cursor ?? [...chosen].find((name) => indexes.has(name));
    const start = current === undefined ? undefined : this.#nodeNamed(current);
    const busiest = nodes.reduce((most, { bytes }, index) => (bytes > (nodes[most]?.bytes ?? -1) ? index : most), 0);
    const next = start === undefined ? this.#scene.nodes[busiest] : nodeTowards(this.#scene, start, direction);
    if (next !== undefined) this.#setCursor(next);
  }

  clearCursor(): void {
    this.#setCursor(undefined);
  }

  close(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#pointer.close();
    this.#layout.close();
    for (const close of this.#closers) close();
  }

  #nodeNamed(name: string): SceneNode | undefined {
    const index = this.#scene.graph.indexes.get(name);
    return index === undefined ? undefined : this.#scene.nodes[index];
  }

  #setCursor(node: SceneNode | undefined): void {
    this.#focus = { ...this.#focus, cursor: node?.node.name };
    if (node !== undefined && this.#goal === undefined) this.#reveal(node);
    this.#events.onCursor(node?.node.name);
    this.#draw();
  }

  /** Moves the view if the node is outside it. */
  #reveal({ toX, toY }: SceneNode): void {
    const { k, x, y } = this.#view;
    const inside = (place: number, length: number): number => Math.min(length - 40, Math.max(40, place)) - place;
    const [right, down] = [inside(toX * k + x, this.#size.width), inside(toY * k + y, this.#size.height)];
    if (right !== 0 || down !== 0) this.#goal = { k, x: x + right, y: y + down };
  }

  #hover(target: Target | undefined, place: { readonly x: number; readonly y: number } | undefined): void {
    const { hovered } = this.#focus;
    const isSame = hovered === target || (hovered && target && subjectOf(hovered) === subjectOf(target));
    if (!isSame) {
      this.#focus = { ...this.#focus, hovered: target };
      this.#canvas.style.cursor = target === undefined ? "" : "pointer";
      this.#draw();
    }
    if (target !== undefined || !isSame) this.#events.onHover(target, place?.x ?? 0, place?.y ?? 0);
  }

  #drag(node: SceneNode, x: number, y: number): void {
    const { k, x: right, y: down } = this.#view;
    const [planeX, planeY] = [(x - right) / k, (y - down) / k];
    this.#goal = undefined;
    node.isPinned = true;
    this.#scene.place(node, planeX, planeY);
    this.#layout.pin(node.node.name, planeX, planeY);
    this.#hover(undefined, undefined);
    this.#draw();
  }

  #onPositions(positions: Float32Array): void {
    this.#events.onPlaced();
    const now = performance.now();
    // As long as the last positions took, so that the nodes arrive when the next ones do.
    const duration = this.#motion.matches ? 0 : Math.min(250, now - this.#answeredAt);
    this.#answeredAt = now;
    this.#scene.move(positions, now, this.#isFirstView ? 0 : duration);
    this.#draw();
  }

  /** Schedules a frame; while the page is hidden there is none. */
  #draw(): void {
    if (!this.#isSeen || this.#frame !== undefined) return;
    this.#frame = requestAnimationFrame((now) => {
      this.#frame = undefined;
      this.#onFrame(now);
    });
  }

  #onFrame(now: number): void {
    const isMoving = this.#scene.advance(now);
    const isGoing = this.#moveView();
    this.#fitCanvas();
    this.#painter?.paint(this.#scene, this.#view, this.#size, devicePixelRatio, this.#colors, this.#focus, now);
    this.#layout.ask(this.#motion.matches ? "at once" : "animated");
    if (isMoving || isGoing) this.#draw();
  }

  /** Moves the view towards its goal. Returns true while it has not arrived. */
  #moveView(): boolean {
    if (this.#goal === undefined || this.#size.width === 0) return false;
    const isFitting = this.#goal === "fit";
    const goal = this.#goal === "fit" ? fittingView(this.#scene.nodes, this.#size) : this.#goal;
    const { k, x, y } = this.#view;
    const isFar = Math.abs(goal.k / k - 1) > 0.002 || Math.abs(goal.x - x) > 0.5 || Math.abs(goal.y - y) > 0.5;
    const isAtOnce = !isFar || this.#isFirstView || this.#motion.matches;
    const between = (from: number, to: number): number => (isAtOnce ? to : from + (to - from) * easing);
    if (isFar) this.#pointer.show({ k: between(k, goal.k), x: between(x, goal.x), y: between(y, goal.y) });
    if (!isFar && !isFitting) this.#goal = undefined;
    if (this.#scene.nodes.some(({ isPlaced }) => isPlaced)) this.#isFirstView = false;
    return isFar && !isAtOnce;
  }

  #fitCanvas(): void {
    const [width, height] = [this.#size.width * devicePixelRatio, this.#size.height * devicePixelRatio].map(Math.round);
    if (width !== undefined && this.#canvas.width !== width) this.#canvas.width = width;
    if (height !== undefined && this.#canvas.height !== height) this.#canvas.height = height;
  }

  #watch(): void {
    const sizes = new ResizeObserver(() => {
      this.#size = { width: this.#canvas.clientWidth, height: this.#canvas.clientHeight };
      this.#painter?.forgetLabels();
      this.#draw();
    });
    sizes.observe(this.#canvas);
    const sight = new IntersectionObserver((entries) => {
      this.#isSeen = entries.at(-1)?.isIntersecting ?? true;
      this.#draw();
    });
    sight.observe(this.#canvas);
    const stopWatching = effect(() => {
      if (scheme.value !== undefined) this.#colors = readColors();
      this.#draw();
    });
    this.#closers.push(
      () => sizes.disconnect(),
      () => sight.disconnect(),
      stopWatching,
    );
  }
}

function readColors(): Colors {
  return {
    direct: colorValue("--kind-direct"),
    relayed: colorValue("--kind-relayed"),
    unknown: colorValue("--kind-physical"),
    machine: colorValue("--accent"),
    outside: colorValue("--muted"),
    text: colorValue("--text"),
    background: colorValue("--surface"),
  };
}

function subjectOf(target: Target): unknown {
  return target.type === "node" ? target.node : target.edge;
}

function namesOf(target: Target): readonly string[] {
  if (target.type === "node") return [target.node.node.name];
  return [...new Set([target.edge.from.node.name, target.edge.to.node.name])];
}
