/**
 * The ledger: cumulative counters that survive restarts. It gathers what commits add, folds it into series on a timer, and
 * shows readers a fold only once its snapshot is committed: whatever was exported can be found again on disk.
 */
import { setImmediate as afterOthers } from "node:timers/promises";
import type { AttributesOf, IntervalMetric, LedgerMetric } from "../catalogue/metrics.ts";
import type { Config } from "../config/schema.ts";
import type { Logger } from "../lib/logger.ts";
import type { Increments } from "../catalogue/increments.ts";
import type { Journal } from "../journal/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import type { FlowColumns } from "../records/flow/columns.ts";
import { countGains, flowGains, flowMetrics, type Gain } from "./gains.ts";
import { Interval } from "./interval.ts";
import type { FoldedMetric, FoldTime, LedgerAttributes } from "./series.ts";
import { ledgerMetrics, Totals } from "./totals.ts";
import { Words } from "./words.ts";

export {
  type AttributeChunk,
  type FoldedMetric,
  type LedgerAttributes,
  seriesOf,
  setsPerChunk,
  unpackSets,
} from "./series.ts";

/** A committed fold: all that readers see of the ledger. */
export interface Fold {
  /** Epoch milliseconds; strictly rising, unless the clock was set back by minutes. */
  readonly at: number;
  /** When the fold before was taken: a series that starts there began with this one. */
  readonly since: number | undefined;
  readonly metrics: readonly FoldedMetric[];
}

export interface LedgerDeps {
  readonly journal: Pick<
    Journal,
    "identity" | "cursor" | "readSnapshot" | "writeSnapshot" | "beginSeriesAnew" | "settleLoss"
  >;
  readonly logger: Logger;
}

/** A clock that is further back than this was set, and is believed. */
const clockToleranceMs = 300_000;

/** A fold works for this long before others get a turn. */
const stepMs = 5;

/** The interval that a fold takes in, and how many of its gains are in the totals by now. */
interface Absorbing {
  readonly interval: Interval;
  absorbed: number;
}

export class Ledger {
  readonly #config: Config["cardinality"];
  readonly #deps: LedgerDeps;
  /** Folds without a value after which a series is retired. */
  readonly #idleFolds: number;
  readonly #words = new Words(ledgerMetrics);
  #totals: Totals;
  #interval = new Interval();
  #absorbing: Absorbing | undefined;
  #edges: EdgeBook | undefined;
  /** Rows up to here are in the totals or in the open interval. */
  measuredSeq: number;
  #missedReached = 0;
  /** The number of the last committed fold. */
  #fold = 0;
  /** The last committed fold. */
  shown: Fold;
  #folding: Promise<Fold> | undefined;

  /** Begins where the journal's last snapshot stands. */
  constructor(config: Pick<Config, "cardinality" | "otlp">, deps: LedgerDeps) {
    this.#config = config.cardinality;
    this.#deps = deps;
    this.#idleFolds = Math.max(1, Math.ceil(config.cardinality.series_ttl / config.otlp.metric_interval));
    this.#totals = new Totals(config.cardinality.metric_limit);
    const { measuredSeq, blobs } = deps.journal.readSnapshot();
    this.measuredSeq = measuredSeq;
    const times = this.#totals.restore(blobs, deps.logger);
    this.#fold = times?.fold ?? 0;
    this.shown = {
      at: times?.at ?? deps.journal.identity.createdAt,
      since: times?.since,
      metrics: this.#totals.folded(this.#fold),
    };
    for (const [metric, attributes] of this.#totals.attributeSets()) this.#words.restore(metric, attributes);
  }

  /** Everything up to `seq` has been added. */
  measured(seq: number): void {
    this.measuredSeq = Math.max(this.measuredSeq, seq);
  }

  /**
   * Adds the flow records of a commit but the dropped ones (a byte of 1 per record). `columns.edge` and `columns.exitNode`
   * are filled with edges of the book's current generation.
   */
  addFlows(columns: FlowColumns, dropped: Uint8Array | undefined, edges: EdgeBook): void {
    this.#edges = edges;
    this.#interval.addFlows(columns, dropped, edges);
  }

  count<Name extends LedgerMetric>(metric: Name, attributes: AttributesOf<Name>, value: number): void {
    this.#count(metric, attributes as Readonly<Record<string, string>>, value);
  }

  /** Adds what the other records of a commit count. */
  add(increments: Increments): void {
    for (const { metric, attributes, value } of increments.counts.values()) this.#count(metric, attributes, value);
  }

  /** The sum of a metric over the series with these attributes, this very moment: exact also while a fold is under way. */
  sum(metric: LedgerMetric, attributes: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(attributes);
    const matches = (found: LedgerAttributes): boolean => wanted.every(([name, value]) => found[name] === value);
    const gained = (interval: Interval, from: number): number => {
      let [place, sum] = [0, 0];
      for (const gain of flowMetrics.has(metric) ? this.#gainsOf(interval) : countGains(interval)) {
        if (place++ >= from && gain?.metric === metric && matches(gain.attributes)) sum += gain.value;
      }
      return sum;
    };
    const left = this.#absorbing === undefined ? 0 : gained(this.#absorbing.interval, this.#absorbing.absorbed);
    return this.#totals.sum(metric, matches) + left + gained(this.#interval, 0);
  }

  /** Series held now, by metric. */
  activeSeries(): ReadonlyMap<LedgerMetric, number> {
    return this.#totals.activeSeries();
  }

  /** New attribute sets that went into overflow series since this was last asked, by metric. */
  takeOverflowed(): ReadonlyMap<LedgerMetric | IntervalMetric, number> {
    const taken = this.#totals.takeOverflowed();
    if (this.#missedReached > 0) taken.set("tailscale.network.unique.dst_peers", this.#missedReached);
    this.#missedReached = 0;
    return taken;
  }

  /**
   * Folds what was counted until now into the totals, a few milliseconds at a time, and commits them; only then readers see
   * it. A call during a fold folds again after it. `now`: epoch milliseconds.
   * @throws {Unavailable} if the snapshot cannot be committed: nothing is shown then and nothing is lost, the next fold has
   * the same and more.
   */
  fold(now: number): Promise<Fold> {
    const before = this.#folding;
    const folding =
      before === undefined ? this.#foldOnce(now) : before.catch(() => undefined).then(() => this.#foldOnce(now));
    const ended = folding.finally(() => {
      if (this.#folding === ended) this.#folding = undefined;
    });
    this.#folding = ended;
    return ended;
  }

  async #foldOnce(now: number): Promise<Fold> {
    if (now < this.shown.at - clockToleranceMs) this.#beginAnew(now);
    const since = this.shown.at;
    const at = Math.max(now, since + 1);
    const measuredSeq = this.measuredSeq;
    const time: FoldTime = { fold: this.#fold + 1, startAt: since };
    const absorbing = this.#swap();
    let endsAt = performance.now() + stepMs;
    for (const _ of this.#steps(absorbing, time)) {
      if (performance.now() < endsAt) continue;
      await afterOthers();
      endsAt = performance.now() + stepMs;
    }
    const blobs = this.#totals.blobs({ fold: time.fold, at, since });
    this.#deps.journal.writeSnapshot({ measuredSeq, blobs });
    this.#totals.written();
    this.#fold = time.fold;
    this.shown = { at, since, metrics: this.#totals.folded(time.fold) };
    return this.shown;
  }

  /** What is counted from here on belongs to the next fold. */
  #swap(): Absorbing {
    const absorbing = { interval: this.#interval, absorbed: 0 };
    this.#absorbing = absorbing;
    this.#interval = new Interval();
    this.#edges?.renew();
    return absorbing;
  }

  /** The work of a fold but its commit, in steps after which something else may be done. */
  *#steps(absorbing: Absorbing, time: FoldTime): Generator<void> {
    const { interval } = absorbing;
    for (const gain of this.#gainsOf(interval)) {
      if (gain !== undefined) this.#totals.add(gain, time);
      absorbing.absorbed++;
      yield;
    }
    this.#absorbing = undefined;
    this.#missedReached += interval.reached.missed;
    let room = this.#config.metric_limit;
    for (const { source, peers, ports } of interval.reached.all()) {
      if (room-- <= 0) {
        this.#missedReached++;
        continue;
      }
      const attributes = source === undefined ? {} : { "tailscale.src.node": source };
      if (peers > 0) this.#totals.put("tailscale.network.unique.dst_peers", attributes, peers, time);
      if (ports > 0) this.#totals.put("tailscale.network.unique.dst_ports", attributes, ports, time);
      yield;
    }
    this.#putDelivery(time.fold);
    yield* this.#totals.tidy(time.fold, this.#idleFolds);
  }

  /**
   * Counters that log delivery keeps in its cursor. They are there with 0 from the first fold on, so that `increase()` sees
   * the first dead letter.
   */
  #putDelivery(fold: number): void {
    const { identity, cursor } = this.#deps.journal;
    const time = { fold, startAt: identity.createdAt };
    const { delivered, rejected, deadLettered } = cursor.logRecords;
    for (const [outcome, value] of Object.entries({ delivered, rejected, dead_lettered: deadLettered })) {
      this.#totals.put("tailscale2otel.export.log_records", { outcome }, value, time);
    }
    const deadLetters = { class: "dead_letter", reason: "undelivered" };
    this.#totals.put("tailscale2otel.quarantine.records", deadLetters, cursor.records.deadLettered, time);
  }

  /** The clock was set back: points at the old times would stand in the future until it catches up. */
  #beginAnew(now: number): void {
    const { journal, logger } = this.#deps;
    journal.beginSeriesAnew(now);
    const lastFold = new Date(this.shown.at).toISOString();
    logger.warn("the clock has gone back: all counters begin anew", {
      last_fold: lastFold,
      now: new Date(now).toISOString(),
    });
    this.#totals = new Totals(this.#config.metric_limit);
    this.shown = { at: now, since: undefined, metrics: [] };
    journal.settleLoss(this.sum("tailscale2otel.ingest.records", { outcome: "accepted" }));
  }

  #count(metric: LedgerMetric, attributes: Readonly<Record<string, string>>, value: number): void {
    this.#interval.count(metric, this.#words.settle(metric, attributes), value);
  }

  *#gainsOf(interval: Interval): Generator<Gain | undefined> {
    yield* countGains(interval);
    yield* flowGains(interval, this.#config.flow);
  }
}
