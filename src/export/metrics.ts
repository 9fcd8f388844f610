/** The ledger's totals and the process's own instruments: exported once for each committed fold, and shown to whoever asks. */
import { AggregationTemporalityPreference, OTLPMetricExporterBase } from "@opentelemetry/exporter-metrics-otlp-http";
import { MeterProvider, type MetricProducer, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Encoding } from "./answer.ts";
import type { Random, Trouble } from "./backoff.ts";
import { createLedgerProducer, type ReadLedger } from "./ledger-producer.ts";
import { MetricDelegate } from "./metric-delegate.ts";
import { createChannel } from "./protocol.ts";
import { type ResourceAttributes, resourceOf, scopeOf } from "./resource.ts";
import { PullReader, scrape } from "./scrape.ts";
import type { Sender } from "./sender.ts";
import { createTelemetry } from "./telemetry.ts";

export interface MetricExportOptions {
  readonly resource: ResourceAttributes;
  readonly version: string;
  readonly encoding: Encoding;
  /** The operator has chosen the encoding. */
  readonly isSet: boolean;
  /** The process's own metrics are exported too. */
  readonly selfMetrics: boolean;
  /** Attributes of every point. */
  readonly common?: Readonly<Record<string, string>>;
}

export interface MetricExportDeps {
  /** Absent: nothing is exported, and metrics can only be asked for. */
  readonly send: Sender | undefined;
  readonly ledger: ReadLedger;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface MetricExport {
  readonly telemetry: Telemetry;
  /** What is wrong with the destination, if anything. */
  readonly trouble: Trouble | undefined;
  /** Exports the fold that has just been committed; what is still being tried of an older one is given up. Never throws. */
  exportNow(): Promise<void>;
  /** What there is to say now, in Prometheus' text form. */
  scrape(): Promise<string>;
  /** A last export of the last fold, tried once and cut off at the deadline. */
  stop(deadlineMs: number): Promise<void>;
}

/** 100,000 series in one request are 21 MB, over the Collector's 20 MiB; this many are about one. */
const maxPointsPerRequest = 5_000;

/** The reader's own timer is set out of the way; a timer cannot be set beyond 2³¹−1 ms. */
const neverMs = 2_000_000_000;

export function createMetricExport(options: MetricExportOptions, deps: MetricExportDeps): MetricExport {
  const scope = scopeOf(options.version);
  const { common = {} } = options;
  const producer = (hasZeroPoints: boolean) => createLedgerProducer(deps.ledger, scope, { common, hasZeroPoints });
  const puller = new PullReader([producer(false)]);
  const sending =
    deps.send === undefined ? undefined : createSending(options, { ...deps, send: deps.send }, producer(true));
  const readers = sending === undefined ? [puller] : [puller, sending.reader];
  const provider = new MeterProvider({ resource: resourceOf(options.resource), readers });
  let isStopped = false;

  async function exportNow(): Promise<void> {
    if (isStopped || sending === undefined) return;
    sending.delegate.supersede();
    await sending.reader.forceFlush();
  }

  return {
    telemetry: options.selfMetrics
      ? createTelemetry(provider.getMeter(scope.name, scope.version), common)
      : silentTelemetry,
    get trouble() {
      return sending?.delegate.outage.trouble;
    },
    exportNow,
    scrape: () => scrape(puller),
    async stop(deadlineMs) {
      if (isStopped) return;
      sending?.delegate.tryOnce();
      const last = exportNow();
      isStopped = true;
      const deadline = setTimeout(() => sending?.delegate.abort(), deadlineMs);
      await last;
      clearTimeout(deadline);
      sending?.delegate.abort();
      await provider.shutdown();
    },
  };
}

function createSending(
  { encoding, isSet }: MetricExportOptions,
  { send, clock, random, logger }: MetricExportDeps & { readonly send: Sender },
  producer: MetricProducer,
): { readonly delegate: MetricDelegate; readonly reader: PeriodicExportingMetricReader } {
  const channel = createChannel(send, { signal: "metrics", encoding, isSet }, logger);
  const delegate = new MetricDelegate({ channel, clock, random, logger });
  const exporter = new OTLPMetricExporterBase(delegate, {
    temporalityPreference: AggregationTemporalityPreference.CUMULATIVE,
  });
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: neverMs,
    exportTimeoutMillis: neverMs,
    maxExportBatchSize: maxPointsPerRequest,
    metricProducers: [producer],
  });
  return { delegate, reader };
}
