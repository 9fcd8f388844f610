/** What follows when SQLite cannot write: the ballast is given up on a full disk, and damage is said once. */
import type { Logger } from "../lib/logger.ts";
import type { Ballast } from "./ballast.ts";
import { isDamage, isFullDisk } from "./damage.ts";

export interface WriteFailureDeps {
  readonly ballast: Ballast;
  readonly logger: Logger;
  readonly databasePath: string;
}

/** To be told of every error of a write. Never throws. */
export function noteWriteFailures({ ballast, logger, databasePath }: WriteFailureDeps): (error: unknown) => void {
  let isDamageSaid = false;
  return (error) => {
    if (isFullDisk(error) && ballast.giveUp()) {
      logger.error("the disk of the state directory is full: nothing is accepted until there is room", {
        path: databasePath,
      });
    }
    if (!isDamage(error) || isDamageSaid) return;
    isDamageSaid = true;
    logger.error("the journal is damaged: start the program again, which sets it aside and salvages what can be read", {
      path: databasePath,
      reason: error instanceof Error ? error.message : String(error),
    });
  };
}
