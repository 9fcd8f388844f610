/** Memory, where the collector's own timing is too late. */
import { runtimeName } from "./name.ts";

/**
 * Gives back what nobody refers to any more. It costs about 10 ms: for work that leaves much behind in a short time, which
 * the collector, seeing only small objects that hold large buffers, would let grow. Deno's does not need it.
 */
export function collectGarbage(): void {
  if (runtimeName === "bun") Bun.gc(true);
}
