/** What there is to say about a metric, whoever keeps its values. */

/** An attribute is a closed set of values, a set that grows to a bound, or free text whose bound is the ledger's series limit. */
export type AttributeDomain = readonly string[] | OpenWords | "text";

/** Known words, and others as they come in, so many of them; what comes later is `other`. */
export interface OpenWords {
  readonly known: readonly string[];
  readonly maxOthers: number;
}

export interface MetricDefinition {
  /** `ledger`: exact, from accepted records, survives restarts. `process`: an SDK instrument of this process. */
  readonly origin: "ledger" | "process";
  /** `total`: a counter that is read when it is collected. */
  readonly kind: "counter" | "total" | "gauge" | "updown" | "histogram";
  /** UCUM. */
  readonly unit: string;
  readonly description: string;
  readonly attributes: Readonly<Record<string, AttributeDomain>>;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}
