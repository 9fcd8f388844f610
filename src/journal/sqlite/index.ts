/** The journal over SQLite: everything that was accepted, in one database that only this process writes. */
import { type CollectedLog, hasCredentials } from "../../config/index.ts";
import type { Telemetry } from "../../catalogue/telemetry.ts";
import type { Config } from "../../config/schema.ts";
import { Unavailable } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Journal, KeyClass } from "../index.ts";
import { reasonOf } from "../packing.ts";
import { takeStateDirectory } from "./directory.ts";
import { openDatabase } from "./damage.ts";
import { createJournal } from "./journal.ts";
import type { StorageOptions } from "./schema.ts";
import type { KeyLimits } from "./seen-keys.ts";

export { openSqliteReader } from "./rows.ts";

/** The settings that the journal follows. */
export type JournalConfig = Pick<Config, "state" | "dedup" | "collectors" | "tailscale">;

export interface JournalDeps {
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds that go on whatever becomes of the clock. The machine's, unless a test holds it. */
  readonly steady?: Clock;
  /**
   * Called once if the database turns out to be damaged, or somebody else writes to its files. Nothing is accepted from then
   * on; the next start takes over what can be read.
   */
  readonly onDamage?: () => void;
  /** Disk space that is reserved for the way out of a full one. */
  readonly ballastBytes?: number;
}

/** The settings, as far as they shape the database. */
export interface JournalSetup {
  readonly storage: StorageOptions;
  readonly keyLimits: Readonly<Record<KeyClass, KeyLimits>>;
  readonly retentionMs: number;
  readonly ballastBytes: number;
}

/** What cursor, snapshot and deletion may need before anything is free again. */
const usualBallastBytes = 16 * 1024 * 1024;

/** Seen keys of classes that have no setting for it: far more than a tailnet makes in their windows. */
const maxOtherKeys = 250_000;

/** Quarantined texts are known again for as long as the longest retry of a sender. */
const quarantinedWindowMs = 48 * 3_600_000;

/**
 * Opens or makes the journal. A damaged one is set aside, and what could be read of it taken over.
 * @throws {Unavailable} if the directory or the database cannot be used; the message says what to do.
 */
export function openSqliteJournal(config: JournalConfig, deps: JournalDeps): Journal {
  const directory = takeStateDirectory(config.state.path);
  const { isTemporary, databasePath } = directory;
  const setup: JournalSetup = {
    storage: {
      durability: isTemporary ? "normal" : config.state.durability,
      maxBytes: config.state.max_bytes,
      now: deps.clock(),
    },
    keyLimits: keyLimitsOf(config),
    retentionMs: config.state.retention,
    ballastBytes: isTemporary ? 0 : (deps.ballastBytes ?? usualBallastBytes),
  };
  try {
    return openDatabase(databasePath, setup.storage, deps.logger, (database) =>
      createJournal(database, directory, setup, deps),
    );
  } catch (error) {
    directory.release();
    if (error instanceof Unavailable) throw error;
    throw new Unavailable(`cannot open the journal ${databasePath}: ${reasonOf(error)}`);
  }
}

function keyLimitsOf(config: JournalConfig): Readonly<Record<KeyClass, KeyLimits>> {
  const { dedup } = config;
  return {
    flow: { windowMs: dedup.flow_window, maxKeys: dedup.max_keys, ...awaited(config, "flowlogs") },
    audit: { windowMs: dedup.audit_window, maxKeys: maxOtherKeys, ...awaited(config, "auditlogs") },
    webhook: { windowMs: dedup.webhook_window, maxKeys: maxOtherKeys },
    quarantined: { windowMs: quarantinedWindowMs, maxKeys: maxOtherKeys },
  };
}

/** What will be polled again must not be forgotten before. */
function awaited(config: JournalConfig, log: CollectedLog): { readonly pollOverlapMs?: number } {
  const { enabled, replay_overlap: pollOverlapMs } = config.collectors[log];
  return enabled && hasCredentials(config) ? { pollOverlapMs } : {};
}
