/** The roll-up of an interval's flows: the pairs that carried most keep their names, the rest is summed by class. Totals stay exact. */
import type { FlowClass, FlowSums } from "../catalogue/increments.ts";
import { addToRest, type ClassSums, type Interval, type PairSums } from "./interval.ts";

/** Stands for the nodes of pairs that are not among the first. */
export const otherNodes = "__other__";

/** Whether the nodes of what is summed up are `__other__`, or have no name as no node has. */
export type RestNames = "other" | "none";

/** Sums under the names that they are exported with. */
export interface NamedSums {
  readonly source: string | undefined;
  readonly destination: string | undefined;
  readonly identity: Readonly<Record<string, string>> | undefined;
  readonly class: FlowClass;
  readonly sums: FlowSums;
}

/** The first `topN` pairs by bytes, ties by key, and the rest folded; without ports. */
export function rollUp(interval: Interval, topN: number, rest: RestNames = "other"): NamedSums[] {
  const ranked = [...interval.pairs.values()].sort(byBytes);
  const folded = new Map<string, ClassSums>();
  for (const { class: flowClass, sums } of interval.rest.values()) addToRest(folded, flowClass, sums);
  for (const { classes } of ranked.slice(topN)) {
    for (const { class: flowClass, sums } of classes.values()) addToRest(folded, flowClass, sums);
  }
  return [...named(ranked.slice(0, topN)).map(withoutPorts), ...unnamed(folded, rest)];
}

/** Every pair of the interval by name; what went over its bound is folded. */
export function everyPair(interval: Interval, rest: RestNames = "other"): NamedSums[] {
  return [...named([...interval.pairs.values()]), ...unnamed(interval.rest, rest)];
}

function named(pairs: readonly PairSums[]): NamedSums[] {
  return pairs.flatMap(({ pair: { source, destination, identity }, classes }) =>
    Array.from(classes.values(), ({ class: flowClass, sums }) => ({
      source,
      destination,
      identity,
      class: flowClass,
      sums,
    })),
  );
}

function withoutPorts(sums: NamedSums): NamedSums {
  return sums.class.withoutPorts === undefined ? sums : { ...sums, class: sums.class.withoutPorts };
}

function unnamed(classes: ReadonlyMap<string, ClassSums>, rest: RestNames): NamedSums[] {
  const node = rest === "other" ? otherNodes : undefined;
  return Array.from(classes.values(), ({ class: flowClass, sums }) => ({
    source: node,
    destination: node,
    identity: undefined,
    class: flowClass,
    sums,
  }));
}

function byBytes(a: PairSums, b: PairSums): number {
  return b.bytes - a.bytes || (a.pair.key < b.pair.key ? -1 : 1);
}
