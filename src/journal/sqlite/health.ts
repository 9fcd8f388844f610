/** Whether the database can be written: what follows when SQLite fails, when it finds damage, and when somebody touches the files. */
import { existsSync, renameSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Ballast } from "../ballast.ts";
import { reasonOf } from "../packing.ts";
import { type FileWatch, type Interference, isDamage, isFullDisk, markDamaged } from "./damage.ts";
import type { StorageOptions } from "./schema.ts";
import { fieldsOf, rescue } from "./set-aside.ts";

export interface HealthDeps {
  readonly database: DatabaseSync;
  readonly databasePath: string;
  readonly storage: StorageOptions;
  readonly watch: FileWatch;
  readonly ballast: Ballast;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Called once, when the database must not be written any more. */
  readonly onDamage: () => void;
}

export class Health {
  readonly #deps: HealthDeps;
  #stopped: string | undefined;
  #failure: string | undefined;

  constructor(deps: HealthDeps) {
    this.#deps = deps;
  }

  /** Why nothing is written now: the last write failed, and not for want of space. Until one works nothing is promised. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** A write has worked. */
  worked(): void {
    this.#failure = undefined;
  }

  /** Why the database must never be written again, if so: what was committed there would be lost. Looks at its files. */
  unfit(): string | undefined {
    if (this.#stopped !== undefined) return this.#stopped;
    const found = this.#deps.watch.check();
    if (found !== undefined) this.#interfered(found);
    return this.#stopped;
  }

  /** To be told of every error of the database. Never throws. */
  failed(error: unknown): void {
    const { logger, databasePath: path, ballast } = this.#deps;
    if (isDamage(error)) {
      if (this.#stopped !== undefined) return;
      const reason = reasonOf(error);
      logger.error("the journal is damaged: the next start sets it aside and salvages what can be read", {
        path,
        reason,
      });
      markDamaged(path, reason);
      this.#stop(`${path} is damaged: ${reason}`);
    } else if (!isFullDisk(error)) {
      /** What did not come from SQLite is a batch's own trouble. */
      if (error instanceof Error && "errcode" in error) this.#failure = `the last write failed: ${reasonOf(error)}`;
    } else if (ballast.giveUp()) {
      logger.error("the disk of the state directory is full: nothing is accepted until there is room", { path });
    }
  }

  /** Somebody has touched the files. What this connection can still read is put where the next start finds it. */
  #interfered({ kind, reason }: Interference): void {
    this.#stopped = reason;
    const isWhole = kind === "writer" || (kind === "log" && this.#writeLogBack());
    const saved = isWhole ? "all of it is in the database" : this.#rescue(reason);
    const message = "the journal's files were changed by somebody else: nothing is accepted any more";
    this.#deps.logger.error(message, { reason, saved });
    this.#stop(reason);
  }

  /**
   * The connection still has a log that was deleted: what is in it goes into the database. Whether all of it did. A file that
   * stands in its place moves out of the way: an older copy of the log would undo what it wrote.
   */
  #writeLogBack(): boolean {
    const { database, databasePath, clock } = this.#deps;
    try {
      const done = database.prepare("PRAGMA wal_checkpoint(FULL)").get() as Record<string, number>;
      if (done["busy"] !== 0 || done["log"] !== done["checkpointed"]) return false;
      const log = `${databasePath}-wal`;
      if (existsSync(log)) renameSync(log, `${log}-replaced-${clock()}`);
      return true;
    } catch {
      return false;
    }
  }

  #rescue(reason: string): string {
    const { database, databasePath, storage, clock } = this.#deps;
    markDamaged(databasePath, reason);
    try {
      return JSON.stringify(fieldsOf(rescue(database, databasePath, { ...storage, now: clock() })));
    } catch (error) {
      return `nothing: ${reasonOf(error)}`;
    }
  }

  #stop(reason: string): void {
    this.#stopped = reason;
    this.#deps.onDamage();
  }
}
