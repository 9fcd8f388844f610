/** What was received in one minute: sums by kind of traffic, the busiest pairs of nodes, and services. */

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

/** Pairs that are told apart while a minute is counted: several times what the edge book holds at once. */
const usualMaxPairs = 20_000;

export interface MinuteSums {
  readonly totals: Float64Array;
  readonly maxPairs: number;
  readonly pairs: Map<string, PairSums>;
  readonly services: Map<string, ServiceSums>;
  /** Entries of pairs that are not here: without room, or less busy. Those without names belong to no pair. */
  omitted: number;
}

/** A pair as its source reports it. Physical traffic has no second node: it is reported by all peers of the first one. */
export interface PairSums {
  readonly from: string;
  readonly to: string | undefined;
  readonly sums: Float64Array;
}

/** Physical traffic is left out. */
export interface ServiceSums {
  entries: number;
  bytes: number;
}

/** A minute in which nothing was received. Beyond `maxPairs`, further pairs are in its totals alone. */
export function noMinute(maxPairs = usualMaxPairs): MinuteSums {
  return { totals: new Float64Array(totalsLength), maxPairs, pairs: new Map(), services: new Map(), omitted: 0 };
}

/** The pair of these names; nothing if there is no room for it. */
export function pairOf(minute: MinuteSums, from: string, to: string | undefined): PairSums | undefined {
  const key = to === undefined ? from : `${from.length} ${from}${to}`;
  let pair = minute.pairs.get(key);
  if (pair === undefined && minute.pairs.size < minute.maxPairs) {
    pair = { from, to, sums: new Float64Array(kinds.length * sumsPerPair) };
    minute.pairs.set(key, pair);
  }
  return pair;
}

/** Adds records that have no entries. */
export function addRecords({ totals }: MinuteSums, type: "audit" | "webhook", records: number): void {
  const place = type === "audit" ? auditPlace : webhookPlace;
  totals[place] = (totals[place] as number) + records;
}

/** Adds the traffic of a service. */
export function addService({ services }: MinuteSums, name: string, entries: number, bytes: number): void {
  const known = services.get(name);
  if (known === undefined) services.set(name, { entries, bytes });
  else {
    known.entries += entries;
    known.bytes += bytes;
  }
}

/** Adds one minute to another: what has no room as a pair counts as omitted. */
export function addMinute(into: MinuteSums, { totals, pairs, services, omitted }: MinuteSums): void {
  addSums(into.totals, totals);
  for (const { from, to, sums } of pairs.values()) {
    const pair = pairOf(into, from, to);
    if (pair === undefined) into.omitted += entriesOf(sums);
    else addSums(pair.sums, sums);
  }
  for (const [name, { entries, bytes }] of services) addService(into, name, entries, bytes);
  into.omitted += omitted;
}

/** Adds numbers place by place. */
export function addSums(into: Float64Array, more: Float64Array): void {
  for (let place = 0; place < more.length; place++) into[place] = (into[place] as number) + (more[place] as number);
}

/** Of all kinds of a pair. */
export function entriesOf(sums: Float64Array): number {
  let entries = 0;
  for (let at = 0; at < sums.length; at += sumsPerPair) entries += sums[at] as number;
  return entries;
}
