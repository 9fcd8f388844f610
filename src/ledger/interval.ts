/** What has been counted since the last fold, in a form whose size is bounded whatever comes in. */
import {
  addFields,
  addSums,
  type Count,
  type FlowClass,
  type FlowEdge,
  type FlowSums,
  type Increments,
  type NodePair,
  noSums,
} from "../catalogue/increments.ts";
import { ReachedPeers } from "./reached-peers.ts";

/** Pairs of nodes told apart in one interval; later ones go into the rest at once (measured: 170,000 map entries cost more than all parsing). */
const maxPairs = 8_000;

/** Classes of all pairs together; where ports are told apart there are many. Later ones go into the rest at once. */
const maxClasses = 65_536;

/** Classes of the rest; later ones lose service, path and region. */
const maxRestClasses = 8_192;

/** What one pair carried in the interval, by class. */
export interface PairSums {
  readonly pair: NodePair;
  /** Both directions together: what ranks it. */
  bytes: number;
  readonly classes: Map<string, ClassSums>;
}

export interface ClassSums {
  readonly class: FlowClass;
  readonly sums: FlowSums;
}

export class Interval {
  readonly pairs = new Map<string, PairSums>();
  /** What pairs beyond the bound carried. */
  readonly rest = new Map<string, ClassSums>();
  readonly counts = new Map<string, Count>();
  readonly reached = new ReachedPeers();
  /** Connection entries by what they carry. */
  readonly fields: number[] = [];
  /** Where an edge's sums stand: nearly every edge has been there before, and then one look-up is enough. */
  readonly #placed = new Map<FlowEdge, Place>();
  #classes = 0;

  get isEmpty(): boolean {
    return this.pairs.size === 0 && this.rest.size === 0 && this.counts.size === 0;
  }

  add(increments: Increments): void {
    for (const [edge, sums] of increments.flows) {
      const place = this.#placed.get(edge) ?? this.#place(edge);
      if (place.pair !== undefined) place.pair.bytes += sums.txBytes + sums.rxBytes;
      addSums(place.sums, sums);
    }
    for (const [key, gained] of increments.counts) {
      const known = this.counts.get(key);
      if (known === undefined) this.counts.set(key, { ...gained });
      else known.value += gained.value;
    }
    for (const [source, reached] of increments.reached) this.reached.add(source, reached);
    addFields(this.fields, increments.fields);
  }

  #place(edge: FlowEdge): Place {
    const place = this.#findPlace(edge);
    if (this.#placed.size >= maxPlaced) this.#placed.clear();
    this.#placed.set(edge, place);
    return place;
  }

  #findPlace({ pair, class: flowClass }: FlowEdge): Place {
    let ofPair = this.pairs.get(pair.key);
    if (ofPair === undefined) {
      if (this.pairs.size >= maxPairs) return { pair: undefined, sums: restSums(this.rest, flowClass) };
      this.pairs.set(pair.key, (ofPair = { pair, bytes: 0, classes: new Map() }));
    }
    let ofClass = ofPair.classes.get(flowClass.key);
    if (ofClass === undefined) {
      if (this.#classes >= maxClasses) return { pair: ofPair, sums: restSums(this.rest, flowClass) };
      this.#classes++;
      ofPair.classes.set(flowClass.key, (ofClass = { class: flowClass, sums: noSums() }));
    }
    return { pair: ofPair, sums: ofClass.sums };
  }
}

/** The sums that an edge adds to, and the pair that its bytes rank. */
interface Place {
  readonly pair: PairSums | undefined;
  readonly sums: FlowSums;
}

/** As many as are interned at a time. */
const maxPlaced = 65_536;

/** Adds sums to those of their class, without ports; where there are too many, without anything but transport and traffic. */
export function addToRest(rest: Map<string, ClassSums>, flowClass: FlowClass, sums: FlowSums): void {
  addSums(restSums(rest, flowClass), sums);
}

function restSums(rest: Map<string, ClassSums>, withPorts: FlowClass): FlowSums {
  const flowClass = withPorts.withoutPorts ?? withPorts;
  let known = rest.get(flowClass.key);
  if (known === undefined) {
    const kept = rest.size < maxRestClasses ? flowClass : bareClass(flowClass);
    known = rest.get(kept.key);
    if (known === undefined) rest.set(kept.key, (known = { class: kept, sums: noSums() }));
  }
  return known.sums;
}

function bareClass({ transport, traffic }: FlowClass): FlowClass {
  return {
    key: `${transport}\u0000${traffic}`,
    transport,
    traffic,
    path: undefined,
    derpRegion: undefined,
    service: undefined,
    ports: undefined,
    withoutPorts: undefined,
  };
}
