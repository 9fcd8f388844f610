/** What has been counted since the last fold, in a form whose size is bounded whatever comes in. */
import {
  addFields,
  addSums,
  type Count,
  type FlowClass,
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
  #classes = 0;

  get isEmpty(): boolean {
    return this.pairs.size === 0 && this.rest.size === 0 && this.counts.size === 0;
  }

  add(increments: Increments): void {
    for (const [{ pair, class: flowClass }, sums] of increments.flows) this.#addFlow(pair, flowClass, sums);
    for (const [key, gained] of increments.counts) {
      const known = this.counts.get(key);
      if (known === undefined) this.counts.set(key, { ...gained });
      else known.value += gained.value;
    }
    for (const [source, reached] of increments.reached) this.reached.add(source, reached);
    addFields(this.fields, increments.fields);
  }

  #addFlow(pair: NodePair, flowClass: FlowClass, sums: FlowSums): void {
    let known = this.pairs.get(pair.key);
    if (known === undefined) {
      if (this.pairs.size >= maxPairs) return addToRest(this.rest, flowClass, sums);
      this.pairs.set(pair.key, (known = { pair, bytes: 0, classes: new Map() }));
    }
    known.bytes += sums.txBytes + sums.rxBytes;
    const ofClass = known.classes.get(flowClass.key);
    if (ofClass !== undefined) return addSums(ofClass.sums, sums);
    if (this.#classes >= maxClasses) return addToRest(this.rest, flowClass, sums);
    this.#classes++;
    known.classes.set(flowClass.key, { class: flowClass, sums: { ...sums } });
  }
}

/** Adds sums to those of their class, without ports; where there are too many, without anything but transport and traffic. */
export function addToRest(rest: Map<string, ClassSums>, withPorts: FlowClass, sums: FlowSums): void {
  const flowClass = withPorts.withoutPorts ?? withPorts;
  let known = rest.get(flowClass.key);
  if (known === undefined) {
    const kept = rest.size < maxRestClasses ? flowClass : bareClass(flowClass);
    known = rest.get(kept.key);
    if (known === undefined) rest.set(kept.key, (known = { class: kept, sums: noSums() }));
  }
  addSums(known.sums, sums);
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
