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

/** From this size on a buffer is nobody else's: smaller ones may be cut from a shared one, unless the view is all of it. */
const minOwnBytes = 16 * 1024;

/** A buffer is outside of the collected heap from about this size on: below it there is nothing to give back. */
const minFreedBytes = 1024;

/**
 * Gives a buffer's memory back at once, instead of when it is collected: what has been held for a while is collected late.
 * It must not be used again, nor be held by anyone else. Deno collects in time, and may still be reading what it inflates.
 */
export function freeBuffer(view: ArrayBufferView): void {
  if (runtimeName !== "bun") return;
  const { buffer } = view;
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < minFreedBytes) return;
  if (buffer.byteLength >= minOwnBytes || buffer.byteLength === view.byteLength) buffer.transfer(0);
}

/** The command line that starts this program again, without arguments: the binary, or the runtime and the source. */
export function programCommand(): readonly string[] {
  const [, entry = ""] = process.argv;
  // Bun's name for what is compiled into the binary.
  return /[/\\](?:\$bunfs|~BUN)[/\\]/.test(entry) ? [process.execPath] : [process.execPath, entry];
}
