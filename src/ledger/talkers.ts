/** Who talks to whom at the moment: pairs of nodes by their bytes in intervals that are not exported yet, or just were. */
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

export const noFlows: FlowSums = { seen: [], sums: new Float64Array(0) };

/**
 * The pairs with the most bytes, greatest first. Both ends report a flow, so a pair appears once for each reporter: the
 * larger report is used, not their sum. Physical traffic is left out; it is the same bytes once more.
 */
export function topTalkers(intervals: readonly FlowSums[], limit: number): readonly Talker[] {
  const reports = new Map<string, { readonly from: string; readonly to: string; bytes: number }>();
  for (const { seen, sums } of intervals) {
    for (const { edge, pair, class: flowClass } of seen) {
      const { key, source: from, destination: to } = pair;
      if (from === undefined || to === undefined || from === otherNode || flowClass.traffic === "physical") continue;
      let report = reports.get(key);
      if (report === undefined) reports.set(key, (report = { from, to, bytes: 0 }));
      report.bytes += (sums[edge * sumsPerEdge + 1] as number) + (sums[edge * sumsPerEdge + 2] as number);
    }
  }
  const pairs = new Map<string, Talker>();
  for (const report of reports.values()) {
    const key = [report.from, report.to].toSorted().join(" ");
    if (report.bytes > (pairs.get(key)?.bytes ?? -1)) pairs.set(key, report);
  }
  return [...pairs.values()].toSorted((left, right) => right.bytes - left.bytes).slice(0, limit);
}

/** Connection entries of an interval. */
export function entriesOf({ seen, sums }: FlowSums): number {
  return seen.reduce((sum, { edge }) => sum + (sums[edge * sumsPerEdge] as number), 0);
}
