/** Draws the map and follows the pointer: zooming, dragging, choosing. */
import { drag } from "d3-drag";
import { select } from "d3-selection";
import { zoom } from "d3-zoom";

export function followPointer(canvas: HTMLCanvasElement): void {
  select(canvas).call(zoom<HTMLCanvasElement, unknown>()).call(drag<HTMLCanvasElement, unknown>());
}
