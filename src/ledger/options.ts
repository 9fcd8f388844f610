/** From the settings to the ledger's options. */
import type { Config } from "../config/schema.ts";
import type { LedgerOptions } from "./types.ts";

export function ledgerOptionsOf({ cardinality, otlp }: Config): LedgerOptions {
  return {
    metricsMode: cardinality.flow.metrics_mode,
    rollupTopN: cardinality.flow.rollup_top_n,
    metricLimit: cardinality.metric_limit,
    hasNodes: cardinality.flow.node_dims,
    idleFolds: Math.max(1, Math.ceil(cardinality.series_ttl / otlp.metric_interval)),
  };
}
