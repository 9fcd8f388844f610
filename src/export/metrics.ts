/** Exports the ledger's totals and the process's own instruments, once for each committed fold. */
import { AggregationTemporalityPreference, OTLPMetricExporterBase } from "@opentelemetry/exporter-metrics-otlp-http";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Encoding } from "./answer.ts";
import type { Random, Trouble } from "./backoff.ts";
import { createLedgerProducer, type ReadLedger } from "./ledger-producer.ts";
import { MetricDelegate } from "./metric-delegate.ts";
import { createChannel } from "./protocol.ts";
import { type ResourceAttributes, resourceOf, scopeOf } from "./resource.ts";
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
}

export interface MetricExportDeps {
  readonly send: Sender;
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
  /** A last export of the last fold, cut off at the deadline. */
  stop(deadlineMs: number): Promise<void>;
}

/** 100,000 series in one request are 21 MB, over the Collector's 20 MiB; this many are about one. */
const maxPointsPerRequest = 5_000;

/** The reader's own timer is set out of the way; a timer cannot be set beyond 2³¹−1 ms. */
const neverMs = 2_000_000_000;

export function createMetricExport(options: MetricExportOptions, deps: MetricExportDeps): MetricExport {
  const channel = createChannel(
    deps.send,
    { signal: "metrics", encoding: options.encoding, isSet: options.isSet },
    deps.logger,
  );
  const delegate = new MetricDelegate({ channel, clock: deps.clock, random: deps.random, logger: deps.logger });
  const exporter = new OTLPMetricExporterBase(delegate, {
    temporalityPreference: AggregationTemporalityPreference.CUMULATIVE,
  });
  const scope = scopeOf(options.version);
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: neverMs,
    exportTimeoutMillis: neverMs,
    maxExportBatchSize: maxPointsPerRequest,
    metricProducers: [createLedgerProducer(deps.ledger, scope)],
  });
  const provider = new MeterProvider({ resource: resourceOf(options.resource), readers: [reader] });
  let isStopped = false;

  async function exportNow(): Promise<void> {
    if (isStopped) return;
    delegate.supersede();
    await reader.forceFlush();
  }

  return {
    telemetry: options.selfMetrics ? createTelemetry(provider.getMeter(scope.name, scope.version)) : silentTelemetry,
    get trouble() {
      return delegate.outage.trouble;
    },
    exportNow,
    async stop(deadlineMs) {
      if (isStopped) return;
      const last = exportNow();
      isStopped = true;
      const deadline = setTimeout(() => delegate.abort(), deadlineMs);
      await last;
      clearTimeout(deadline);
      delegate.abort();
      await provider.shutdown();
    },
  };
}
