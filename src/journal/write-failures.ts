/** What follows when SQLite cannot read or write: the ballast is given up on a full disk, damage is said once and marked for the next start, and until a write works nothing is promised. */
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "../lib/logger.ts";
import type { Ballast } from "./ballast.ts";
import { isDamage, isFullDisk, markDamaged } from "./damage.ts";

export interface WriteFailureDeps {
  readonly database: DatabaseSync;
  readonly ballast: Ballast;
  readonly logger: Logger;
  readonly databasePath: string;
  /** Called once. */
  readonly onDamage: () => void;
}

export interface WriteFailures {
  /** From here on the database must not be written. */
  readonly isDamaged: boolean;
  /** The last that was heard is a failure, and not for want of room, which is known from the space. */
  readonly isFailing: boolean;
  /** To be told of every error of the database. Never throws. */
  failed(error: unknown): void;
  /** To be told of every commit. */
  worked(): void;
  /** Writes something that changes nothing, where the last write failed. @throws whatever SQLite throws. */
  tryAgain(): void;
}

export function createWriteFailures(deps: WriteFailureDeps): WriteFailures {
  const { database, ballast, logger, databasePath, onDamage } = deps;
  let isDamaged = false;
  let isFailing = false;
  return {
    get isDamaged() {
      return isDamaged;
    },
    get isFailing() {
      return isFailing;
    },
    failed(error) {
      if (!isFullDisk(error)) isFailing = true;
      else if (ballast.giveUp()) {
        logger.error("the disk of the state directory is full: nothing is accepted until there is room", {
          path: databasePath,
        });
      }
      if (!isDamage(error) || isDamaged) return;
      isDamaged = true;
      logger.error("the journal is damaged: the next start sets it aside and salvages what can be read", {
        path: databasePath,
        reason: error instanceof Error ? error.message : String(error),
      });
      markDamaged(databasePath);
      onDamage();
    },
    worked() {
      isFailing = false;
    },
    tryAgain() {
      if (!isFailing) return;
      database.exec("UPDATE meta SET value = value WHERE name = 'schema'");
      isFailing = false;
    },
  };
}
