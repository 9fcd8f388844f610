/**
 * What has been counted since the last fold: arrays by edge, and a few bounded tables. Counting an entry allocates nothing
 * and costs about 40 ns; its size is bounded whatever comes in.
 */
import type { LedgerMetric } from "../catalogue/metrics.ts";
import { fieldCodes, fieldsCode } from "../catalogue/fields.ts";
import { attributesKey, type Count, type FlowClass, type NodePair, otherNode } from "../catalogue/increments.ts";
import { type EdgeBook, noPeer } from "../processors/edges.ts";
import { consistencyOf } from "../processors/flow-metrics.ts";
import { derpRelayIpv4 } from "../records/address.ts";
import { addressAbsent, addressIpv4, addressIpv6, type FlowColumns, trafficTypes } from "../records/flow/columns.ts";
import { memberKinds, Reached } from "./reached.ts";

/** Nodes with exit traffic told apart in one interval; the others count as `__other__`. */
const maxExitNodes = 1_000;

const exitTraffic = trafficTypes.indexOf("exit");
const physicalTraffic = trafficTypes.indexOf("physical");

/** What an edge carried and, last, the port it reached last: neighbouring numbers of `sums`, one cache line at most. */
export const sumsPerEdge = 6;
export const lastPortPlace = 5;
const firstEdges = 1024;

/** An edge that was seen, by what it is called. */
export interface SeenEdge {
  readonly edge: number;
  readonly pair: NodePair;
  readonly class: FlowClass;
}

export class Interval {
  /** Entries, sent and received bytes, sent and received packets, and the last port, by edge. */
  sums = new Float64Array(firstEdges * sumsPerEdge);
  readonly seen: SeenEdge[] = [];
  readonly counts = new Map<string, Count>();
  readonly reached = new Reached();
  /** Entries by `fieldsCode`. */
  readonly fields = new Float64Array(fieldCodes);
  /** Records by whether they name their own node. */
  readonly reporters = { match: 0, mismatch: 0, missing_reference: 0 };
  /** Sent and received bytes, sent and received packets, by the label of the reporting node; empty: hidden. */
  readonly exits = new Map<string, Float64Array>();
  /** That of the book by which the edges here are numbered. */
  #generation: number | undefined;

  count(metric: LedgerMetric, attributes: Readonly<Record<string, string>>, value: number): void {
    if (value === 0) return;
    const key = `${metric}\u0002${attributesKey(attributes)}`;
    const known = this.counts.get(key);
    if (known === undefined) this.counts.set(key, { metric, attributes, value });
    else known.value += value;
  }

  /**
   * Counts the entries of all records but the dropped ones (a byte of 1 per record).
   * @throws {Error} if the book numbers its edges anew in the middle of an interval: the sums would mix them up.
   */
  addFlows(columns: FlowColumns, dropped: Uint8Array | undefined, edges: EdgeBook): void {
    this.#generation ??= edges.generation;
    if (this.#generation !== edges.generation) throw new Error("flows were counted by edges of two generations");
    for (let record = 0; record < columns.records; record++) {
      if (dropped !== undefined && dropped[record] === 1) continue;
      this.reporters[consistencyOf(columns, record)]++;
      this.#addEntries(columns, record, edges);
      const exitNode = columns.exitNode[record];
      if (exitNode !== undefined) this.#addExit(columns, record, exitNode);
    }
  }

  #addEntries(columns: FlowColumns, record: number, edges: EdgeBook): void {
    const { traffic, protocol, ends, leftOut, destination, sourcePort, destinationPort, edge: edgeOf } = columns;
    const { txBytes, rxBytes, txPackets, rxPackets } = columns;
    const { sourceOf, peerOf } = edges;
    const { fields, reached } = this;
    const end = columns.firstEntry[record + 1] as number;
    for (let entry = columns.firstEntry[record] as number; entry < end; entry++) {
      if (leftOut[entry] !== 0) continue;
      const edge = edgeOf[entry] as number;
      const at = edge * sumsPerEdge;
      if (at >= this.sums.length) this.#grow(edge);
      const { sums } = this;
      const peer = peerOf[edge] as number;
      const isNew = sums[at] === 0;
      if (isNew) this.#meet(edge, peer, edges);
      sums[at] = (sums[at] as number) + 1;
      sums[at + 1] = (sums[at + 1] as number) + (txBytes[entry] as number);
      sums[at + 2] = (sums[at + 2] as number) + (rxBytes[entry] as number);
      sums[at + 3] = (sums[at + 3] as number) + (txPackets[entry] as number);
      sums[at + 4] = (sums[at + 4] as number) + (rxPackets[entry] as number);

      const kind = traffic[entry] as number;
      const tags = ends[entry] as number;
      const address = destination[entry] as number;
      const isRelay = kind === physicalTraffic && tags >> 2 === addressIpv4 && address === derpRelayIpv4;
      const port = isRelay ? 0 : (destinationPort[entry] as number);
      const code = fieldsCode(kind, protocol[entry] as number, tags, sourcePort[entry] as number, port);
      fields[code] = (fields[code] as number) + 1;

      if (peer === noPeer || (tags & 3) === addressAbsent || tags >> 2 === addressAbsent || isRelay) continue;
      const place = reached.knownPlace(sourceOf[edge] as number);
      if (place === 0) continue;
      // An edge has one port most of the time: looking it up again costs a cache miss, 0.1 µs.
      if (port !== 0 && sums[at + lastPortPlace] !== port) {
        reached.reach(place, memberKinds.port, port);
        sums[at + lastPortPlace] = port;
      }
      if (peer === 0) this.#reachAddress(place, tags >> 2, address, columns);
    }
  }

  /** An edge that is new in this interval. A peer that has a name of its own is counted here, once. */
  #meet(edge: number, peer: number, edges: EdgeBook): void {
    const pair = edges.pair(edge);
    this.seen.push({ edge, pair, class: edges.classOf(edge) });
    if (peer === noPeer) return;
    const place = this.reached.placeOf(edges.sourceOf[edge] as number, pair.source);
    if (place !== 0 && peer !== 0) this.reached.reach(place, memberKinds.name, peer);
  }

  #reachAddress(place: number, tag: number, address: number, { ipv6, addressTexts }: FlowColumns): void {
    if (tag === addressIpv4) this.reached.reach(place, memberKinds.ipv4, address);
    else if (tag === addressIpv6) this.reached.reachIpv6(place, ipv6, address * 4);
    else this.reached.reachText(place, addressTexts[address] ?? "");
  }

  #addExit(columns: FlowColumns, record: number, exitNode: string): void {
    const { traffic, leftOut } = columns;
    const sums = this.#exitSumsOf(exitNode);
    const end = columns.firstEntry[record + 1] as number;
    for (let entry = columns.firstEntry[record] as number; entry < end; entry++) {
      if (traffic[entry] !== exitTraffic || leftOut[entry] !== 0) continue;
      sums[0] = (sums[0] as number) + (columns.txBytes[entry] as number);
      sums[1] = (sums[1] as number) + (columns.rxBytes[entry] as number);
      sums[2] = (sums[2] as number) + (columns.txPackets[entry] as number);
      sums[3] = (sums[3] as number) + (columns.rxPackets[entry] as number);
    }
  }

  #exitSumsOf(exitNode: string): Float64Array {
    const known = this.exits.get(exitNode);
    if (known !== undefined) return known;
    const label = this.exits.size < maxExitNodes ? exitNode : otherNode;
    let sums = this.exits.get(label);
    if (sums === undefined) this.exits.set(label, (sums = new Float64Array(4)));
    return sums;
  }

  #grow(edge: number): void {
    const { sums } = this;
    this.sums = new Float64Array(Math.max(sums.length * 2, (edge + 1) * sumsPerEdge));
    this.sums.set(sums);
  }
}
