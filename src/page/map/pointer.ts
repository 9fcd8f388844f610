/** Handles mouse, touch and wheel on the map, and leaves scrolling to the page until the map is in use. */
import { type D3DragEvent, drag } from "d3-drag";
import { pointer, select } from "d3-selection";
import { type D3ZoomEvent, zoom, zoomIdentity } from "d3-zoom";
import { maxZoom, minZoom, type View } from "./geometry.ts";
import type { SceneNode } from "./scene.ts";

export interface PointerEvents {
  nodeAt(x: number, y: number): SceneNode | undefined;
  /** True if the wheel zooms without a modifier key. */
  isInUse(): boolean;
  /** True if one finger moves the map instead of the page. */
  isExpanded(): boolean;
  onView(view: View, by: "hand" | "program"): void;
  onDrag(node: SceneNode, x: number, y: number): void;
  onRelease(node: SceneNode): void;
  /** `undefined`: the pointer has left. */
  onHover(place: { readonly x: number; readonly y: number; readonly reach: number } | undefined): void;
  onClick(x: number, y: number, reach: number, adds: "adds" | "replaces"): void;
  /** The wheel was turned, but the page scrolls instead. */
  onIgnoredWheel(): void;
}

export interface PointerControl {
  show(view: View): void;
  close(): void;
}

/** How far from a target the pointer may be, in CSS pixels. */
const reaches = { mouse: 5, touch: 14 } as const;

interface Held {
  readonly node: SceneNode;
  readonly x: number;
  readonly y: number;
}

/** Turns mouse, touch and wheel input on the canvas into events until it is closed. */
export function followPointer(canvas: HTMLCanvasElement, events: PointerEvents): PointerControl {
  const isMine = (event: MouseEvent | TouchEvent): boolean => {
    if ("touches" in event) return events.isExpanded() || event.touches.length > 1;
    if (event.type !== "wheel") return !event.ctrlKey && event.button === 0;
    if (event.ctrlKey || event.metaKey || events.isInUse()) return true;
    events.onIgnoredWheel();
    return false;
  };
  const under = (event: MouseEvent | TouchEvent): SceneNode | undefined => {
    const [x, y] = pointer("touches" in event ? event.touches[0] : event, canvas);
    return events.nodeAt(x, y);
  };
  const zooming = zoom<HTMLCanvasElement, unknown>()
    .scaleExtent([minZoom, maxZoom])
    .filter(
      (event: MouseEvent | TouchEvent) => isMine(event) && (event.type !== "dblclick" || under(event) === undefined),
    )
    // A touchpad pinch arrives in small steps with the control key, a wheel in large ones.
    .wheelDelta(({ deltaY, deltaMode, ctrlKey }: WheelEvent) => {
      const zoomed = -deltaY * (deltaMode === 1 ? 0.05 : deltaMode === 2 ? 1 : 0.002) * (ctrlKey ? 5 : 1);
      return Math.max(-0.4, Math.min(0.4, zoomed));
    })
    .duration(matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 200)
    .on("zoom", ({ transform: { k, x, y }, sourceEvent }: D3ZoomEvent<HTMLCanvasElement, unknown>) => {
      events.onView({ k, x, y }, sourceEvent === null || sourceEvent === undefined ? "program" : "hand");
    });
  const dragging = drag<HTMLCanvasElement, unknown, Held | undefined>()
    .filter((event: MouseEvent | TouchEvent) => isMine(event) && !("touches" in event && event.touches.length > 1))
    .subject(({ x, y }: { readonly x: number; readonly y: number }) => {
      const node = events.nodeAt(x, y);
      return node && { node, x, y };
    })
    .on("drag", ({ subject, x, y }: D3DragEvent<HTMLCanvasElement, unknown, Held>) => {
      events.onDrag(subject.node, x, y);
    });
  // d3 claims all touches for dragging; the style sheet says which ones belong to the page.
  const selection = select(canvas).call(dragging).call(zooming).style("touch-action", null);

  const listening = new AbortController();
  const listen = <Name extends keyof HTMLElementEventMap>(
    name: Name,
    listener: (event: HTMLElementEventMap[Name]) => void,
  ): void => canvas.addEventListener(name, listener, { signal: listening.signal });
  let reach: number = reaches.mouse;
  listen("pointerdown", ({ pointerType }) => {
    reach = pointerType === "touch" ? reaches.touch : reaches.mouse;
  });
  listen("pointermove", (event) => {
    if (event.pointerType === "touch" || event.buttons !== 0) return;
    const [x, y] = pointer(event, canvas);
    events.onHover({ x, y, reach: reaches.mouse });
  });
  listen("pointerleave", ({ pointerType }) => {
    if (pointerType !== "touch") events.onHover(undefined);
  });
  listen("click", (event) => {
    const [x, y] = pointer(event, canvas);
    events.onClick(x, y, reach, event.shiftKey ? "adds" : "replaces");
  });
  listen("dblclick", (event) => {
    const node = under(event);
    if (node !== undefined) events.onRelease(node);
  });

  return {
    show({ k, x, y }) {
      selection.call((one) => zooming.transform(one, zoomIdentity.translate(x, y).scale(k)));
    },
    close() {
      listening.abort();
      selection.on(".zoom", null).on(".drag", null);
    },
  };
}
