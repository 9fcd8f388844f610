/** Sums up what was received in one minute: by kind of traffic, by pair of nodes, and by service. */

/** `direct`, `relayed` and `physical` (path unknown) are the bytes of the first three again, on the wire. */
export const kinds = ["virtual", "subnet", "exit", "direct", "relayed", "physical"] as const;

export type Kind = (typeof kinds)[number];

/** Kinds from this index on are physical traffic. */
export const firstPhysical = kinds.indexOf("direct");

export const minuteMs = 60_000;

/** Adjacent numbers of `totals` per kind: entries, sent and received bytes, sent and received packets. */
export const totalsPerKind = 5;

/** Places of `totals` after those of the kinds. */
export const auditPlace = kinds.length * totalsPerKind;
export const webhookPlace = auditPlace + 1;
export const totalsLength = webhookPlace + 1;

/** Adjacent numbers of a pair per kind: entries, sent and received bytes. */
export const sumsPerPair = 3;

/** Pairs that are distinguished while a minute is counted: several times what the edge book holds at once. */
const usualMaxPairs = 20_000;

export interface MinuteSums {
  readonly totals: Float64Array;
  readonly maxPairs: number;
  readonly pairs: Map<string, PairSums>;
  readonly services: Map<string, ServiceSums>;
  /** Entries of pairs that are left out, for lack of room or because others are busier. Those without names belong to no pair. */
  omitted: number;
}

/** A pair as its source reports it. Physical traffic has no second node, because all peers of the first one report it. */
export interface PairSums {
  readonly from: string;
  readonly to: string | undefined;
  readonly sums: Float64Array;
}

/** The traffic of a service, without physical traffic. */
export interface ServiceSums {
  entries: number;
  bytes: number;
}

/** An empty minute. Pairs beyond `maxPairs` are only in its totals. */
export function noMinute(maxPairs = usualMaxPairs): MinuteSums {
  return { totals: new Float64Array(totalsLength), maxPairs, pairs: new Map(), services: new Map(), omitted: 0 };
}

/** The pair with these names; undefined if there is no room for it. */
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

/** Adds one minute to another; pairs without room count as omitted. */
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

/** The entries of a pair, over all kinds. */
export function entriesOf(sums: Float64Array): number {
  let entries = 0;
  for (let at = 0; at < sums.length; at += sumsPerPair) entries += sums[at] as number;
  return entries;
}
