/** What was received in one minute: sums by kind of traffic, the busiest pairs of nodes, and services. */
import type { FlowClass, NodePair } from "../catalogue/increments.ts";
import { otherNode } from "../catalogue/increments.ts";
import { sumsPerEdge } from "./interval.ts";
import type { FlowSums } from "./talkers.ts";

/** `direct`, `relayed` and `physical` (path unknown) are the bytes of the first three once more, on the wire. */
export const kinds = ["virtual", "subnet", "exit", "direct", "relayed", "physical"] as const;

export type Kind = (typeof kinds)[number];

/** Kinds from this place on are physical traffic. */
export const firstPhysical = kinds.indexOf("direct");

export const minuteMs = 60_000;

/** Neighbouring numbers of `totals`, by kind: entries, sent and received bytes, sent and received packets. */
export const totalsPerKind = 5;

/** Places of `totals` behind those of the kinds. */
export const auditPlace = kinds.length * totalsPerKind;
export const webhookPlace = auditPlace + 1;
export const totalsLength = webhookPlace + 1;

/** Neighbouring numbers of a pair, by kind: entries, sent and received bytes. */
export const sumsPerPair = 3;

export interface MinuteSums {
  readonly totals: Float64Array;
  readonly pairs: Map<string, PairSums>;
  readonly services: Map<string, ServiceSums>;
  /** Entries of no pair here: without names, without room, or of pairs that were less busy. */
  unnamed: number;
}

/** A pair as its source reports it. Physical traffic has no second node: it is reported by all peers of the first one. */
export interface PairSums {
  readonly from: string;
  readonly to: string | undefined;
  readonly sums: number[];
}

/** Physical traffic is left out. */
export interface ServiceSums {
  entries: number;
  bytes: number;
}

export function noMinute(): MinuteSums {
  return { totals: new Float64Array(totalsLength), pairs: new Map(), services: new Map(), unnamed: 0 };
}

/** The pair of these names. */
export function pairOf(minute: MinuteSums, from: string, to: string | undefined): PairSums {
  const key = to === undefined ? from : `${from.length} ${from}${to}`;
  let pair = minute.pairs.get(key);
  if (pair === undefined) {
    pair = { from, to, sums: new Array<number>(kinds.length * sumsPerPair).fill(0) };
    minute.pairs.set(key, pair);
  }
  return pair;
}

export function addService({ services }: MinuteSums, name: string, entries: number, bytes: number): void {
  const known = services.get(name);
  if (known === undefined) services.set(name, { entries, bytes });
  else {
    known.entries += entries;
    known.bytes += bytes;
  }
}

/** What an interval has gained since it was last looked at: about 0.1 µs per edge. */
export class Growth {
  #interval: FlowSums | undefined;
  /** The sums of the interval as they were. */
  #before = new Float64Array(0);

  /** `counted`: totals to which it is added as well. */
  addTo(minute: MinuteSums, interval: FlowSums, counted: Float64Array): void {
    const { seen, sums } = interval;
    const before = this.#interval === interval ? this.#before : new Float64Array(0);
    const pairs = new Map<NodePair, PairSums | undefined>();
    const nodes = new Map<NodePair, PairSums | undefined>();
    const services = new Map<string, ServiceSums>();
    let hasGrown = false;
    for (const { edge, pair, class: flowClass } of seen) {
      const at = edge * sumsPerEdge;
      const isNew = at >= before.length;
      const entries = (sums[at] as number) - (isNew ? 0 : (before[at] as number));
      if (entries === 0) continue;
      hasGrown = true;
      const { kind, service } = placeOf(flowClass);
      const txBytes = (sums[at + 1] as number) - (isNew ? 0 : (before[at + 1] as number));
      const rxBytes = (sums[at + 2] as number) - (isNew ? 0 : (before[at + 2] as number));
      for (let place = 0; place < totalsPerKind; place++) {
        const total = kind * totalsPerKind + place;
        const grown = (sums[at + place] as number) - (isNew ? 0 : (before[at + place] as number));
        minute.totals[total] = (minute.totals[total] as number) + grown;
        counted[total] = (counted[total] as number) + grown;
      }
      const isPhysical = kind >= firstPhysical;
      const known = isPhysical ? nodes : pairs;
      let into = known.get(pair);
      if (into === undefined && !known.has(pair)) known.set(pair, (into = named(minute, pair, isPhysical)));
      if (into === undefined) minute.unnamed += entries;
      else addTo(into.sums, kind * sumsPerPair, entries, txBytes, rxBytes);
      if (isPhysical) continue;
      const used = services.get(service);
      if (used === undefined) services.set(service, { entries, bytes: txBytes + rxBytes });
      else {
        used.entries += entries;
        used.bytes += txBytes + rxBytes;
      }
    }
    for (const [name, { entries, bytes }] of services) addService(minute, name, entries, bytes);
    if (!hasGrown) return;
    this.#interval = interval;
    this.#before = sums.slice();
  }

  /** The interval has ended: it will not be asked about again. */
  forget(): void {
    this.#interval = undefined;
    this.#before = new Float64Array(0);
  }
}

function named(minute: MinuteSums, { source, destination }: NodePair, isPhysical: boolean): PairSums | undefined {
  if (source === undefined || source === otherNode) return undefined;
  if (isPhysical) return pairOf(minute, source, undefined);
  return destination === undefined ? undefined : pairOf(minute, source, destination);
}

export function addTo(sums: number[], at: number, ...more: readonly number[]): void {
  for (const [place, value] of more.entries()) sums[at + place] = (sums[at + place] as number) + value;
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
