/** What there is to say about a metric, whoever keeps its values. */

/** An attribute is a closed set of values, or free text whose bound is the ledger's series limit. */
export type AttributeDomain = readonly string[] | "text";

export interface MetricDefinition {
  /** `ledger`: exact, from accepted records, survives restarts. `process`: an SDK instrument of this process. */
  readonly origin: "ledger" | "process";
  readonly kind: "counter" | "gauge" | "updown" | "histogram";
  /** UCUM. */
  readonly unit: string;
  readonly description: string;
  readonly attributes: Readonly<Record<string, AttributeDomain>>;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}
