/** The process and its runtime: which runtime it is, signals, and memory that garbage collection would free too late. */
import process from "node:process";

export const runtimeName: "bun" | "deno" = "Deno" in globalThis ? "deno" : "bun";

/** Calls `handle` on every such signal, instead of the default action, until the returned function is called. */
export function onSignal(signal: "SIGINT" | "SIGTERM" | "SIGHUP", handle: () => void): () => void {
  process.on(signal, handle);
  return () => process.off(signal, handle);
}

/**
 * Forces a garbage collection, which takes about 10 ms. For work that leaves much garbage in a short time: the collector sees
 * only small objects that hold large buffers, and would let it grow. Deno's does not need it.
 */
export function collectGarbage(): void {
  if (runtimeName === "bun") Bun.gc(true);
}

/** Buffers of at least this size are never shared; smaller ones may be slices of a shared one, unless the view is all of it. */
const minOwnBytes = 16 * 1024;

/** Buffers of at least about this size are outside the garbage-collected heap; freeing smaller ones gains nothing. */
const minFreedBytes = 1024;

/**
 * Frees a buffer's memory at once instead of at its garbage collection, which comes late for buffers held for a while. It must
 * not be used again, nor be held elsewhere. Deno collects in time, and may still be reading what it decompresses.
 */
export function freeBuffer(view: ArrayBufferView): void {
  if (runtimeName !== "bun") return;
  const { buffer } = view;
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < minFreedBytes) return;
  if (buffer.byteLength >= minOwnBytes || buffer.byteLength === view.byteLength) buffer.transfer(0);
}

/** The command that starts this program again, without arguments: the binary, or the runtime and the source. */
export function programCommand(): readonly string[] {
  const [, entry = ""] = process.argv;
  // Bun's path for files compiled into the binary.
  return /[/\\](?:\$bunfs|~BUN)[/\\]/.test(entry) ? [process.execPath] : [process.execPath, entry];
}
