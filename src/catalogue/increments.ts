/** What records add to the ledger's counters: flow edges by number, everything else as counts by attribute set. */
import type { TrafficType } from "../records/flow/columns.ts";
import type { AttributesOf, LedgerMetric } from "./metrics.ts";

/** The attributes of a connection besides its two nodes. */
export interface FlowClass {
  readonly transport: string;
  readonly traffic: TrafficType;
  /** Physical traffic only. */
  readonly path: "direct" | "derp" | undefined;
  readonly derpRegion: string | undefined;
  readonly service: string | undefined;
  /** As text, because they are attributes of a metric; present if the settings ask for ports and the connection has any. */
  readonly ports: { readonly source: string | undefined; readonly destination: string | undefined } | undefined;
  /** The same class without ports, if it has any. */
  readonly withoutPorts: FlowClass | undefined;
}

/** The nodes of a connection as metrics show them, after `privacy` is applied. */
export interface NodePair {
  /** Unique per pair; an absent end differs from an empty name. */
  readonly key: string;
  readonly source: string | undefined;
  readonly destination: string | undefined;
  /** User, tags and operating system of both ends, if the settings ask for them. */
  readonly identity: Readonly<Record<string, string>> | undefined;
}

/** Replaces the nodes of connections for which the table has no room. */
export const otherNode = "__other__";

/** How much one counter of the ledger increases. */
export interface Count {
  readonly metric: LedgerMetric;
  readonly attributes: Readonly<Record<string, string>>;
  value: number;
}

/** Counts by metric and attribute set. */
export type Increments = Map<string, Count>;

export function noIncrements(): Increments {
  return new Map();
}

/** Adds to one counter. Attributes are given in the catalogue's order. */
export function count<Name extends LedgerMetric>(
  into: Increments,
  metric: Name,
  attributes: AttributesOf<Name>,
  value: number,
): void {
  if (value !== 0) add(into, { metric, attributes: attributes as Readonly<Record<string, string>>, value });
}

/** Adds up increments in place; `from` is not changed. */
export function merge(into: Increments, from: Increments): void {
  for (const counted of from.values()) add(into, counted);
}

function add(counts: Increments, { metric, attributes, value }: Count): void {
  const key = `${metric}\u0002${attributesKey(attributes)}`;
  const known = counts.get(key);
  if (known === undefined) counts.set(key, { metric, attributes, value });
  else known.value += value;
}

/** A unique text per attribute set, as a map key. */
export function attributesKey(attributes: Readonly<Record<string, string | boolean>>): string {
  let key = "";
  for (const name in attributes) if (attributes[name] !== undefined) key += `${name}\u0001${attributes[name]}\u0002`;
  return key;
}
