/**
 * Watches files by polling, because system notifications do not report writes, renames, symbolic links and mounted secrets alike.
 */
import { stat } from "node:fs/promises";
import { codeOf } from "./system-error.ts";

export type FileWatch = ReturnType<typeof createFileWatch>;

/** Calls `onChange` once per change, after two polls that saw the same state, so that the write has finished. */
export function createFileWatch(everyMs: number, onChange: () => void) {
  let files: readonly string[] = [];
  let known = "";
  let lastSeen = "";
  let isPolling = false;
  const timer = setInterval(() => void poll(), everyMs);

  async function poll(): Promise<void> {
    if (isPolling) return;
    isPolling = true;
    const polled = files;
    const seen = await signatureOf(polled);
    isPolling = false;
    if (polled !== files) return;
    const isSettled = seen === lastSeen;
    lastSeen = seen;
    if (!isSettled || seen === known) return;
    known = seen;
    onChange();
  }

  return {
    /** Watches these files from now on, starting from their current state. */
    async watch(next: readonly string[]): Promise<void> {
      files = next;
      const seen = await signatureOf(next);
      if (files === next) known = lastSeen = seen;
    },
    stop: (): void => clearInterval(timer),
  };
}

async function signatureOf(files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map(describe))).join("\n");
}

/** Anything but a regular file counts as unchanged, because a pipe cannot be read twice. */
async function describe(file: string): Promise<string> {
  try {
    const found = await stat(file);
    return found.isFile() ? [found.dev, found.ino, found.size, found.mtimeMs, found.ctimeMs].join(" ") : "no file";
  } catch (error) {
    return codeOf(error) ?? "unknown";
  }
}
