/** This process and its runtime: which one it is, its signals, and memory that the collector gives back too late. */
import process from "node:process";

export const runtimeName: "bun" | "deno" = "Deno" in globalThis ? "deno" : "bun";

/** Calls `handle` at every such signal, instead of what the system does by default, until the returned function is called. */
export function onSignal(signal: "SIGINT" | "SIGTERM" | "SIGHUP", handle: () => void): () => void {
  process.on(signal, handle);
  return () => process.off(signal, handle);
}

/**
 * Gives back what nobody refers to any more. It costs about 10 ms: for work that leaves much behind in a short time, which
 * the collector, seeing only small objects that hold large buffers, would let grow. Deno's does not need it.
 */
export function collectGarbage(): void {
  if (runtimeName === "bun") Bun.gc(true);
}

/** From this size on a buffer is nobody else's: smaller ones may be cut from a shared one. */
const minFreedBytes = 16 * 1024;

/**
 * Gives a large buffer's memory back at once, instead of when it is collected. It must not be used again, nor be held by
 * anyone else. Deno collects in time, and may still be reading what it inflates.
 */
export function freeBuffer({ buffer }: ArrayBufferView): void {
  if (runtimeName === "bun" && buffer instanceof ArrayBuffer && buffer.byteLength >= minFreedBytes) buffer.transfer(0);
}

/** The command line that starts this program again, without arguments: the binary, or the runtime and the source. */
export function programCommand(): readonly string[] {
  const [, entry = ""] = process.argv;
  // Bun's name for what is compiled into the binary.
  return /[/\\](?:\$bunfs|~BUN)[/\\]/.test(entry) ? [process.execPath] : [process.execPath, entry];
}
