/** What records add to the ledger's counters: flow edges by number, everything else as counts by attribute set. */
import type { AttributesOf, LedgerMetric } from "./metrics.ts";
import type { TrafficType } from "../records/flow/columns.ts";

/** What is exported of a connection besides its two nodes. */
export interface FlowClass {
  /** Tells classes apart. */
  readonly key: string;
  readonly transport: string;
  readonly traffic: TrafficType;
  /** Physical traffic only. */
  readonly path: "direct" | "derp" | undefined;
  readonly derpRegion: string | undefined;
  readonly service: string | undefined;
  /** Present if the settings ask for ports and the connection has any. */
  readonly ports: Ports | undefined;
  /** The same class without ports, if it has any. */
  readonly withoutPorts: FlowClass | undefined;
}

/** As text, since they are attributes of a metric. */
export interface Ports {
  readonly source: string | undefined;
  readonly destination: string | undefined;
}

/** The nodes of a connection as metrics show them, after privacy; an absent end is absent. */
export interface NodePair {
  /** Tells pairs apart, and an absent end from an empty name. */
  readonly key: string;
  readonly source: string | undefined;
  readonly destination: string | undefined;
  /** User, tags and system of both ends, if the settings ask for them. */
  readonly identity: Readonly<Record<string, string>> | undefined;
}

/** Stands for the nodes of connections that found no room in a bounded table. */
export const otherNode = "__other__";

/** What one counter of the ledger gains. */
export interface Count {
  readonly metric: LedgerMetric;
  readonly attributes: Readonly<Record<string, string>>;
  value: number;
}

/** Counts by metric and attribute set. */
export interface Increments {
  readonly counts: Map<string, Count>;
}

export function noIncrements(): Increments {
  return { counts: new Map() };
}

/** Adds to one counter. Attributes are given in the catalogue's order. */
export function count<Name extends LedgerMetric>(
  into: Increments,
  metric: Name,
  attributes: AttributesOf<Name>,
  value: number,
): void {
  if (value === 0) return;
  const found = attributes as Readonly<Record<string, string>>;
  const key = `${metric}\u0002${attributesKey(found)}`;
  const known = into.counts.get(key);
  if (known === undefined) into.counts.set(key, { metric, attributes: found, value });
  else known.value += value;
}

/** Adds up increments in place. `from` is left as it is. */
export function merge(into: Increments, from: Increments): void {
  for (const [key, gained] of from.counts) {
    const known = into.counts.get(key);
    if (known === undefined) into.counts.set(key, { ...gained });
    else known.value += gained.value;
  }
}

/** One text per attribute set, for maps. */
export function attributesKey(attributes: Readonly<Record<string, string | boolean>>): string {
  let key = "";
  for (const name in attributes) if (attributes[name] !== undefined) key += `${name}\u0001${attributes[name]}\u0002`;
  return key;
}
