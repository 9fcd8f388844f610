/** The map of traffic in a range of minutes: pairs of nodes, how nodes are reached, and services. */
import {
  entriesOf,
  firstPhysical,
  kinds,
  type MinuteSums,
  noMinute,
  type PairSums,
  sumsPerPair,
  totalsPerKind,
} from "../../ledger/minute.ts";
import { isTransport } from "../../records/flow/protocols.ts";
import type { TrafficMap, TrafficPair } from "./answers.ts";

/** Maximum number of services listed. */
const maxServices = 100;

/** Pairs distinguished while minutes are added up; further ones are counted among the others. */
const maxPairs = 50_000;

/** Empty sums, to which minutes are added. */
export const noSums = (): MinuteSums => noMinute(maxPairs);

/** The map of the sums, with at most `limit` pairs. */
export function mapOf(sums: MinuteSums, limit: number): Omit<TrafficMap, "since" | "until" | "isComplete"> {
  const { totals, pairs, services } = sums;
  const reports = [...pairs.values()].filter(({ to }) => to !== undefined);
  const chosen = largerReports(reports).slice(0, limit);
  const others = { entries: 0, bytes: 0 };
  for (let kind = 0; kind < firstPhysical; kind++) {
    const [entries = 0, txBytes = 0, rxBytes = 0] = totals.subarray(kind * totalsPerKind);
    others.entries += entries;
    others.bytes += txBytes + rxBytes;
  }
  const named = new Set(chosen.map(unordered));
  for (const report of reports) {
    if (!named.has(unordered(report))) continue;
    others.entries -= entriesOf(report.sums);
    others.bytes -= bytesOf(report);
  }
  return {
    pairs: chosen.map(shownPair),
    nodes: [...pairs.values()]
      .filter(({ to }) => to === undefined)
      .map(({ from, sums: of }) => ({ name: from, kinds: bytesByKind(of) })),
    services: [...services]
      .map(([name, used]) => ({ name, isTransport: isTransport(name), ...used }))
      .toSorted((one, other) => other.bytes - one.bytes || (one.name < other.name ? -1 : 1))
      .slice(0, maxServices),
    others,
  };
}

/** For each pair of nodes the larger of their two reports, since both ends report a flow; busiest first. */
function largerReports(reports: readonly PairSums[]): PairSums[] {
  const larger = new Map<string, { readonly report: PairSums; readonly bytes: number }>();
  for (const report of reports) {
    const key = unordered(report);
    const bytes = bytesOf(report);
    if (bytes > (larger.get(key)?.bytes ?? -1)) larger.set(key, { report, bytes });
  }
  const keyed = [...larger].toSorted(([a, one], [b, other]) => other.bytes - one.bytes || (a < b ? -1 : 1));
  return keyed.map(([, { report }]) => report);
}

function unordered({ from, to = "" }: PairSums): string {
  const [first, second] = from < to ? [from, to] : [to, from];
  return `${first.length} ${first}${second}`;
}

function bytesOf({ sums }: PairSums): number {
  return sumOf(sums, 1) + sumOf(sums, 2);
}

/** Sums one of the numbers per kind over all kinds. */
function sumOf(sums: Float64Array, place: number): number {
  let sum = 0;
  for (let at = place; at < sums.length; at += sumsPerPair) sum += sums[at] as number;
  return sum;
}

function shownPair(pair: PairSums): TrafficPair {
  const { from, to = "", sums } = pair;
  return {
    from,
    to,
    entries: entriesOf(pair.sums),
    txBytes: sumOf(sums, 1),
    rxBytes: sumOf(sums, 2),
    kinds: bytesByKind(sums),
  };
}

function bytesByKind(sums: Float64Array): TrafficPair["kinds"] {
  const found = kinds.flatMap((kind, place) => {
    const at = place * sumsPerPair;
    const bytes = (sums[at + 1] as number) + (sums[at + 2] as number);
    return sums[at] === 0 ? [] : [[kind, bytes]];
  });
  return Object.fromEntries(found) as TrafficPair["kinds"];
}
