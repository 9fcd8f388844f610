/** Ranks who talks to whom at the moment: pairs of nodes by their bytes in intervals that are not exported yet, or just were. */
import { otherNode } from "../catalogue/increments.ts";
import { type Interval, sumsPerEdge } from "./interval.ts";

/** Two nodes and the bytes between them, both directions together. */
export interface Talker {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
}

/** What an interval holds of its flows. */
export type FlowSums = Pick<Interval, "seen" | "sums">;

/** What one source reports of its traffic with one peer: a talker by the key of its pair. */
export type Reports = ReadonlyMap<string, Talker>;

/** The reports of an interval. Up to 10 ms if it is full. */
export function reportsOf(flows: FlowSums): Reports {
  const steps = gatherReports(flows);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** The same in steps of well under a millisecond. Physical traffic is left out, because it is the same bytes again. */
export function* gatherReports({ seen, sums }: FlowSums): Generator<void, Reports> {
  const reports = new Map<string, { readonly from: string; readonly to: string; bytes: number }>();
  for (const { edge, pair, class: flowClass } of seen) {
    const { key, source: from, destination: to } = pair;
    if (from === undefined || to === undefined || from === otherNode || flowClass.traffic === "physical") continue;
    let report = reports.get(key);
    if (report === undefined) reports.set(key, (report = { from, to, bytes: 0 }));
    report.bytes += (sums[edge * sumsPerEdge + 1] as number) + (sums[edge * sumsPerEdge + 2] as number);
    yield;
  }
  return reports;
}

/**
 * The pairs with the most bytes in two intervals, greatest first. Both ends report a flow, so a pair appears once for each
 * reporter: the larger report is used, not their sum.
 */
export function topTalkers(ended: Reports, open: Reports, limit: number): readonly Talker[] {
  const pairs = new Map<string, Talker>();
  for (const key of new Set([...ended.keys(), ...open.keys()])) {
    const [before, now] = [ended.get(key), open.get(key)];
    const { from, to } = (now ?? before) as Talker;
    const bytes = (before?.bytes ?? 0) + (now?.bytes ?? 0);
    const both = [from, to].toSorted().join(" ");
    if (bytes > (pairs.get(both)?.bytes ?? -1)) pairs.set(both, { from, to, bytes });
  }
  return [...pairs.values()].toSorted((left, right) => right.bytes - left.bytes).slice(0, limit);
}

/** Connection entries of an interval. */
export function entriesOf({ seen, sums }: FlowSums): number {
  return seen.reduce((sum, { edge }) => sum + (sums[edge * sumsPerEdge] as number), 0);
}
