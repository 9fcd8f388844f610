/** What a timer does: when it fails it says so, and the timer goes on. */
import type { Logger } from "./logger.ts";

export function attempt(complaint: string, logger: Logger, act: () => void): void {
  try {
    act();
  } catch (error) {
    logger.error(complaint, { reason: error instanceof Error ? error.message : String(error) });
  }
}
