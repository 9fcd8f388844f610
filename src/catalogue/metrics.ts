/**
 * Every metric that can leave, defined once. Types, the ledger, the SDK's instruments and the reference page read it;
 * emitting what is not here does not compile. Names and rules: the signals page of the reference.
 */
import { apiMetrics } from "./api-metrics.ts";
import { auditMetrics } from "./audit-metrics.ts";
import { flowMetrics } from "./flow-metrics.ts";
import { ledgerMetrics } from "./ledger-metrics.ts";
import { processMetrics } from "./process-metrics.ts";
import { scrapeMetrics } from "./scrape-metrics.ts";
import { selfMetrics } from "./self-metrics.ts";

export type { AttributeDomain, MetricDefinition, OpenWords } from "./definition.ts";

export const metrics = {
  ...flowMetrics,
  ...auditMetrics,
  ...ledgerMetrics,
  ...processMetrics,
  ...selfMetrics,
  ...scrapeMetrics,
  ...apiMetrics,
} as const;

type Metrics = typeof metrics;

export type MetricName = keyof Metrics;

/** The names of one origin and kind. */
export type MetricNameOf<Origin extends string, Kind extends string = string> = {
  [Name in MetricName]: Metrics[Name] extends { origin: Origin; kind: Kind } ? Name : never;
}[MetricName];

/** Counters that the ledger keeps. */
export type LedgerMetric = MetricNameOf<"ledger", "counter">;

/** Gauges that the ledger gives for an interval. */
export type IntervalMetric = MetricNameOf<"ledger", "gauge">;

/** The attributes that a metric may carry; each may be absent. */
export type AttributesOf<Name extends MetricName> = {
  readonly [
    Key in keyof Metrics[Name]["attributes"]
  ]?: Metrics[Name]["attributes"][Key] extends readonly (infer Value)[] ? Value : string;
};
