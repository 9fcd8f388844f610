/**
 * The ledger: the cumulative counters that survive restarts. It gathers what commits add, folds it into series on a timer of
 * the app's, and shows readers a fold only once its snapshot is committed: whatever was exported can be found again on disk.
 */
import { fieldObservations } from "../catalogue/fields.ts";
import type { Increments } from "../catalogue/increments.ts";
import {
  type IntervalMetric,
  type LedgerMetric,
  type MetricDefinition,
  type MetricName,
  metrics,
} from "../catalogue/metrics.ts";
import type { LedgerSnapshot } from "../journal/types.ts";
import type { Logger } from "../lib/logger.ts";
import { Interval } from "./interval.ts";
import { everyPair, type NamedSums, type RestNames, rollUp } from "./rollup.ts";
import { type FoldTime, SeriesTable } from "./series-table.ts";
import type { LedgerOptions, LedgerView } from "./types.ts";
import { Words } from "./words.ts";

export type { LedgerOptions, LedgerSeries, LedgerView } from "./types.ts";

/** The blob beside those of the metrics: number and time of the last fold. */
const foldBlob = "fold";

const ledgerMetrics = (Object.keys(metrics) as MetricName[]).filter(
  (name): name is LedgerMetric => metrics[name].origin === "ledger" && metrics[name].kind === "counter",
);

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #tables: ReadonlyMap<LedgerMetric, SeriesTable>;
  readonly #changed = new Set<LedgerMetric>();
  readonly #words = new Words(ledgerMetrics);
  #interval = new Interval();
  /** Of the interval that was folded last. */
  #gauges: LedgerView["metrics"] = [];
  #missedReached = 0;
  #fold = 0;
  #view: LedgerView;

  /** `startedAt`, epoch milliseconds: the start of series that a journal without a snapshot begins with. */
  constructor(options: LedgerOptions, startedAt: number) {
    this.#options = options;
    this.#view = { at: startedAt, metrics: [] };
    this.#tables = new Map(
      ledgerMetrics.map((name) => [
        name,
        new SeriesTable({
          maxSeries: options.metricLimit,
          idleFolds: isOpen(metrics[name]) ? options.idleFolds : undefined,
        }),
      ]),
    );
  }

  /** The last committed fold. */
  get view(): LedgerView {
    return this.#view;
  }

  /** New attribute sets that went into overflow series since this was last asked, by metric. */
  takeOverflowed(): ReadonlyMap<LedgerMetric | IntervalMetric, number> {
    const taken = new Map<LedgerMetric | IntervalMetric, number>();
    if (this.#missedReached > 0) taken.set("tailscale.network.unique.dst_peers", this.#missedReached);
    this.#missedReached = 0;
    for (const [name, table] of this.#tables) {
      const sets = table.takeOverflowed();
      if (sets > 0) taken.set(name, sets);
    }
    return taken;
  }

  /** The sum of a metric over the series with these attributes, this very moment: the last fold and what came after it. */
  sum(metric: LedgerMetric, attributes: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(attributes);
    const matches = (found: Readonly<Record<string, string | boolean>>): boolean =>
      wanted.every(([name, value]) => found[name] === value);
    let sum = 0;
    for (const series of this.#tables.get(metric)?.view() ?? []) if (matches(series.attributes)) sum += series.value;
    for (const gained of this.#interval.counts.values())
      if (gained.metric === metric && matches(gained.attributes)) sum += gained.value;
    return sum;
  }

  /** Adds what a commit counts. */
  add(increments: Increments): void {
    this.#interval.add(this.#words.settle(increments));
  }

  /** Takes the totals of a snapshot. A blob that cannot be read is left out: its series start anew. */
  restore({ blobs }: LedgerSnapshot, logger: Logger): void {
    for (const [name, table] of this.#tables) {
      const text = blobs.get(name);
      if (text === undefined) continue;
      try {
        table.restore(text);
        this.#words.restore(name, table.view());
      } catch (error) {
        logger.warn("a metric's totals cannot be read; its series start anew", {
          metric: name,
          reason: String(error),
        });
      }
    }
    const stored = blobs.get(foldBlob);
    if (stored === undefined) return;
    const { fold, at, since } = JSON.parse(stored) as { fold: number; at: number; since: number };
    this.#fold = fold;
    this.#view = { at, since, metrics: this.#readTables(new Set(ledgerMetrics)) };
  }

  /**
   * Folds the interval into the totals and commits them with `write`; readers see them when that has returned.
   * When it throws, nothing is shown and nothing is lost: the next fold carries the same and more.
   */
  fold(now: number, measuredSeq: number, write: (snapshot: LedgerSnapshot) => void): LedgerView {
    const since = this.#view.at;
    const at = Math.max(now, since + 1);
    this.#fold++;
    this.#absorb({ fold: this.#fold, startAt: since });
    for (const [name, table] of this.#tables) if (table.retire(this.#fold)) this.#changed.add(name);
    const blobs = new Map<string, string>([[foldBlob, JSON.stringify({ fold: this.#fold, at, since })]]);
    for (const name of this.#changed) blobs.set(name, (this.#tables.get(name) as SeriesTable).serialize());
    write({ measuredSeq, blobs });
    this.#view = { at, since, metrics: [...this.#readTables(this.#changed), ...this.#gauges] };
    this.#changed.clear();
    return this.#view;
  }

  #absorb(time: FoldTime): void {
    const interval = this.#interval;
    this.#interval = new Interval();
    const { metricsMode, rollupTopN } = this.#options;
    this.#readGauges(interval, time);
    for (const { metric, attributes, value } of interval.counts.values()) this.#gain(metric, attributes, value, time);
    interval.fields.forEach((entries, code) => {
      for (const observed of fieldObservations(code)) {
        this.#gain("tailscale.network.field.observations", observed, entries, time);
      }
    });
    const rest: RestNames = this.#options.hasNodes === false ? "none" : "other";
    const pairs = everyPair(interval, rest);
    for (const {
      class: { transport, traffic },
      sums,
    } of pairs) {
      this.#gain(
        "tailscale.network.flows",
        { "network.transport": transport, "tailscale.traffic_type": traffic },
        sums.entries,
        time,
      );
    }
    if (metricsMode !== "rollup") {
      for (const flow of pairs) this.#gainFlow("tailscale.network.io", "tailscale.network.packets", flow, time);
    }
    if (metricsMode === "all") return;
    for (const flow of rollUp(interval, rollupTopN, rest)) {
      this.#gainFlow("tailscale.network.io.rollup", "tailscale.network.packets.rollup", flow, time);
    }
  }

  #readGauges({ reached }: Interval, { startAt }: FoldTime): void {
    const { metricLimit } = this.#options;
    this.#missedReached += reached.missed;
    this.#gauges = (
      [
        { name: "tailscale.network.unique.dst_peers", series: reached.series("peers", metricLimit, startAt) },
        { name: "tailscale.network.unique.dst_ports", series: reached.series("ports", metricLimit, startAt) },
      ] as const
    ).filter(({ series }) => series.length > 0);
  }

  #gainFlow(
    bytes: LedgerMetric,
    packets: LedgerMetric,
    { source, destination, identity, class: flowClass, sums }: NamedSums,
    time: FoldTime,
  ): void {
    const shared = {
      "network.transport": flowClass.transport,
      "tailscale.traffic_type": flowClass.traffic,
      ...(source === undefined ? {} : { "tailscale.src.node": source }),
      ...(destination === undefined ? {} : { "tailscale.dst.node": destination }),
      ...(flowClass.service === undefined ? {} : { "tailscale.dst.service": flowClass.service }),
      ...(flowClass.path === undefined ? {} : { "tailscale.path": flowClass.path }),
      ...(flowClass.derpRegion === undefined ? {} : { "tailscale.derp.region_id": flowClass.derpRegion }),
      ...identity,
      ...(flowClass.ports?.source === undefined ? {} : { "source.port": flowClass.ports.source }),
      ...(flowClass.ports?.destination === undefined ? {} : { "destination.port": flowClass.ports.destination }),
    };
    const transmit = { "network.io.direction": "transmit", ...shared };
    const receive = { "network.io.direction": "receive", ...shared };
    this.#gain(bytes, transmit, sums.txBytes, time);
    this.#gain(bytes, receive, sums.rxBytes, time);
    this.#gain(packets, transmit, sums.txPackets, time);
    this.#gain(packets, receive, sums.rxPackets, time);
  }

  #gain(metric: LedgerMetric, attributes: Readonly<Record<string, string>>, value: number, time: FoldTime): void {
    if (value === 0) return;
    (this.#tables.get(metric) as SeriesTable).add(attributes, value, time);
    this.#changed.add(metric);
  }

  /** Series held now, by metric. */
  activeSeries(): ReadonlyMap<LedgerMetric, number> {
    return new Map(
      Array.from(this.#tables, ([name, { size }]) => [name, size] as const).filter(([, size]) => size > 0),
    );
  }

  /** Metrics that have not changed keep the list they had. */
  #readTables(changed: ReadonlySet<LedgerMetric>): LedgerView["metrics"] {
    const before = new Map(this.#view.metrics.map((metric) => [metric.name, metric]));
    return [...this.#tables].flatMap(([name, table]) => {
      if (table.size === 0) return [];
      const kept = before.get(name);
      return [kept === undefined || changed.has(name) ? { name, series: table.view() } : kept];
    });
  }
}

/** Whether a metric's attribute sets are without end: closed ones are few, and their series stay for ever. */
function isOpen({ attributes }: MetricDefinition): boolean {
  return Object.values(attributes).includes("text");
}
