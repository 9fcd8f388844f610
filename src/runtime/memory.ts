/** Memory, where the collector's own timing is too late. */
import { runtimeName } from "./name.ts";

/**
 * Gives back what nobody refers to any more. It costs about 10 ms: for work that leaves much behind in a short time, which
 * the collector, seeing only small objects that hold large buffers, would let grow. Deno's does not need it.
 */
export function collectGarbage(): void {
  if (runtimeName === "bun") Bun.gc(true);
}

/** From this size on a buffer is nobody else's: smaller ones may be cut from a shared one. */
const leastFreedBytes = 16 * 1024;

/** Gives a large buffer's memory back at once, instead of when it is collected. It must not be used again, nor be held by anyone else. */
export function freeBuffer({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= leastFreedBytes) buffer.transfer(0);
}
