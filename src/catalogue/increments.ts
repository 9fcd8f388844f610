/** What records add to the ledger's counters, in the form in which it is cheap to add up: merged by attribute set. */
import type { AttributesOf, LedgerMetric } from "./metrics.ts";

/** What is exported of a connection beside its ends. One object a class while it is remembered. */
export interface FlowClass {
  readonly key: string;
  readonly transport: string;
  readonly traffic: "virtual" | "subnet" | "exit" | "physical";
  readonly path: "direct" | "derp" | undefined;
  readonly derpRegion: string | undefined;
  readonly service: string | undefined;
  /** Where ports are asked for; each may be absent. */
  readonly ports: Ports | undefined;
  /** The same class without ports, where it has any. */
  readonly withoutPorts: FlowClass | undefined;
}

/** As text, since they are attributes of a metric. */
export interface Ports {
  readonly source: string | undefined;
  readonly destination: string | undefined;
}

/** The names of a connection's ends; absent is absent. One object a pair while it is remembered. */
export interface NodePair {
  readonly key: string;
  readonly source: string | undefined;
  readonly destination: string | undefined;
  /** The destination's own name, before anything is hidden; nothing where it is one that many addresses share. */
  readonly peer: string | undefined;
  /** User, tags and system of both ends, where they are asked for. */
  readonly identity: Readonly<Record<string, string>> | undefined;
}

/** A pair and a class: the attribute set that the flow metrics share, but for the direction. */
export interface FlowEdge {
  readonly pair: NodePair;
  readonly class: FlowClass;
}

/** Sums over connection entries. */
export interface FlowSums {
  entries: number;
  txBytes: number;
  rxBytes: number;
  txPackets: number;
  rxPackets: number;
}

/** What a counter of the ledger gains. */
export interface Count {
  readonly metric: LedgerMetric;
  readonly attributes: Readonly<Record<string, string>>;
  value: number;
}

/** What a source node has been seen to reach. */
export interface Reached {
  /** Names of nodes, and addresses of what has none. */
  readonly peers: Set<string>;
  readonly ports: Set<number>;
}

export interface Increments {
  readonly flows: Map<FlowEdge, FlowSums>;
  readonly counts: Map<string, Count>;
  /** By source node; under no name where nodes are not told apart. */
  readonly reached: Map<string | undefined, Reached>;
  /** Connection entries by what they carry: see `fieldsCode`. */
  readonly fields: number[];
}

export function noIncrements(): Increments {
  return { flows: new Map(), counts: new Map(), reached: new Map(), fields: [] };
}

/** Adds to one counter. Attributes are given in the catalogue's order. */
export function count<Name extends LedgerMetric>(
  into: Increments,
  metric: Name,
  attributes: AttributesOf<Name>,
  value: number,
): void {
  if (value === 0) return;
  const key = countKey(metric, attributes as Readonly<Record<string, string>>);
  const known = into.counts.get(key);
  if (known === undefined)
    into.counts.set(key, {
      metric,
      attributes: attributes as Readonly<Record<string, string>>,
      value,
    });
  else known.value += value;
}

/** Adds up increments in place. `from` is left as it is. */
export function merge(into: Increments, from: Increments): void {
  for (const [edge, sums] of from.flows) {
    const known = into.flows.get(edge);
    if (known === undefined) into.flows.set(edge, { ...sums });
    else addSums(known, sums);
  }
  for (const [key, gained] of from.counts) {
    const known = into.counts.get(key);
    if (known === undefined) into.counts.set(key, { ...gained });
    else known.value += gained.value;
  }
  for (const [source, { peers, ports }] of from.reached) {
    const known = reachedFrom(into, source);
    for (const peer of peers) known.peers.add(peer);
    for (const port of ports) known.ports.add(port);
  }
  addFields(into.fields, from.fields);
}

/** What a source node has reached, to be added to. */
export function reachedFrom({ reached }: Pick<Increments, "reached">, source: string | undefined): Reached {
  let known = reached.get(source);
  if (known === undefined) reached.set(source, (known = { peers: new Set(), ports: new Set() }));
  return known;
}

/** Adds entries by what they carry. */
export function addFields(into: number[], from: readonly number[]): void {
  from.forEach((entries, code) => {
    into[code] = (into[code] ?? 0) + entries;
  });
}

export function noSums(): FlowSums {
  return { entries: 0, txBytes: 0, rxBytes: 0, txPackets: 0, rxPackets: 0 };
}

export function addSums(into: FlowSums, from: FlowSums): void {
  into.entries += from.entries;
  into.txBytes += from.txBytes;
  into.rxBytes += from.rxBytes;
  into.txPackets += from.txPackets;
  into.rxPackets += from.rxPackets;
}

/** One text an attribute set, for maps. */
export function attributesKey(attributes: Readonly<Record<string, string | boolean>>): string {
  let key = "";
  for (const name in attributes) if (attributes[name] !== undefined) key += `${name}\u0001${attributes[name]}\u0002`;
  return key;
}

function countKey(metric: LedgerMetric, attributes: Readonly<Record<string, string>>): string {
  return `${metric}\u0002${attributesKey(attributes)}`;
}
