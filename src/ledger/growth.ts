/** Adds what an interval has gained since the previous call to a minute. */
import { type FlowClass, type NodePair, otherNode } from "../catalogue/increments.ts";
import { type SeenEdge, sumsPerEdge } from "./interval.ts";
import {
  addService,
  firstPhysical,
  type Kind,
  kinds,
  type MinuteSums,
  type PairSums,
  pairOf,
  sumsPerPair,
  totalsPerKind,
} from "./minute.ts";
import type { FlowSums } from "./talkers.ts";
import { freeBuffer } from "../runtime/process.ts";

export class Growth {
  #interval: FlowSums | undefined;
  /** The sums of the interval at the previous call. */
  #before = new Float64Array(0);
  /** The minute that was added to last, and where it sums the interval's pairs, so that each is looked up by name once. */
  #minute: MinuteSums | undefined;
  #pairs = new Map<NodePair, PairSums | undefined>();
  #nodes = new Map<NodePair, PairSums | undefined>();

  /**
   * Adds the growth of the seen edges from `from` up to `end` (exclusive). `minuteOf`: called if there is any growth. `counted`:
   * totals to which it is added as well.
   */
  addTo(
    minuteOf: () => MinuteSums,
    interval: FlowSums,
    counted: Float64Array,
    from = 0,
    end = interval.seen.length,
  ): void {
    const { seen, sums } = interval;
    let minute: MinuteSums | undefined;
    const before = this.#begin(interval);
    for (let place = from; place < end; place++) {
      const { edge, pair, class: flowClass } = seen[place] as SeenEdge;
      const at = edge * sumsPerEdge;
      const entries = (sums[at] as number) - (before[at] as number);
      if (entries === 0) continue;
      minute ??= this.#use(minuteOf());
      const { kind, service } = placeOf(flowClass);
      const txBytes = (sums[at + 1] as number) - (before[at + 1] as number);
      const rxBytes = (sums[at + 2] as number) - (before[at + 2] as number);
      for (let sum = 0; sum < totalsPerKind; sum++) {
        const total = kind * totalsPerKind + sum;
        const grown = (sums[at + sum] as number) - (before[at + sum] as number);
        minute.totals[total] = (minute.totals[total] as number) + grown;
        counted[total] = (counted[total] as number) + grown;
        before[at + sum] = sums[at + sum] as number;
      }
      const isPhysical = kind >= firstPhysical;
      const known = isPhysical ? this.#nodes : this.#pairs;
      let into = known.get(pair);
      if (into === undefined && !known.has(pair)) known.set(pair, (into = named(minute, pair, isPhysical)));
      if (into !== undefined) addTo(into.sums, kind * sumsPerPair, entries, txBytes, rxBytes);
      else if (pair.source !== undefined) minute.omitted += entries;
      if (!isPhysical) addService(minute, service, entries, txBytes + rxBytes);
    }
  }

  #use(minute: MinuteSums): MinuteSums {
    if (this.#minute !== minute) this.#forgetPairs();
    this.#minute = minute;
    return minute;
  }

  #forgetPairs(): void {
    this.#pairs = new Map();
    this.#nodes = new Map();
  }

  /** The sums at the previous call, in an array that is large enough for the current ones. */
  #begin(interval: FlowSums): Float64Array {
    const { length } = interval.sums;
    if (this.#interval !== interval) {
      this.#before.fill(0);
      this.#forgetPairs();
    }
    this.#interval = interval;
    if (this.#before.length < length) {
      const before = new Float64Array(length);
      before.set(this.#before);
      freeBuffer(this.#before);
      this.#before = before;
    }
    return this.#before;
  }
}

function named(minute: MinuteSums, { source, destination }: NodePair, isPhysical: boolean): PairSums | undefined {
  if (source === undefined || source === otherNode) return undefined;
  if (isPhysical) return pairOf(minute, source, undefined);
  return destination === undefined ? undefined : pairOf(minute, source, destination);
}

function addTo(sums: Float64Array, at: number, entries: number, txBytes: number, rxBytes: number): void {
  sums[at] = (sums[at] as number) + entries;
  sums[at + 1] = (sums[at + 1] as number) + txBytes;
  sums[at + 2] = (sums[at + 2] as number) + rxBytes;
}

interface ClassPlace {
  readonly kind: number;
  readonly service: string;
}

const places = new WeakMap<FlowClass, ClassPlace>();

function placeOf(flowClass: FlowClass): ClassPlace {
  let place = places.get(flowClass);
  if (place === undefined) {
    const { service = flowClass.transport } = flowClass;
    places.set(flowClass, (place = { kind: kinds.indexOf(kindOf(flowClass)), service }));
  }
  return place;
}

function kindOf({ traffic, path }: FlowClass): Kind {
  if (traffic !== "physical") return traffic;
  if (path === undefined) return "physical";
  return path === "direct" ? "direct" : "relayed";
}
