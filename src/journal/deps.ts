/** What a journal of any engine is opened with. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Member } from "./journal.ts";

/** How the location of a journal in a database begins; others are paths of files. */
export const databasePrefix = "postgres:";

/** The settings that the journal follows. */
export type JournalConfig = Pick<Config, "state" | "dedup" | "collectors" | "tailscale">;

export interface JournalDeps {
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds that go on whatever happens to the clock. */
  readonly steady?: Clock;
  /**
   * Called once if the database turns out to be damaged, or another process changes its files. Nothing is accepted from then
   * on; the next start takes over what can be read.
   */
  readonly onDamage?: () => void;
  /** What the instance shows of itself to the others that share its journal. Absent: nothing. */
  readonly instance?: Pick<Member, "host" | "version" | "adminAddress">;
  /** Disk space that is reserved for the way out of a full one. */
  readonly ballastBytes?: number;
}
