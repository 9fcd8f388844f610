/** Settings and dependencies that a journal of any engine is opened with. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Member } from "./journal.ts";

/** Prefix of the location of a journal in a database; other locations are file paths. */
export const databasePrefix = "postgres:";

/** The settings that a journal uses. */
export type JournalConfig = Pick<Config, "state" | "dedup" | "collectors" | "tailscale">;

export interface JournalDeps {
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A monotonic clock in milliseconds, independent of changes to the system clock. */
  readonly steady?: Clock;
  /**
   * Called once if the database is found to be damaged, or another process changes its files. Nothing is accepted afterwards; the
   * next start recovers what can be read.
   */
  readonly onDamage?: () => void;
  /** What this instance shows to the others that share its journal. Absent: nothing. */
  readonly instance?: Pick<Member, "host" | "version" | "adminAddress">;
  /** Disk space that is reserved for recovering from a full disk. */
  readonly ballastBytes?: number;
}
