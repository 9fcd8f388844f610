/** What journal and ledger show of themselves: metrics of the process, and the sums that show that nothing disappears. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../lib/clock.ts";
import { recordTypes, type RecordType } from "../records/types.ts";
import type { Journal } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";

export function observeStore(
  journal: Journal,
  ledger: Ledger,
  config: Pick<Config, "dedup" | "cardinality">,
  { telemetry, clock }: { readonly telemetry: Telemetry; readonly clock: Clock },
): void {
  const one = (value: number) => [{ value, attributes: {} }];
  telemetry.observe("tailscale2otel.journal.pending", () => one(journal.pendingRecords));
  telemetry.observe("tailscale2otel.journal.pending.age", () => {
    const since = journal.pendingSince;
    return one(since === undefined ? 0 : Math.max(0, clock() - since) / 1000);
  });
  telemetry.observe("tailscale2otel.journal.size", () => one(journal.space.usedBytes));
  telemetry.observe("tailscale2otel.journal.limit", () => one(journal.space.limitBytes));
  telemetry.observe("tailscale2otel.journal.lost.rows", () => one(journal.loss.rows));
  telemetry.observe("tailscale2otel.journal.lost.records", () => one(journal.loss.records));
  telemetry.observe("tailscale2otel.dedup.keys", () =>
    recordTypes.map((type) => ({ value: journal.keyCount(type), attributes: { type } })),
  );
  telemetry.observe("tailscale2otel.dedup.horizon", () =>
    recordTypes.map((type) => ({
      value: horizonMs(journal, type, config.dedup, clock()) / 1000,
      attributes: { type },
    })),
  );
  telemetry.observe("tailscale2otel.quarantine.evicted", () =>
    journal.quarantine.evicted.map(({ items, ...attributes }) => ({ value: items, attributes })),
  );
  telemetry.observe("tailscale2otel.series.active", () => bySeries(ledger, (size) => size));
  telemetry.observe("tailscale2otel.series.limit", () => bySeries(ledger, () => config.cardinality.metric_limit));
}

/** How far back records of a type are known again, in milliseconds: all of the dedup window until keys have left before their time. */
export function horizonMs(
  journal: Pick<Journal, "horizon">,
  type: RecordType,
  dedup: Config["dedup"],
  now: number,
): number {
  const windowMs = { flow: dedup.flow_window, audit: dedup.audit_window, webhook: dedup.webhook_window }[type];
  return Math.max(0, Math.min(windowMs, now - journal.horizon(type).until));
}

function bySeries(ledger: Ledger, valueOf: (size: number) => number) {
  return Array.from(ledger.activeSeries(), ([metric, size]) => ({
    value: valueOf(size),
    attributes: { "metric.name": metric },
  }));
}

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
