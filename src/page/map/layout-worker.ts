/** Runs the layout of the map in a worker thread. */
import { Layout, type LayoutRequest } from "./layout.ts";

const layout = new Layout();

self.addEventListener("message", ({ data }: MessageEvent<LayoutRequest>) => {
  const answer = layout.answer(data);
  if (answer !== undefined) self.postMessage(answer, { transfer: [answer.positions.buffer] });
});
