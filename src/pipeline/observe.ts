/**
 * Reports process metrics about the journal, the ledger and the instances that share a journal, and the sums that show that no
 * record is lost.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { recordTypes, type RecordType, type Source } from "../records/types.ts";
import type { Cluster, ClusterView, Committed, Journal } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { SeriesTable } from "../ledger/series.ts";
import type { MeasureContext } from "../processors/flow-metrics.ts";

export interface ObserveDeps extends Pick<MeasureContext, "edges" | "ends"> {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
}

export function observeStore(config: Pick<Config, "dedup" | "cardinality">, deps: ObserveDeps): void {
  const { journal, ledger, edges, ends, telemetry, clock } = deps;
  const one = (value: number) => [{ value, attributes: {} }];
  const byType = (valueOf: (type: RecordType) => number) =>
    recordTypes.map((type) => ({ value: valueOf(type), attributes: { type } }));
  telemetry.observe("tailscale2otel.journal.pending", () => [
    ...one(journal.pendingRecords),
    ...journal.destinations.map(({ name, pending }) => ({ value: pending, attributes: { destination: name } })),
  ]);
  const ageOf = (since: number | undefined) => (since === undefined ? 0 : Math.max(0, clock() - since) / 1000);
  telemetry.observe("tailscale2otel.journal.pending.age", () => [
    ...one(ageOf(journal.pendingSince)),
    ...journal.destinations.map(({ name, pendingSince }) => ({
      value: ageOf(pendingSince),
      attributes: { destination: name },
    })),
  ]);
  telemetry.observe("tailscale2otel.journal.size", () => one(journal.space.usedBytes));
  telemetry.observe("tailscale2otel.journal.limit", () => one(journal.space.limitBytes));
  telemetry.observe("tailscale2otel.export.records", () => {
    const { delivered, deadLettered } = journal.cursor.records;
    return [
      { value: delivered, attributes: { outcome: "delivered" as const } },
      { value: deadLettered, attributes: { outcome: "dead_lettered" as const } },
    ];
  });
  telemetry.observe("tailscale2otel.journal.lost.rows", () => one(journal.loss.rows));
  telemetry.observe("tailscale2otel.journal.lost.records", () => one(journal.loss.records));
  telemetry.observe("tailscale2otel.history.pending", () => {
    const { gap } = ledger.minutes;
    return one(gap === undefined ? 0 : gap.until + 1 - gap.from);
  });
  telemetry.observe("tailscale2otel.dedup.keys", () => byType((type) => journal.keyCount(type)));
  telemetry.observe("tailscale2otel.dedup.horizon", () =>
    byType((type) => horizonMs(journal, type, config.dedup, clock()) / 1000),
  );
  telemetry.observe("tailscale2otel.quarantine.evicted", () =>
    journal.quarantine.evicted.map(({ items, ...attributes }) => ({ value: items, attributes })),
  );
  const byMetric = (valueOf: (table: SeriesTable, metric: string) => number) =>
    Array.from(ledger.tables, ([metric, table]) => ({
      value: valueOf(table, metric),
      attributes: { "metric.name": metric },
    })).filter(({ value }) => value > 0);
  const { metric_limit: limit } = config.cardinality;
  telemetry.observe("tailscale2otel.series.active", () => byMetric(({ size }) => size));
  telemetry.observe("tailscale2otel.series.limit", () => byMetric(({ size }) => (size > 0 ? limit : 0)));
  telemetry.observe("tailscale2otel.series.overflowing", () =>
    Array.from(ledger.tables, ([metric, { size }]) => ({
      value: Number(limit > 0 && size >= limit),
      attributes: { "metric.name": metric },
    })),
  );
  let unnamed = 0;
  telemetry.observe("tailscale2otel.series.overflowed", () => {
    unnamed += edges.takeOverflowed() + ends.takeResets();
    return byMetric(({ overflowed }, metric) => overflowed + (metric === "tailscale.network.io" ? unnamed : 0));
  });
}

/** How often the database is asked for the state of the instances. */
const viewMs = 5000;

export interface ObserveClusterDeps {
  readonly telemetry: Telemetry;
  /** `state.lease`. */
  readonly leaseMs: number;
  readonly everyMs?: number;
}

/**
 * Measures the instances that share a journal, from any of them, until the returned function is called. Collections read the last
 * answer of the database; while it does not answer, what only the database knows is not reported.
 */
export function observeCluster(
  cluster: Cluster,
  { telemetry, leaseMs, everyMs = viewMs }: ObserveClusterDeps,
): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  let last: ClusterView | "away" | undefined;

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      last = await cluster.view().catch(() => "away" as const);
      if (last !== "away") telemetry.record("tailscale2otel.cluster.database.duration", last.roundTripMs / 1000, {});
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  const one = (value: number) => [{ value, attributes: {} }];
  const seen = <Result>(read: (view: ClusterView) => readonly Result[]): readonly Result[] =>
    last === undefined || last === "away" ? [] : read(last);
  telemetry.observe("tailscale2otel.cluster.leading", () => one(Number(cluster.isLeading)));
  telemetry.observe("tailscale2otel.cluster.database.up", () =>
    last === undefined ? [] : one(Number(last !== "away")),
  );
  telemetry.observe("tailscale2otel.cluster.members", () => seen((view) => one(alive(view, leaseMs))));
  telemetry.observe("tailscale2otel.cluster.lease.held", () => seen((view) => one(Number(view.leaseMs > 0))));
  telemetry.observe("tailscale2otel.cluster.fence", () => seen(({ fence }) => one(fence)));
  telemetry.observe("tailscale2otel.cluster.lag", () =>
    seen(({ lastSeq, measuredSeq, cursorSeq }) => [
      { value: Math.max(0, lastSeq - measuredSeq), attributes: { step: "counting" as const } },
      { value: Math.max(0, lastSeq + 1 - cursorSeq), attributes: { step: "delivery" as const } },
    ]),
  );
  void follow();
  return () => ending.abort();
}

/** Each member is seen every third of a lease, so the latest `seenAt` of any is as good as the database's clock. */
function alive({ members }: ClusterView, leaseMs: number): number {
  const latest = Math.max(...members.map(({ seenAt }) => seenAt));
  return members.filter(({ seenAt }) => latest - seenAt <= leaseMs).length;
}

/** Called with every commit; logs once per source that its first record since the start has been accepted. */
export function createFirstReport(logger: Logger): (batch: Pick<Committed, "source" | "parts">) => void {
  const reported = new Set<Source>();
  return ({ source, parts }) => {
    if (reported.has(source)) return;
    const first = parts.find(({ accepted }) => accepted > 0);
    if (first === undefined) return;
    reported.add(source);
    logger.info(`first record from ${source}`, { type: first.part.type });
  };
}

/** How far back duplicates are recognized, in milliseconds: the whole dedup window, unless keys were evicted early. */
export function horizonMs(
  journal: Pick<Journal, "horizon">,
  type: RecordType,
  dedup: Config["dedup"],
  now: number,
): number {
  const windowMs = { flow: dedup.flow_window, audit: dedup.audit_window, webhook: dedup.webhook_window }[type];
  return Math.max(0, Math.min(windowMs, now - journal.horizon(type).until));
}

export type Conservation = Readonly<ReturnType<typeof conservationOf>>;

/**
 * In records, since the journal was created: `received = accepted + duplicate + skipped + quarantined`, and
 * `accepted + uncounted = delivered + pending + deadLettered + lost`. Both hold at any time: the terms of the first are from the
 * ledger, those of the second from the journal and its cursor.
 */
export function conservationOf(journal: Journal, ledger: Ledger) {
  const records = (attributes?: { readonly outcome: string }) =>
    ledger.sum("tailscale2otel.ingest.records", attributes);
  return {
    received: records(),
    accepted: records({ outcome: "accepted" }),
    duplicate: records({ outcome: "duplicate" }),
    skipped: records({ outcome: "skipped" }),
    quarantined: records({ outcome: "quarantined" }),
    delivered: journal.cursor.records.delivered,
    pending: journal.pendingRecords,
    deadLettered: journal.cursor.records.deadLettered,
    /** Lost before they were delivered, or before it was known that they were; 0 unless the database was damaged. */
    lost: journal.loss.records,
    /** In the journal or delivered, but no longer in the counters; 0 unless the database was damaged. */
    uncounted: journal.loss.uncounted,
  };
}
