/**
 * What has been counted since the last fold: arrays by edge, and a few bounded tables. Counting an entry allocates nothing
 * and costs about 40 ns; the size is bounded whatever is received.
 */
import { count, type FlowClass, type NodePair, noIncrements, otherNode } from "../catalogue/increments.ts";
import { type EdgeBook, noPeer, ownExit, peerByAddress } from "../processors/edges.ts";
import { consistencyOf, fieldCodes, fieldsCode } from "../processors/flow-metrics.ts";
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

/** An edge that was seen, with its names. */
export interface SeenEdge {
  readonly edge: number;
  readonly pair: NodePair;
  readonly class: FlowClass;
}

export class Interval {
  /** Counts by metric and attribute set; the caller bounds their number. */
  readonly increments = noIncrements();
  /** Entries, sent and received bytes, sent and received packets, and the last port, by edge. */
  sums = new Float64Array(firstEdges * sumsPerEdge);
  readonly seen: SeenEdge[] = [];
  readonly reached = new Reached();
  /** Entries by `fieldsCode`. */
  readonly fields = new Float64Array(fieldCodes);
  /** Sent and received bytes, sent and received packets, by the label of the reporting node; empty: hidden. */
  readonly exits = new Map<string, Float64Array>();
  /** The edge book's, by which the edges here are numbered. */
  #generation: number | undefined;

  /**
   * Counts the entries of all records but the dropped ones (a byte of 1 per record).
   * @throws {Error} if the book numbers its edges anew in the middle of an interval: the sums would mix them up.
   */
  addFlows(columns: FlowColumns, dropped: Uint8Array | undefined, edges: EdgeBook): void {
    this.#generation ??= edges.generation;
    if (this.#generation !== edges.generation) throw new Error("flows were counted by edges of two generations");
    const reporters = { match: 0, mismatch: 0, missing_reference: 0 };
    for (let record = 0; record < columns.records; record++) {
      if (dropped !== undefined && dropped[record] === 1) continue;
      reporters[consistencyOf(columns, record)]++;
      this.#addEntries(columns, record, edges);
    }
    for (const [consistency, records] of Object.entries(reporters) as [keyof typeof reporters, number][])
      count(this.increments, "tailscale.network.reporter.observations", { consistency }, records);
  }

  #addEntries(columns: FlowColumns, record: number, edges: EdgeBook): void {
    const { traffic, protocol, ends, leftOut, destination, sourcePort, destinationPort, edge: edgeOf } = columns;
    const { txBytes, rxBytes, txPackets, rxPackets } = columns;
    const { sourceOf, peerOf } = edges;
    const { fields, reached } = this;
    const exitNode = columns.exitNode[record];
    const exitSums = exitNode === undefined ? undefined : this.#exitSumsOf(exitNode);
    const end = columns.firstEntry[record + 1] as number;
    for (let entry = columns.firstEntry[record] as number; entry < end; entry++) {
      if (leftOut[entry] !== 0) continue;
      const edgeAndExit = edgeOf[entry] as number;
      const edge = edgeAndExit & (ownExit - 1);
      const at = edge * sumsPerEdge;
      if (at >= this.sums.length) this.#grow(edge);
      const { sums } = this;
      const peer = peerOf[edge] as number;
      if (sums[at] === 0) this.#begin(edge, peer, edges);
      sums[at] = (sums[at] as number) + 1;
      sums[at + 1] = (sums[at + 1] as number) + (txBytes[entry] as number);
      sums[at + 2] = (sums[at + 2] as number) + (rxBytes[entry] as number);
      sums[at + 3] = (sums[at + 3] as number) + (txPackets[entry] as number);
      sums[at + 4] = (sums[at + 4] as number) + (rxPackets[entry] as number);

      const kind = traffic[entry] as number;
      if (kind === exitTraffic && exitSums !== undefined && edgeAndExit < ownExit) {
        exitSums[0] = (exitSums[0] as number) + (txBytes[entry] as number);
        exitSums[1] = (exitSums[1] as number) + (rxBytes[entry] as number);
        exitSums[2] = (exitSums[2] as number) + (txPackets[entry] as number);
        exitSums[3] = (exitSums[3] as number) + (rxPackets[entry] as number);
      }
      const tags = ends[entry] as number;
      const address = destination[entry] as number;
      const isRelay = kind === physicalTraffic && tags >> 2 === addressIpv4 && address === derpRelayIpv4;
      const port = isRelay ? 0 : (destinationPort[entry] as number);
      const code = fieldsCode(kind, protocol[entry] as number, tags, sourcePort[entry] as number, port);
      fields[code] = (fields[code] as number) + 1;

      if (peer === noPeer || (tags & 3) === addressAbsent || tags >> 2 === addressAbsent || isRelay) continue;
      const source = sourceOf[edge] as number;
      // An edge has one port most of the time: looking it up again costs a cache miss, 0.1 µs.
      if (port !== 0 && sums[at + lastPortPlace] !== port) {
        reached.reach(source, memberKinds.port, port);
        sums[at + lastPortPlace] = port;
      }
      if (peer === peerByAddress) this.#reachAddress(source, tags >> 2, address, columns);
    }
  }

  /** The first entry of an edge in this interval. A peer with a name of its own is counted here, once. */
  #begin(edge: number, peer: number, edges: EdgeBook): void {
    const pair = edges.pair(edge);
    this.seen.push({ edge, pair, class: edges.classOf(edge) });
    if (peer === noPeer) return;
    const source = edges.sourceOf[edge] as number;
    this.reached.addSource(source, pair.source);
    if (peer !== peerByAddress) this.reached.reach(source, memberKinds.name, peer);
  }

  #reachAddress(source: number, tag: number, address: number, { ipv6, addressTexts }: FlowColumns): void {
    if (tag === addressIpv4) this.reached.reach(source, memberKinds.ipv4, address);
    else if (tag === addressIpv6) this.reached.reachIpv6(source, ipv6, address * 4);
    else this.reached.reachText(source, addressTexts[address] ?? "");
  }

  #exitSumsOf(exitNode: string): Float64Array {
    const label = this.exits.has(exitNode) || this.exits.size < maxExitNodes ? exitNode : otherNode;
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
