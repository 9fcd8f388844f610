/**
 * What the series gain by an interval: counts as they are, and flows by pair and class. In the roll-up the pairs that
 * carried most keep their names, and the rest is summed up by class, so that totals stay exact.
 */
import type { Config } from "../config/schema.ts";
import type { LedgerMetric } from "../catalogue/metrics.ts";
import { fieldObservations } from "../catalogue/fields.ts";
import { type FlowClass, type NodePair, otherNode } from "../catalogue/increments.ts";
import { type Interval, type SeenEdge, lastPortPlace, sumsPerEdge } from "./interval.ts";

/** What one series gains. */
export interface Gain {
  readonly metric: LedgerMetric;
  readonly attributes: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Nothing: a place at which a reader may pause, so that no step is long. */
export type Pause = undefined;

export type FlowSettings = Config["cardinality"]["flow"];

/** What `flowGains` gives; all else is in `countGains`. */
export const flowMetrics: ReadonlySet<LedgerMetric> = new Set<LedgerMetric>([
  "tailscale.network.flows",
  "tailscale.network.io",
  "tailscale.network.packets",
  "tailscale.network.io.rollup",
  "tailscale.network.packets.rollup",
]);

/** What is counted beside the flows. */
export function* countGains(interval: Interval): Generator<Gain> {
  for (const { metric, attributes, value } of interval.counts.values()) yield { metric, attributes, value };
  for (const [code, entries] of interval.fields.entries()) {
    if (entries === 0) continue;
    for (const attributes of fieldObservations(code)) {
      yield { metric: "tailscale.network.field.observations", attributes: { ...attributes }, value: entries };
    }
  }
  for (const [consistency, records] of Object.entries(interval.reporters)) {
    yield { metric: "tailscale.network.reporter.observations", attributes: { consistency }, value: records };
  }
  for (const [label, sums] of interval.exits) {
    const node = label === "" ? {} : { "tailscale.exit_node": label };
    yield* byDirection("tailscale.exit_node.io", "tailscale.exit_node.packets", node, sums, 0);
  }
}

/** What the flows add, always in the same order for the same interval. */
export function* flowGains(interval: Interval, settings: FlowSettings): Generator<Gain | Pause> {
  const { seen, sums } = interval;
  const entries = new Map<FlowClass, number>();
  for (const { edge, class: flowClass } of seen) {
    entries.set(flowClass, (entries.get(flowClass) ?? 0) + (sums[edge * sumsPerEdge] as number));
  }
  yield undefined;
  for (const [{ transport, traffic }, value] of entries) {
    const attributes = { "network.transport": transport, "tailscale.traffic_type": traffic };
    yield { metric: "tailscale.network.flows", attributes, value };
  }
  if (settings.metrics_mode !== "rollup") {
    for (const { edge, pair, class: flowClass } of seen) {
      const attributes = flowAttributes(pair, flowClass);
      yield* byDirection("tailscale.network.io", "tailscale.network.packets", attributes, sums, edge * sumsPerEdge + 1);
    }
  }
  if (settings.metrics_mode !== "all") yield* rollUp(interval, settings);
}

interface RankedPair {
  readonly pair: NodePair;
  /** Both directions together. */
  bytes: number;
  readonly edges: SeenEdge[];
}

const edgesPerStep = 2048;

function* rollUp({ seen, sums }: Interval, settings: FlowSettings): Generator<Gain | Pause> {
  const pairs = new Map<string, RankedPair>();
  for (const [index, one] of seen.entries()) {
    const { edge, pair } = one;
    let ranked = pairs.get(pair.key);
    if (ranked === undefined) pairs.set(pair.key, (ranked = { pair, bytes: 0, edges: [] }));
    const at = edge * sumsPerEdge;
    ranked.bytes += (sums[at + 1] as number) + (sums[at + 2] as number);
    ranked.edges.push(one);
    if (index % edgesPerStep === 0) yield undefined;
  }
  const inOrder = [...pairs.values()].sort(byBytes);
  yield undefined;
  const rest = new Map<FlowClass, Float64Array>();
  let named = 0;
  for (const { pair, edges } of inOrder) {
    const isNamed = named < settings.rollup_top_n && !isOther(pair);
    if (isNamed) named++;
    else yield undefined;
    for (const { edge, class: flowClass } of edges) {
      const bare = flowClass.withoutPorts ?? flowClass;
      if (isNamed) yield* rolledUpGains(pair, bare, sums, edge * sumsPerEdge);
      else addToRest(rest, bare, sums, edge * sumsPerEdge);
    }
  }
  const other = settings.node_dims ? otherNode : undefined;
  const otherPair = { key: "", source: other, destination: other, identity: undefined };
  for (const [flowClass, restSums] of rest) yield* rolledUpGains(otherPair, flowClass, restSums, 0);
}

const rolledUpGains = (pair: NodePair, flowClass: FlowClass, sums: Float64Array, at: number) =>
  byDirection(
    "tailscale.network.io.rollup",
    "tailscale.network.packets.rollup",
    flowAttributes(pair, flowClass),
    sums,
    at + 1,
  );

/** Pairs that found no room in the edge book are none to be ranked. */
function isOther({ source, destination }: NodePair): boolean {
  return source === otherNode && destination === otherNode;
}

function byBytes(a: RankedPair, b: RankedPair): number {
  return b.bytes - a.bytes || (a.pair.key < b.pair.key ? -1 : 1);
}

function addToRest(rest: Map<FlowClass, Float64Array>, flowClass: FlowClass, sums: Float64Array, at: number): void {
  let into = rest.get(flowClass);
  if (into === undefined) rest.set(flowClass, (into = new Float64Array(sumsPerEdge)));
  for (let place = 0; place < lastPortPlace; place++) {
    into[place] = (into[place] as number) + (sums[at + place] as number);
  }
}

/** Bytes and packets by direction, from four neighbouring sums: sent and received bytes, sent and received packets. */
function* byDirection(
  bytes: LedgerMetric,
  packets: LedgerMetric,
  shared: Gain["attributes"],
  sums: Float64Array,
  at: number,
): Generator<Gain> {
  const transmit = { "network.io.direction": "transmit", ...shared };
  const receive = { "network.io.direction": "receive", ...shared };
  yield { metric: bytes, attributes: transmit, value: sums[at] as number };
  yield { metric: bytes, attributes: receive, value: sums[at + 1] as number };
  yield { metric: packets, attributes: transmit, value: sums[at + 2] as number };
  yield { metric: packets, attributes: receive, value: sums[at + 3] as number };
}

function flowAttributes({ source, destination, identity }: NodePair, flowClass: FlowClass): Gain["attributes"] {
  const { transport, traffic, service, path, derpRegion, ports } = flowClass;
  return {
    "network.transport": transport,
    "tailscale.traffic_type": traffic,
    ...(source === undefined ? {} : { "tailscale.src.node": source }),
    ...(destination === undefined ? {} : { "tailscale.dst.node": destination }),
    ...(service === undefined ? {} : { "tailscale.dst.service": service }),
    ...(path === undefined ? {} : { "tailscale.path": path }),
    ...(derpRegion === undefined ? {} : { "tailscale.derp.region_id": derpRegion }),
    ...identity,
    ...(ports?.source === undefined ? {} : { "source.port": ports.source }),
    ...(ports?.destination === undefined ? {} : { "destination.port": ports.destination }),
  };
}
