/** Turns Ctrl-C, a request to end, a closed terminal and a closed pipe into one signal. */
import { rmSync } from "node:fs";
import process from "node:process";
import { onSignal } from "../runtime/process.ts";

export interface Interruption {
  readonly signal: AbortSignal;
  /** Ends the demo as the first signal does. */
  readonly interrupt: () => void;
  /** Takes the handlers of signals away again. That of the output stays: a broken pipe can be noticed late. */
  release(): void;
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The first signal ends the demo in order; a second one removes `directory` and exits at once. */
export function listenForInterruption(directory: string): Interruption {
  const end = new AbortController();

  function onEnd(): void {
    if (end.signal.aborted) {
      rmSync(directory, { recursive: true, force: true });
      process.exit(130);
    }
    end.abort();
  }

  function onOutputError(error: NodeJS.ErrnoException): void {
    if (error.code !== "EPIPE") throw error;
    end.abort();
  }

  const releases = signals.map((name) => onSignal(name, onEnd));
  process.stdout.on("error", onOutputError);
  return {
    signal: end.signal,
    interrupt: () => end.abort(),
    release() {
      for (const releaseSignal of releases) releaseSignal();
    },
  };
}
