/** The two sums that show that nothing disappears: what was received, and what became of what was accepted. */
import type { Journal } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";

/**
 * In records, since the journal was made: `received = accepted + duplicate + skipped + quarantined`, and
 * `accepted + uncounted = delivered + pending + deadLettered + lost`. Both hold at every moment; `lost` and `uncounted`
 * are 0 as long as the database was never damaged.
 */
export interface Conservation {
  readonly received: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly skipped: number;
  readonly quarantined: number;
  readonly delivered: number;
  readonly pending: number;
  readonly deadLettered: number;
  /** Gone before they were delivered, or before it was known that they were. */
  readonly lost: number;
  /** Here or delivered, though the counters no longer know of them. */
  readonly uncounted: number;
}

/** Each term from its own account: the first sum's from the ledger, the second's from the journal and its cursor. */
export function conservationOf(journal: Journal, ledger: Ledger): Conservation {
  const records = (outcome?: string): number =>
    ledger.sum("tailscale2otel.ingest.records", outcome === undefined ? {} : { outcome });
  return {
    received: records(),
    accepted: records("accepted"),
    duplicate: records("duplicate"),
    skipped: records("skipped"),
    quarantined: records("quarantined"),
    delivered: journal.cursor.records.delivered,
    pending: journal.pendingRecords,
    deadLettered: journal.cursor.records.deadLettered,
    lost: journal.loss.records,
    uncounted: journal.loss.uncounted,
  };
}
