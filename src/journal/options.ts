/** From the settings to the journal's options. */
import { type CollectedLog, hasCredentials } from "../config/api-use.ts";
import type { Config } from "../config/schema.ts";
import type { JournalOptions } from "./index.ts";

/** Seen keys of classes that have no setting for it: far more than a tailnet makes in their windows, at 20 bytes each. */
const maxOtherKeys = 250_000;

/** What cursor, snapshot and deletion may need before anything is free again. */
const ballastBytes = 16 * 1024 * 1024;

/** Texts that were set aside are known again for as long as the longest retry of a sender. */
const quarantinedWindowMs = 48 * 3_600_000;

export function journalOptionsOf(config: Config): JournalOptions {
  const { state, dedup } = config;
  return {
    path: state.path,
    maxBytes: state.max_bytes,
    ballastBytes,
    retentionMs: state.retention,
    durability: state.durability,
    keyLimits: {
      flow: { windowMs: dedup.flow_window, maxKeys: dedup.max_keys, ...awaited(config, "flowlogs") },
      audit: { windowMs: dedup.audit_window, maxKeys: maxOtherKeys, ...awaited(config, "auditlogs") },
      webhook: { windowMs: dedup.webhook_window, maxKeys: maxOtherKeys },
      quarantined: { windowMs: quarantinedWindowMs, maxKeys: maxOtherKeys },
    },
  };
}

/** What will be polled again must not be forgotten before. */
function awaited(config: Config, log: CollectedLog): { readonly pollOverlapMs?: number } {
  const { enabled, replay_overlap: pollOverlapMs } = config.collectors[log];
  return enabled && hasCredentials(config) ? { pollOverlapMs } : {};
}
