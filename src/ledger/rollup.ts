/**
 * Adds to the series what a fold contains: counts unchanged, flows by pair of nodes and class, and the counters of log delivery.
 * In the roll-up the pairs with the most bytes keep their names and the rest is summed up by class, so that totals stay exact.
 */
import type { Config } from "../config/schema.ts";
import { type FlowClass, type NodePair, otherNode } from "../catalogue/increments.ts";
import { fieldObservations } from "../processors/flow-metrics.ts";
import type { LedgerMetric } from "../catalogue/metrics.ts";
import type { Journal, LogCursor } from "../journal/index.ts";
import type { FoldTime, SeriesTable } from "./series.ts";
import { type Interval, lastPortPlace, type SeenEdge, sumsPerEdge } from "./interval.ts";

type Attributes = Readonly<Record<string, string>>;

/** Adds to one series. */
export type Add = (metric: LedgerMetric, attributes: Attributes, value: number) => void;

/** Adds what was counted besides the flows: at most a few thousand series. */
export function addCounts(interval: Interval, add: Add): void {
  for (const { metric, attributes, value } of interval.increments.values()) add(metric, attributes, value);
  for (const [code, entries] of interval.fields.entries()) {
    if (entries === 0) continue;
    for (const attributes of fieldObservations(code))
      add("tailscale.network.field.observations", { ...attributes }, entries);
  }
  const addExit = byDirection(add, "tailscale.exit_node.io", "tailscale.exit_node.packets");
  for (const [node, sums] of interval.exits) addExit(node === "" ? {} : { "tailscale.exit_node": node }, sums, 0);
}

/** Adds the flows, always in the same order for the same interval, in steps of well under a millisecond. */
export function* addFlows(interval: Interval, settings: Config["cardinality"]["flow"], add: Add): Generator<void> {
  const { seen, sums } = interval;
  const entries = new Map<FlowClass, number>();
  for (const { edge, class: flowClass } of seen)
    entries.set(flowClass, (entries.get(flowClass) ?? 0) + (sums[edge * sumsPerEdge] as number));
  for (const [{ transport, traffic }, value] of entries) {
    add("tailscale.network.flows", { "network.transport": transport, "tailscale.traffic_type": traffic }, value);
    yield;
  }
  if (settings.metrics_mode !== "rollup") {
    const addEdge = byDirection(add, "tailscale.network.io", "tailscale.network.packets");
    for (const { edge, pair, class: flowClass } of seen) {
      addEdge(flowAttributes(pair, flowClass), sums, edge * sumsPerEdge + 1);
      yield;
    }
  }
  if (settings.metrics_mode !== "all") yield* rollUp(interval, settings, add);
}

type TableOf = (metric: LedgerMetric) => SeriesTable;

/**
 * Sets the counters that log delivery keeps in its cursors; they are read at each fold, not counted here. Series without a
 * destination are those of the primary one. All exist with 0 from the first fold on, so that `increase()` sees the first dead
 * letter.
 */
export function putDelivery(
  { identity, cursor, destinations }: Pick<Journal, "identity" | "cursor" | "destinations">,
  tableOf: TableOf,
  fold: number,
): void {
  put(tableOf, {}, cursor, { fold, startAt: identity.createdAt });
  for (const { name: destination, cursor: of, since: startAt, evicted, isRequired } of destinations) {
    put(tableOf, { destination }, of, { fold, startAt });
    if (!isRequired) tableOf("tailscale2otel.export.evicted").put({ destination }, evicted, { fold, startAt });
  }
}

function put(
  tableOf: TableOf,
  named: { readonly destination?: string },
  { logRecords: sums, records }: LogCursor,
  time: FoldTime,
): void {
  const logRecords = tableOf("tailscale2otel.export.log_records");
  logRecords.put({ outcome: "delivered", ...named }, sums.delivered, time);
  logRecords.put({ outcome: "rejected", ...named }, sums.rejected, time);
  logRecords.put({ outcome: "dead_lettered", ...named }, sums.deadLettered, time);
  const deadLetters = { class: "dead_letter", reason: "undelivered", ...named };
  tableOf("tailscale2otel.quarantine.records").put(deadLetters, records.deadLettered, time);
}

interface RankedPair {
  readonly pair: NodePair;
  /** Both directions together. */
  bytes: number;
  readonly edges: SeenEdge[];
}

function* rollUp({ seen, sums }: Interval, settings: Config["cardinality"]["flow"], add: Add): Generator<void> {
  const pairs = new Map<string, RankedPair>();
  for (const one of seen) {
    let ranked = pairs.get(one.pair.key);
    if (ranked === undefined) pairs.set(one.pair.key, (ranked = { pair: one.pair, bytes: 0, edges: [] }));
    const at = one.edge * sumsPerEdge;
    ranked.bytes += (sums[at + 1] as number) + (sums[at + 2] as number);
    ranked.edges.push(one);
    yield;
  }
  const inOrder = [...pairs.values()].sort((a, b) => b.bytes - a.bytes || (a.pair.key < b.pair.key ? -1 : 1));
  const addRolledUp = byDirection(add, "tailscale.network.io.rollup", "tailscale.network.packets.rollup");
  const rest = new Map<FlowClass, Float64Array>();
  let named = 0;
  for (const { pair, edges } of inOrder) {
    // Pairs that found no room in the edge book are not ranked.
    const isOther = pair.source === otherNode && pair.destination === otherNode;
    const isNamed = !isOther && named++ < settings.rollup_top_n;
    for (const { edge, class: flowClass } of edges) {
      const bare = flowClass.withoutPorts ?? flowClass;
      if (isNamed) addRolledUp(flowAttributes(pair, bare), sums, edge * sumsPerEdge + 1);
      else {
        let into = rest.get(bare);
        if (into === undefined) rest.set(bare, (into = new Float64Array(sumsPerEdge)));
        for (let place = 0; place < lastPortPlace; place++)
          into[place] = (into[place] as number) + (sums[edge * sumsPerEdge + place] as number);
      }
      yield;
    }
  }
  const other = settings.node_dims ? otherNode : undefined;
  const otherPair = { key: "", source: other, destination: other, identity: undefined };
  for (const [flowClass, restSums] of rest) {
    addRolledUp(flowAttributes(otherPair, flowClass), restSums, 1);
    yield;
  }
}

/** Adds four adjacent sums from `at` on: sent and received bytes, sent and received packets. */
function byDirection(add: Add, bytes: LedgerMetric, packets: LedgerMetric) {
  return (shared: Attributes, sums: Float64Array, at: number): void => {
    const transmit = { "network.io.direction": "transmit", ...shared };
    const receive = { "network.io.direction": "receive", ...shared };
    add(bytes, transmit, sums[at] as number);
    add(bytes, receive, sums[at + 1] as number);
    add(packets, transmit, sums[at + 2] as number);
    add(packets, receive, sums[at + 3] as number);
  };
}

function flowAttributes({ source, destination, identity }: NodePair, flowClass: FlowClass): Attributes {
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
