/**
 * The ledger: cumulative counters that survive restarts. It collects what commits add, folds it into series on a timer, and
 * shows readers a fold only once its snapshot is committed, so whatever was exported is also on disk.
 */
import { setImmediate as afterOthers } from "node:timers/promises";
import { count, type Increments } from "../catalogue/increments.ts";
import {
  type AttributesOf,
  type IntervalMetric,
  type LedgerMetric,
  type MetricDefinition,
  metrics,
} from "../catalogue/metrics.ts";
import type { Config } from "../config/schema.ts";
import type { Logger } from "../lib/logger.ts";
import { type Journal, reasonOf } from "../journal/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import type { FlowColumns } from "../records/flow/columns.ts";
import { Interval } from "./interval.ts";
import { Minutes } from "./minutes.ts";
import { addCounts, addFlows, putDelivery } from "./rollup.ts";
import { type FoldedMetric, type FoldTime, type LedgerAttributes, SeriesTable, seriesOf } from "./series.ts";
import { entriesOf, gatherReports, type Reports, reportsOf, type Talker, topTalkers } from "./talkers.ts";

/** A committed fold, which is all that readers see of the ledger. */
export interface Fold {
  /** Epoch milliseconds; strictly increasing, unless the clock was set back by minutes. */
  readonly at: number;
  /** Time of the previous fold; a series with this start began with this fold. */
  readonly since: number | undefined;
  readonly metrics: readonly FoldedMetric[];
}

export interface LedgerDeps {
  readonly journal: Pick<
    Journal,
    | "identity"
    | "cursor"
    | "destinations"
    | "minutes"
    | "readSnapshot"
    | "writeSnapshot"
    | "beginSeriesAnew"
    | "settleLoss"
  >;
  readonly logger: Logger;
}

/** A clock that has gone back by more than this was set, and is trusted. */
const clockToleranceMs = 300_000;

/** A fold works for this long before other work runs. */
const stepMs = 5;

/** A gauge that is not set is not reported; its attribute set is remembered this long. */
const idleFoldsOfGauge = 2;

/** The name of the blob with the number and times of the last fold. */
const timesBlob = "fold";

/** `status` shows sums of these by attribute, in which an overflow series would be missing. At most 100 series. */
const unlimited: ReadonlySet<Name> = new Set([
  "tailscale2otel.ingest.records",
  "tailscale2otel.reconcile.unverifiable",
]);

/** Texts that do not look like a word are not remembered. */
const wordShape = /^[\w.@+-]{1,64}$/;

type Name = LedgerMetric | IntervalMetric;
type Attributes = Record<string, string>;

const names = (Object.keys(metrics) as Name[]).filter((name) => metrics[name].origin === "ledger");

export class Ledger {
  readonly #config: Config["cardinality"];
  readonly #deps: LedgerDeps;
  /** Folds without a value after which a series is retired. */
  readonly #idleFolds: number;
  /** Words received for each open attribute, kept forever so that an event counts in the same series after any restart. */
  readonly #words = new Map<string, Set<string>>();
  #interval = new Interval();
  readonly minutes: Minutes;
  /** The reports of the interval before the open one. */
  #ended: () => Reports = () => new Map();
  #edges: EdgeBook | undefined;
  /** Rows up to this one are in the series or in the open interval; set by the caller that adds them. */
  measuredSeq: number;
  /** The number of the last committed fold. */
  #fold = 0;
  /** The last committed fold. */
  shown: Fold;
  /** By metric; outside the ledger, only their `size` and `overflowed` are read. */
  tables: ReadonlyMap<Name, SeriesTable>;
  #folding: Promise<unknown> = Promise.resolve();

  /** Continues from the journal's last snapshot. */
  constructor(config: Pick<Config, "cardinality" | "otlp">, deps: LedgerDeps) {
    this.#config = config.cardinality;
    this.#deps = deps;
    this.#idleFolds = Math.max(1, Math.ceil(config.cardinality.series_ttl / config.otlp.metric_interval));
    this.tables = this.#newTables();
    const { measuredSeq, blobs } = deps.journal.readSnapshot();
    this.measuredSeq = measuredSeq;
    this.minutes = new Minutes(deps.journal, deps.logger, measuredSeq, () => this.#interval);
    this.shown = this.#restored(blobs);
  }

  /**
   * Adds the flow records of a commit except the dropped ones (a byte of 1 per record). `columns.edge` and `columns.exitNode`
   * are filled with edges of the book's current generation.
   */
  addFlows(columns: FlowColumns, dropped: Uint8Array | undefined, edges: EdgeBook): void {
    this.#edges = edges;
    this.#interval.addFlows(columns, dropped, edges);
  }

  count<Metric extends LedgerMetric>(metric: Metric, attributes: AttributesOf<Metric>, value: number): void {
    const bounded = this.#bounded(metric, attributes as Attributes);
    count(this.#interval.increments, metric, bounded as AttributesOf<Metric>, value);
  }

  /** Adds the counts of the other records of a commit. */
  add(increments: Increments): void {
    for (const { metric, attributes, value } of increments.values()) this.count(metric, attributes, value);
  }

  /** The sum of a metric over the series with these attributes: exact at the moment, except for flows, as of the last fold. */
  sum(metric: LedgerMetric, attributes: Attributes = {}): number {
    const wanted = Object.entries(attributes);
    const matches = (found: LedgerAttributes): boolean => wanted.every(([name, value]) => found[name] === value);
    let sum = this.#table(metric).sum(matches);
    for (const one of this.#interval.increments.values())
      if (one.metric === metric && matches(one.attributes)) sum += one.value;
    return sum;
  }

  /** Connection entries counted so far, those of the open interval and of series that have ended included. */
  get entries(): number {
    return this.#table("tailscale.network.flows").total + entriesOf(this.#interval);
  }

  /** The pairs with the most bytes in the open interval and the one before it. Up to 20 ms if both are full. */
  talkers(limit: number): readonly Talker[] {
    return topTalkers(this.#ended(), reportsOf(this.#interval), limit);
  }

  /**
   * Folds what has been counted into the series, a few milliseconds at a time, and commits them; only then do readers see
   * it. A call during a fold folds again after it. `now`: epoch milliseconds.
   * @throws {Unavailable} if the snapshot cannot be committed; then nothing is shown and nothing is lost, because the next
   * fold includes it.
   */
  fold(now: number): Promise<Fold> {
    const folding = this.#folding.then(() => this.#foldOnce(now));
    this.#folding = folding.catch(() => undefined);
    return folding;
  }

  async #foldOnce(now: number): Promise<Fold> {
    if (now < this.shown.at - clockToleranceMs) await this.#beginAnew(now);
    while (this.minutes.isIncomplete) await this.minutes.complete();
    // What is counted while other work runs belongs to the next fold, so this one takes everything it needs in this turn.
    const since = this.shown.at;
    const at = Math.max(now, since + 1);
    const { measuredSeq } = this;
    const time: FoldTime = { fold: this.#fold + 1, startAt: since };
    let endsAt = performance.now() + stepMs;
    const minutes = this.minutes.changes();
    for (const _ of this.#steps(this.#endInterval(), time)) {
      if (performance.now() < endsAt) continue;
      await afterOthers();
      endsAt = performance.now() + stepMs;
    }
    const times = Buffer.from(JSON.stringify({ fold: time.fold, at, since }));
    const blobs = new Map<string, Uint8Array>([[timesBlob, times]]);
    for (const [name, table] of this.tables) if (isCounter(name)) table.addBlobs(name, blobs);
    await this.#deps.journal.writeSnapshot({ measuredSeq, blobs, minutes });
    this.minutes.stored(minutes, measuredSeq);
    for (const table of this.tables.values()) table.written();
    this.#fold = time.fold;
    return (this.shown = { at, since, metrics: this.#folded(time.fold) });
  }

  /** What is counted from here on belongs to the next fold. */
  #endInterval(): Interval {
    const ended = this.#interval;
    this.#ended = () => reportsOf(ended);
    this.#interval = new Interval();
    this.#edges?.renew();
    return ended;
  }

  /** The work of a fold except its commit, in steps between which other work may run. The first puts counts in the series. */
  *#steps(interval: Interval, time: FoldTime): Generator<void> {
    const add = (metric: LedgerMetric, attributes: Attributes, value: number): void => {
      if (value !== 0) this.#table(metric).add(attributes, value, time);
    };
    addCounts(interval, add);
    yield* addFlows(interval, this.#config.flow, add);
    const peerTable = this.#table("tailscale.network.unique.dst_peers");
    peerTable.overflowed += interval.reached.missed;
    let room = this.#config.metric_limit;
    for (const { name, peers, ports } of interval.reached.all()) {
      // Without node names these would be the sums of all nodes.
      if (name === undefined) continue;
      if (room-- <= 0) peerTable.overflowed++;
      else {
        const attributes = { "tailscale.src.node": name };
        if (peers > 0) peerTable.put(attributes, peers, time);
        if (ports > 0) this.#table("tailscale.network.unique.dst_ports").put(attributes, ports, time);
        yield;
      }
    }
    const reports = yield* gatherReports(interval);
    this.#ended = () => reports;
    interval.free();
    putDelivery(this.#deps.journal, (metric) => this.#table(metric), time.fold);
    for (const [name, table] of this.tables) {
      // A metric whose attribute sets are all known in advance keeps its series forever.
      const { attributes }: MetricDefinition = metrics[name];
      const isOpen = Object.values(attributes).includes("text");
      if (isOpen) yield* table.retire(time.fold - (isCounter(name) ? this.#idleFolds : idleFoldsOfGauge));
      yield* table.pack();
    }
  }

  /** Restarts all series after the clock was set back: points at the old times would be in the future until it catches up. */
  async #beginAnew(now: number): Promise<void> {
    const { journal, logger } = this.#deps;
    await journal.beginSeriesAnew(now);
    const [lastFold, time] = [this.shown.at, now].map((ms) => new Date(ms).toISOString());
    logger.warn("the clock was set back: all counters start again from 0", { last_fold: lastFold, now: time });
    this.tables = this.#newTables();
    this.shown = { at: now, since: undefined, metrics: [] };
    await journal.settleLoss(this.sum("tailscale2otel.ingest.records", { outcome: "accepted" }));
  }

  /** Restores the series of a snapshot. A metric that cannot be read starts from 0, with a WARN. */
  #restored(blobs: ReadonlyMap<string, Uint8Array>): Fold {
    const { journal, logger } = this.#deps;
    const stored = blobs.get(timesBlob);
    if (stored === undefined) return { at: journal.identity.createdAt, since: undefined, metrics: [] };
    for (const [name, table] of this.tables) {
      try {
        table.restore(name, blobs);
      } catch (error) {
        const fields = { metric: name, reason: reasonOf(error) };
        logger.warn("cannot read the totals of a metric; its series start again from 0", fields);
      }
    }
    const { fold, at, since } = JSON.parse(Buffer.from(stored).toString()) as Record<"fold" | "at" | "since", number>;
    this.#fold = fold;
    const restored = this.#folded(fold);
    for (const metric of restored)
      for (const { attributes } of seriesOf(metric)) this.#bounded(metric.name, attributes as Attributes);
    return { at, since, metrics: restored };
  }

  /** Keeps known words and a bounded number of others; the rest become `other`. Called in the order of commits. */
  #bounded(metric: Name, attributes: Attributes): Attributes {
    const domains: MetricDefinition["attributes"] = metrics[metric].attributes;
    const bounded = { ...attributes };
    for (const [attribute, word] of Object.entries(attributes)) {
      const domain = domains[attribute];
      if (typeof domain !== "object" || !("known" in domain) || domain.known.includes(word) || word === "other")
        continue;
      let others = this.#words.get(`${metric} ${attribute}`);
      if (others === undefined) this.#words.set(`${metric} ${attribute}`, (others = new Set()));
      if (others.size < domain.maxOthers && wordShape.test(word)) others.add(word);
      if (!others.has(word)) bounded[attribute] = "other";
    }
    return bounded;
  }

  /** The current series; gauges only if they were set in that fold. */
  #folded(fold: number): FoldedMetric[] {
    return Array.from(this.tables, ([name, table]) => table.folded(name, isCounter(name) ? 0 : fold)).filter(
      ({ name, values, retired }) =>
        values.some((value) => !Number.isNaN(value)) || (isCounter(name) && Object.keys(retired).length > 0),
    );
  }

  #newTables(): ReadonlyMap<Name, SeriesTable> {
    const limitOf = (name: Name): number =>
      unlimited.has(name) ? Number.POSITIVE_INFINITY : this.#config.metric_limit;
    return new Map(names.map((name) => [name, new SeriesTable(limitOf(name))]));
  }

  #table(name: Name): SeriesTable {
    return this.tables.get(name) as SeriesTable;
  }
}

function isCounter(name: Name): name is LedgerMetric {
  return metrics[name].kind === "counter";
}
