/** What has been counted since the last fold, in a form whose size is bounded whatever comes in. */
import {
  addSums,
  type Count,
  type FlowClass,
  type FlowSums,
  type Increments,
  type NodePair,
  noSums,
} from "../catalogue/increments.ts";

/** Pairs of nodes told apart in one interval; later ones go into the rest at once (measured: 170,000 map entries cost more than all parsing). */
const maxPairs = 8_000;

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

  get isEmpty(): boolean {
    return this.pairs.size === 0 && this.rest.size === 0 && this.counts.size === 0;
  }

  add(increments: Increments): void {
    for (const [{ pair, class: flowClass }, sums] of increments.flows) {
      addClass(this.#classesOf(pair, sums), flowClass, sums);
    }
    for (const [key, gained] of increments.counts) {
      const known = this.counts.get(key);
      if (known === undefined) this.counts.set(key, { ...gained });
      else known.value += gained.value;
    }
  }

  #classesOf(pair: NodePair, sums: FlowSums): Map<string, ClassSums> {
    let known = this.pairs.get(pair.key);
    if (known === undefined) {
      if (this.pairs.size >= maxPairs) return this.rest;
      this.pairs.set(pair.key, (known = { pair, bytes: 0, classes: new Map() }));
    }
    known.bytes += sums.txBytes + sums.rxBytes;
    return known.classes;
  }
}

/** Adds sums to those of their class. */
export function addClass(into: Map<string, ClassSums>, flowClass: FlowClass, sums: FlowSums): void {
  let known = into.get(flowClass.key);
  if (known === undefined) into.set(flowClass.key, (known = { class: flowClass, sums: noSums() }));
  addSums(known.sums, sums);
}
