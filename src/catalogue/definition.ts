/** Defines what a metric is, with one function per kind, and how it is named in Prometheus. */

/** An attribute's values: a closed set, a set that may grow up to a limit, or any text, bounded by the series limit. */
export type AttributeDomain = readonly string[] | OpenWords | "text";

/** Known words and a limited number of others; beyond the limit the value is `other`. */
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
  readonly attributes: Attributes;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
  /** For a `total`: the journal or Tailscale stores it, so it continues after a restart. */
  readonly isStored?: true;
}

type Attributes = Readonly<Record<string, AttributeDomain>>;

// Each takes unit, description and attributes. A counter and a gauge of the ledger:
export const exact = definer("ledger", "counter");
export const exactGauge = definer("ledger", "gauge");
// Instruments of the process:
export const counter = definer("process", "counter");
export const total = definer("process", "total");
export const gauge = definer("process", "gauge");
export const upDown = definer("process", "updown");

/** A `total` that continues after a restart. */
export function stored<const Given extends Attributes>(unit: string, description: string, attributes: Given) {
  return { ...total(unit, description, attributes), isStored: true } as const;
}

export function histogram<const Given extends Attributes>(
  unit: string,
  description: string,
  buckets: readonly number[],
  attributes: Given,
) {
  return { origin: "process", kind: "histogram", unit, description, attributes, buckets } as const;
}

function definer<const Origin extends string, const Kind extends string>(origin: Origin, kind: Kind) {
  return <const Given extends Attributes>(unit: string, description: string, attributes: Given) =>
    ({ origin, kind, unit, description, attributes }) as const;
}

/** The words of a text, each with its own literal type. */
export function words<const Text extends string>(text: Text): Words<Text> {
  return text.split(" ") as unknown as Words<Text>;
}

/** Attributes with these names, which may hold any text. */
export function anyText<const Names extends string>(names: Names) {
  return Object.fromEntries(names.split(" ").map((name) => [name, "text"])) as Record<Words<Names>[number], "text">;
}

type Words<Text extends string> = Text extends `${infer Word} ${infer Rest}`
  ? readonly [Word, ...Words<Rest>]
  : readonly [Text];

/** Units as Prometheus names them when it translates OTLP. Units in braces are annotations, which it omits. */
const unitNames: Readonly<Record<string, string>> = { By: "bytes", s: "seconds" };

/**
 * The metric's name in Prometheus, by OTLP and on `/metrics` alike: `tailscale.network.io` is `tailscale_network_io_bytes_total`,
 * and a gauge of unit `1`, such as `tailscale2otel.up`, ends in `_ratio`. A unit that the name already has is not repeated.
 */
export function prometheusName(name: string, { kind, unit }: Pick<MetricDefinition, "kind" | "unit">): string {
  const base = prometheusLabel(name);
  const unitName = unit === "1" && kind === "gauge" ? "ratio" : unitNames[unit];
  const suffixes = [
    ...(unitName === undefined || base.split("_").includes(unitName) ? [] : [unitName]),
    ...(/^(counter|total)$/.test(kind) ? ["total"] : []),
  ];
  return [base, ...suffixes].join("_");
}

/** `network.io.direction` becomes `network_io_direction`. */
export function prometheusLabel(attribute: string): string {
  return attribute.replaceAll(/[^a-zA-Z0-9]+/g, "_");
}

/** True for metrics of the process as a whole, whichever tailnets it serves; their points name no tailnet. */
export function isOfProcess(name: string): boolean {
  return /^(?:process\.|tailscale\.\w+\.inflight$|tailscale2otel\.(?:up|build_info|admin\.rejected|(?:config|event_loop|tls)\..+)$)/.test(
    name,
  );
}
