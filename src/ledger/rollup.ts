/** The roll-up of an interval's flows: the pairs that carried most keep their names, the rest is summed by class. Totals stay exact. */
import type { FlowClass, FlowSums } from "../catalogue/increments.ts";
import { addClass, type ClassSums, type Interval, type PairSums } from "./interval.ts";

/** Stands for the nodes of pairs that are not among the first. */
export const otherNodes = "__other__";

/** Sums under the names that they are exported with. */
export interface NamedSums {
  readonly source: string | undefined;
  readonly destination: string | undefined;
  readonly class: FlowClass;
  readonly sums: FlowSums;
}

/** The first `topN` pairs by bytes, ties by key, and the rest folded. */
export function rollUp(interval: Interval, topN: number): NamedSums[] {
  const ranked = [...interval.pairs.values()].sort(byBytes);
  const rest = new Map<string, ClassSums>();
  for (const { class: flowClass, sums } of interval.rest.values()) addClass(rest, flowClass, sums);
  for (const { classes } of ranked.slice(topN)) {
    for (const { class: flowClass, sums } of classes.values()) addClass(rest, flowClass, sums);
  }
  return [...named(ranked.slice(0, topN)), ...folded(rest)];
}

/** Every pair of the interval by name; what went over its bound is folded. */
export function everyPair(interval: Interval): NamedSums[] {
  return [...named([...interval.pairs.values()]), ...folded(interval.rest)];
}

function named(pairs: readonly PairSums[]): NamedSums[] {
  return pairs.flatMap(({ pair: { source, destination }, classes }) =>
    [...classes.values()].map(({ class: flowClass, sums }) => ({
      source,
      destination,
      class: flowClass,
      sums,
    })),
  );
}

function folded(classes: ReadonlyMap<string, ClassSums>): NamedSums[] {
  return [...classes.values()].map(({ class: flowClass, sums }) => ({
    source: otherNodes,
    destination: otherNodes,
    class: flowClass,
    sums,
  }));
}

function byBytes(a: PairSums, b: PairSums): number {
  return b.bytes - a.bytes || (a.pair.key < b.pair.key ? -1 : 1);
}
