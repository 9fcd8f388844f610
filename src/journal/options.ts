/** From the settings to the journal's options. */
import type { Config } from "../config/schema.ts";
import type { JournalOptions } from "./index.ts";

/** Seen keys of classes that have no setting for it: far more than a tailnet makes in their windows, at 20 bytes each. */
const maxOtherKeys = 250_000;

/** What cursor, snapshot and deletion may need before anything is free again. */
const ballastBytes = 16 * 1024 * 1024;

/** Texts that were set aside are known again for as long as the longest retry of a sender. */
const quarantinedWindowMs = 48 * 3_600_000;

export function journalOptionsOf({ state, dedup }: Config): JournalOptions {
  return {
    path: state.path,
    maxBytes: state.max_bytes,
    ballastBytes,
    retentionMs: state.retention,
    durability: state.durability,
    keyLimits: {
      flow: { windowMs: dedup.flow_window, maxKeys: dedup.max_keys },
      audit: { windowMs: dedup.audit_window, maxKeys: maxOtherKeys },
      webhook: { windowMs: dedup.webhook_window, maxKeys: maxOtherKeys },
      quarantined: { windowMs: quarantinedWindowMs, maxKeys: maxOtherKeys },
    },
  };
}
