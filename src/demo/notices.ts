/** Keeps what the running program warns of, so that it can be shown beside the demo's own output. */
import type { LogFields, Logger } from "../lib/logger.ts";

export interface Notices {
  readonly logger: Logger;
  /** The last warnings and errors, oldest first. */
  readonly latest: () => readonly string[];
}

const kept = 3;

/** `onNotice` hears each one at once. */
export function createNotices(onNotice: (notice: string) => void): Notices {
  let latest: string[] = [];

  function note(message: string, fields: LogFields = {}): void {
    const details = Object.entries(fields).filter(([, value]) => value !== undefined);
    const text = details.length === 0 ? message : `${message} (${details.map((pair) => pair.join(": ")).join(", ")})`;
    latest = [...latest, text].slice(-kept);
    onNotice(text);
  }

  return {
    logger: { debug() {}, info() {}, warn: note, error: note },
    latest: () => latest,
  };
}
