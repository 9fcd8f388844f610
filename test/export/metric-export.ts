/** Short notations for folds, and a metric export to a sink with timers that the test fires. */
import { type Logger, silentLogger } from "../../src/lib/logger.ts";
import { type Random, type Timer } from "../../src/export/outage.ts";
import { foldMessage, type FoldMessage } from "../../src/export/fold-points.ts";
import { MetricExport, type MetricExportDeps, type MetricReport } from "../../src/export/metrics.ts";
import { createInstruments, type Instruments } from "../../src/export/instruments.ts";
import type { Fold } from "../../src/ledger/index.ts";
import type { FoldedMetric, LedgerAttributes } from "../../src/ledger/series.ts";
import { SeriesTable } from "../../src/ledger/series.ts";
import { configWith, destinationAt, senderTo } from "./settings.ts";

export const resource = { "service.name": "tailscale2otel", "service.instance.id": "instance-1" };

/** A series of a fold. */
export interface Series {
  readonly attributes: LedgerAttributes;
  readonly value: number;
  readonly startAt?: number;
}

export const foldedAt = 1_800_000_060_125;

/** A metric of a fold. */
export function metricOf(name: FoldedMetric["name"], series: readonly Series[]): FoldedMetric {
  const table = new SeriesTable(1_000_000);
  for (const { attributes, value, startAt = 1_800_000_000_000 } of series)
    table.put(attributes, value, { fold: 1, startAt });
  for (const _ of table.pack());
  return table.folded(name, 0);
}

export function foldOf(metrics: readonly FoldedMetric[], change: Partial<Fold> = {}): Fold {
  return { at: foldedAt, since: undefined, metrics, ...change };
}

/** A fold of one metric with that many nodes, with values from `value` on. */
export function nodesFold(value: number, nodes = 1, name: FoldedMetric["name"] = "tailscale.network.io"): Fold {
  const series = Array.from({ length: nodes }, (_, node) => ({
    attributes: { "network.io.direction": "transmit", "tailscale.src.node": `node-${node}` },
    value: value + node,
  }));
  return foldOf([metricOf(name, series)]);
}

/** Timers that the test fires. */
export class HeldTimers {
  readonly waits: { readonly delayMs: number; readonly callback: () => void }[] = [];
  readonly #watching = new Set<() => void>();

  readonly timer: Timer = (delayMs, callback) => {
    const wait = { delayMs, callback };
    this.waits.push(wait);
    for (const check of this.#watching) check();
    return () => this.#remove(wait);
  };

  /** Resolves once that many timers are waiting. */
  until(count: number): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.waits.length < count) return;
        this.#watching.delete(check);
        resolve();
      };
      this.#watching.add(check);
      check();
    });
  }

  /** Fires the timers that wait no longer than that. */
  fire(upToMs = Number.POSITIVE_INFINITY): void {
    for (const wait of this.waits.filter(({ delayMs }) => delayMs <= upToMs)) {
      this.#remove(wait);
      wait.callback();
    }
  }

  #remove(wait: (typeof this.waits)[number]): void {
    const at = this.waits.indexOf(wait);
    if (at >= 0) this.waits.splice(at, 1);
  }
}

export interface TestExport {
  readonly instruments: Instruments;
  readonly timers: HeldTimers;
  readonly reports: MetricReport[];
  /** Log lines with their fields. */
  readonly lines: { readonly message: string; readonly fields: object | undefined }[];
  now: number;
  /** Posts a fold. Resolves when it is done; retries are left to the timers. */
  fold(fold: Fold): Promise<void>;
  /** Posts a fold unchanged. */
  post(message: FoldMessage): void;
  /** Resolves at the next report. */
  reported(): Promise<MetricReport>;
  stop(deadlineMs?: number): Promise<void>;
  /** Points reported so far, by outcome. */
  readonly points: Readonly<Record<"delivered" | "left_out" | "rejected", number>>;
}

const random: Random = () => 0;

export function startExport(
  url: string,
  change: Partial<MetricExportDeps> & { readonly self?: boolean } = {},
): TestExport {
  const reports: MetricReport[] = [];
  const lines: TestExport["lines"] = [];
  const timers = new HeldTimers();
  const waiting = new Set<(report: MetricReport) => void>();
  const note = (message: string, fields?: object): void => void lines.push({ message, fields });
  const logger: Logger = { ...silentLogger, warn: note, info: note };
  const { common = {} } = change;
  const self = { ...configWith().self_observability, enabled: change.self ?? false };
  const instruments = createInstruments(self, { resource, version: "1.2.3", common });
  const { send } = senderTo(destinationAt(url, { signal: "metrics", url: `${url}/v1/metrics` }));
  const metrics = new MetricExport({
    send,
    encoding: "json",
    resource,
    scope: { name: "tailscale2otel", version: "1.2.3" },
    common,
    clock: () => test.now,
    random,
    timer: timers.timer,
    logger,
    onReport(report) {
      reports.push(structuredClone(report));
      for (const resolve of waiting) resolve(report);
      waiting.clear();
    },
    onAcknowledged: () => undefined,
    ...change,
  });
  const reported = () => new Promise<MetricReport>((resolve) => void waiting.add(resolve));
  const test: TestExport = {
    instruments,
    timers,
    reports,
    lines,
    now: 1_000_000,
    async fold(fold) {
      const { scopeMetrics } = await instruments.collect();
      const message = structuredClone(foldMessage(fold, scopeMetrics));
      const next = reported();
      metrics.fold(message);
      await next;
    },
    post: (message) => metrics.fold(message),
    reported,
    async stop(deadlineMs = 1000) {
      await metrics.stop(deadlineMs);
      await instruments.stop();
    },
    get points() {
      const sums = { delivered: 0, left_out: 0, rejected: 0 };
      for (const { points } of reports) {
        sums.delivered += points.delivered;
        sums.left_out += points.left_out;
        sums.rejected += points.rejected;
      }
      return sums;
    },
  };
  return test;
}
