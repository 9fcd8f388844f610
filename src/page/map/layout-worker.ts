/** Places the nodes of the map in a thread of its own. */
import { forceSimulation } from "d3-force";

self.addEventListener("message", () => {
  self.postMessage(forceSimulation([]).alpha());
});
