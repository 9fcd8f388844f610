/**
 * Tells when files change, by looking at them again and again: they come by writing, by rename, by symbolic link or by a
 * mounted secret, which the system's own notices do not tell alike.
 */
import { stat } from "node:fs/promises";

export interface FileWatch {
  /** From here on it is these files, as they are now. */
  watch(files: readonly string[]): Promise<void>;
  stop(): void;
}

/** `onChange` is called once for each change, when the files have been the same for two looks: nobody writes on them then. */
export function createFileWatch(everyMs: number, onChange: () => void): FileWatch {
  let files: readonly string[] = [];
  let known = "";
  let lastSeen = "";
  let isLooking = false;
  const timer = setInterval(() => void look(), everyMs);

  async function look(): Promise<void> {
    if (isLooking) return;
    isLooking = true;
    const looked = files;
    const seen = await signatureOf(looked);
    isLooking = false;
    if (looked !== files) return;
    const isSettled = seen === lastSeen;
    lastSeen = seen;
    if (!isSettled || seen === known) return;
    known = seen;
    onChange();
  }

  return {
    async watch(next) {
      files = next;
      const seen = await signatureOf(next);
      if (files === next) known = lastSeen = seen;
    },
    stop: () => clearInterval(timer),
  };
}

async function signatureOf(files: readonly string[]): Promise<string> {
  return (await Promise.all(files.map(describe))).join("\n");
}

/** A pipe cannot be read twice, so what is no plain file never changes. */
async function describe(file: string): Promise<string> {
  try {
    const found = await stat(file);
    return found.isFile() ? [found.dev, found.ino, found.size, found.mtimeMs, found.ctimeMs].join(" ") : "no file";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "unknown";
  }
}
