/** Builds PromQL from the catalogue; a metric, an attribute or a word that is not in it does not compile. */
import { type MetricDefinition, prometheusLabel, prometheusName } from "../../src/catalogue/definition.ts";
import { type AttributesOf, type MetricName, metrics } from "../../src/catalogue/metrics.ts";

/** Labels of every series: those of the target, and the tailnet. */
type Common = "job" | "instance" | "tailscale.tailnet";

type Attribute<Name extends MetricName> = Extract<keyof AttributesOf<Name>, string>;
type Word<Name extends MetricName, Key> = Key extends keyof AttributesOf<Name>
  ? NonNullable<AttributesOf<Name>[Key]>
  : never;

/** A word is matched by equality; `""` stands for an absent label. */
export type Where<Name extends MetricName> = {
  readonly [Key in Attribute<Name>]?:
    Word<Name, Key> | { readonly not: Word<Name, Key> | "" } | { readonly in: readonly Word<Name, Key>[] };
};

export type By<Name extends MetricName> = readonly (Attribute<Name> | Common)[];

export interface Options<Name extends MetricName> {
  readonly by?: By<Name>;
  readonly where?: Where<Name>;
  /** A range that replaces the usual one. */
  readonly over?: string;
}

/** `scope`: matchers of every series. `window`: the usual range. `keep`: labels that every aggregation keeps. */
export interface Setting {
  readonly scope: string;
  readonly window: string;
  readonly keep: readonly Common[];
}

/** A metric's name in Prometheus, as on the reference page. */
export function nameOf(name: MetricName): string {
  return prometheusName(name, metrics[name] as MetricDefinition);
}

export function labelOf(attribute: string): string {
  return prometheusLabel(attribute);
}

export function promql({ scope, window, keep }: Setting) {
  function series<Name extends MetricName>(name: Name, where: Where<Name> = {}, suffix = ""): string {
    const matchers = [...(scope === "" ? [] : [scope]), ...Object.entries(where).map(matcher)];
    return `${nameOf(name)}${suffix}${matchers.length === 0 ? "" : `{${matchers.join(",")}}`}`;
  }
  const by = (labels: readonly string[]): string => {
    const all = [...new Set([...keep, ...labels])].map(labelOf);
    return all.length === 0 ? "" : ` by (${all.join(", ")})`;
  };
  function aggregate<Name extends MetricName>(
    how: "max" | "min" | "sum" | "count",
    name: Name,
    options: Options<Name>,
  ) {
    return `${how}${by(options.by ?? [])} (${series(name, options.where)})`;
  }
  function ranged<Name extends MetricName>(of: string, name: Name, { by: labels = [], where, over }: Options<Name>) {
    return `sum${by(labels)} (${of}(${series(name, where)}[${over ?? window}]))`;
  }
  return {
    series,
    /** The rate per second. */
    rate: <Name extends MetricName>(name: Name, options: Options<Name> = {}) => ranged("rate", name, options),
    increase: <Name extends MetricName>(name: Name, options: Options<Name> = {}) => ranged("increase", name, options),
    max: <Name extends MetricName>(name: Name, options: Options<Name> = {}) => aggregate("max", name, options),
    min: <Name extends MetricName>(name: Name, options: Options<Name> = {}) => aggregate("min", name, options),
    sum: <Name extends MetricName>(name: Name, options: Options<Name> = {}) => aggregate("sum", name, options),
    count: <Name extends MetricName>(name: Name, options: Options<Name> = {}) => aggregate("count", name, options),
    /** A quantile of a histogram. */
    quantile<Name extends MetricName>(share: number, name: Name, { by: labels = [], where, over }: Options<Name> = {}) {
      const buckets = `rate(${series(name, where, "_bucket")}[${over ?? window}])`;
      return `histogram_quantile(${share}, sum${by([...labels, "le"])} (${buckets}))`;
    },
  };
}

function matcher([attribute, condition]: [string, unknown]): string {
  const label = labelOf(attribute);
  if (typeof condition === "string") return `${label}=${quoted(condition)}`;
  const { not, in: words = [] } = condition as { readonly not?: string; readonly in?: readonly string[] };
  return not === undefined ? `${label}=~${quoted(words.join("|"))}` : `${label}!=${quoted(not)}`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
