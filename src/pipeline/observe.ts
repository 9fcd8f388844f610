/** What journal and ledger have to say about themselves, asked at every collection. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Journal } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Clock } from "../lib/clock.ts";
import { recordTypes, type RecordType } from "../records/types.ts";

export interface StoreLimits {
  /** How long keys are to be kept, by type. */
  readonly windowsMs: Readonly<Record<RecordType, number>>;
  /** Series that a metric of the ledger may have. */
  readonly metricLimit: number;
}

export function observeStore(
  journal: Journal,
  ledger: Ledger,
  limits: StoreLimits,
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
    recordTypes.map((type) => ({ value: horizonMs(journal, type, limits, clock()) / 1000, attributes: { type } })),
  );
  telemetry.observe("tailscale2otel.quarantine.evicted", () =>
    journal.evicted.map(({ items, ...attributes }) => ({ value: items, attributes })),
  );
  telemetry.observe("tailscale2otel.series.active", () => bySeries(ledger, (size) => size));
  telemetry.observe("tailscale2otel.series.limit", () => bySeries(ledger, () => limits.metricLimit));
}

/** Until a key has left before its time, all of its window. */
export function horizonMs(journal: Journal, type: RecordType, { windowsMs }: StoreLimits, now: number): number {
  return Math.max(0, Math.min(windowsMs[type], now - journal.forgotten(type).until));
}

function bySeries(ledger: Ledger, valueOf: (size: number) => number) {
  return Array.from(ledger.activeSeries(), ([metric, size]) => ({
    value: valueOf(size),
    attributes: { "metric.name": metric },
  }));
}
