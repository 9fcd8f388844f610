/** Places the nodes of the map in a thread of its own. */
import { Layout, type LayoutRequest } from "./layout.ts";

const layout = new Layout();

self.addEventListener("message", ({ data }: MessageEvent<LayoutRequest>) => {
  const answer = layout.answer(data);
  if (answer !== undefined) self.postMessage(answer, { transfer: [answer.positions.buffer] });
});
