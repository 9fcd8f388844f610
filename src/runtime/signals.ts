/** Signals of the operating system. */
import process from "node:process";

export type SignalName = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Calls `handle` at every such signal, instead of what the system does by default, until the returned function is called. */
export function onSignal(signal: SignalName, handle: () => void): () => void {
  process.on(signal, handle);
  return () => process.off(signal, handle);
}
