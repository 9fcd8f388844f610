/**
 * Holds what has been counted since the last fold: arrays by edge, and a few bounded tables. Counting an entry allocates
 * nothing and costs about 40 ns; the size is bounded whatever is received.
 */
import { count, type FlowClass, type NodePair, noIncrements, otherNode } from "../catalogue/increments.ts";
import { type EdgeBook, noPeer, ownExit, peerByAddress } from "../processors/edges.ts";
import { consistencyOf, fieldCodes, fieldsCode } from "../processors/flow-metrics.ts";
import { hashOf, hashOfText, PackedTable } from "../processors/tables.ts";
import { derpRelayIpv4 } from "../records/address.ts";
import { addressAbsent, addressIpv4, addressIpv6, type FlowColumns, trafficTypes } from "../records/flow/columns.ts";
import { freeBuffer } from "../runtime/process.ts";

/** Nodes with exit traffic that are distinguished in one interval; the others count as `__other__`. */
const maxExitNodes = 1_000;

const exitTraffic = trafficTypes.indexOf("exit");
const physicalTraffic = trafficTypes.indexOf("physical");

/** Adjacent numbers of `sums` per edge, at most a cache line: what it carried and, at the end, the port it reached last. */
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
  /** The generation of the edge book that numbers the edges here. */
  #generation: number | undefined;

  /**
   * Counts the entries of all records except the dropped ones (a byte of 1 per record).
   * @throws {Error} if the book renumbers its edges in the middle of an interval, because the sums would mix them up.
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
      // An edge usually has one port, and looking it up again would cost a cache miss, 0.1 µs.
      if (port !== 0 && sums[at + lastPortPlace] !== port) {
        reached.reach(source, memberKinds.port, port);
        sums[at + lastPortPlace] = port;
      }
      if (peer === peerByAddress) this.#reachAddress(source, tags >> 2, address, columns);
    }
  }

  /** Notes the first entry of an edge in this interval. A peer with a name of its own is counted here, once. */
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

  /** Frees its memory. It must not be used again. */
  free(): void {
    freeBuffer(this.sums);
    this.reached.free();
  }

  #grow(edge: number): void {
    const { sums } = this;
    this.sums = new Float64Array(Math.max(sums.length * 2, (edge + 1) * sumsPerEdge));
    this.sums.set(sums);
    freeBuffer(sums);
  }
}

/** Source nodes that are distinguished, and peers and ports of all of them together. Later ones are not distinguished. */
const maxSources = 8_000;
const maxMembers = 262_144;

/** What a member is. In a key, its number is in the bits above the source's. */
export const memberKinds = { name: 1, ipv4: 2, ipv6: 3, text: 4, port: 5 } as const;

/** Bits of a key's second word: a source's number in the edge book, the kind, and 14 more bits of a hash. */
const sourceBits = 15;
const kindBits = 3;

/**
 * Counts the distinct peers and ports that each source node has reached in an interval, within bounds. One seeded table holds
 * them all, so that an entry costs one probe and allocates nothing.
 */
export class Reached {
  /** The names of the sources, by number. */
  readonly #names = new Map<number, string | undefined>();
  /** 1: has a name here; 2: no room. */
  readonly #isKnown = new Uint8Array(1 << sourceBits);
  readonly #peers = new Uint32Array(1 << sourceBits);
  readonly #ports = new Uint32Array(1 << sourceBits);
  readonly #members = new PackedTable(maxMembers, 0xffff_ffff);

  /** Sources, and observations of members, that found no room: the gauges are then lower bounds. */
  missed = 0;

  /** Makes room for a source by its number in the edge book. `name`: its label. */
  addSource(source: number, name: string | undefined): void {
    if (this.#isKnown[source] !== 0) return;
    const hasRoom = this.#names.size < maxSources;
    this.#isKnown[source] = hasRoom ? 1 : 2;
    if (hasRoom) this.#names.set(source, name);
    else this.missed++;
  }

  /** Records that a source has reached a member, which 32 bits and `more` distinguish from others of its kind. */
  reach(source: number, kind: (typeof memberKinds)[keyof typeof memberKinds], member: number, more = 0): void {
    if (this.#isKnown[source] !== 1) return;
    const head = ((((more << kindBits) | kind) << sourceBits) | source) >>> 0;
    if (this.#members.find(member, head) !== 0) return;
    if (!this.#members.add(member, head)) this.missed++;
    else if (kind === memberKinds.port) this.#ports[source] = (this.#ports[source] as number) + 1;
    else this.#peers[source] = (this.#peers[source] as number) + 1;
  }

  /** An IPv6 address of four words, by 46 bits of seeded hashes: nobody can construct two addresses that collide. */
  reachIpv6(source: number, words: Uint32Array, at: number): void {
    const [a, b, c, d] = [words[at], words[at + 1], words[at + 2], words[at + 3]] as [number, number, number, number];
    this.reach(source, memberKinds.ipv6, hashOf(hashOf(a, b), hashOf(c, d)) >>> 0, hashOf(hashOf(d, a), hashOf(b, c)));
  }

  reachText(source: number, text: string): void {
    this.reach(source, memberKinds.text, hashOfText(text) >>> 0, hashOfText(text, text.length));
  }

  free(): void {
    this.#members.free();
    for (const column of [this.#isKnown, this.#peers, this.#ports]) freeBuffer(column);
  }

  /** Every source that was seen. */
  *all(): Generator<{ readonly name: string | undefined; readonly peers: number; readonly ports: number }> {
    for (const [source, name] of this.#names)
      yield { name, peers: this.#peers[source] as number, ports: this.#ports[source] as number };
  }
}
