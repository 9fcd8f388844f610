/** Packs a minute for storage: all totals, and the busiest pairs, nodes and services. The others are only in the totals. */
import { zstdDecompressSync } from "node:zlib";
import { Damaged, packText, reasonOf, type StoredMinute } from "../journal/index.ts";
import {
  addService,
  addSums,
  entriesOf,
  type MinuteSums,
  noMinute,
  type PairSums,
  pairOf,
  sumsPerPair,
  totalsLength,
} from "./minute.ts";

/** Maximum number of pairs of nodes, and of nodes with physical traffic. */
const maxPairs = 200;
const maxServices = 50;

/** Few arrays and no name twice, so that a day is read in a second. */
interface Detail {
  readonly names: readonly string[];
  /** For each pair: the indexes of both names, −1 for none; how many kinds follow; for each its index, entries and bytes. */
  readonly pairs: readonly number[];
  readonly services: readonly (readonly [name: string, entries: number, bytes: number])[];
  readonly omitted: number;
}

/** Packs a minute with its busiest pairs, nodes and services. */
export function packMinute(at: number, minute: MinuteSums): StoredMinute {
  const all = [...minute.pairs].map(([key, pair]) => ({ key, pair, bytes: bytesOf(pair) }));
  const pairs = busiest(all.filter(({ pair }) => pair.to !== undefined));
  const nodes = busiest(all.filter(({ pair }) => pair.to === undefined));
  const shown = [...pairs, ...nodes];
  const services = [...minute.services].map(([name, { entries, bytes }]) => [name, entries, bytes] as const);
  services.sort(([one, , oneBytes], [other, , otherBytes]) => otherBytes - oneBytes || (one < other ? -1 : 1));
  const names = new Map<string, number>();
  const detail: Detail = {
    pairs: shown.flatMap(({ pair }) => numbersOf(pair, names)),
    names: [...names.keys()],
    services: services.slice(0, maxServices),
    omitted: minute.omitted + sumOfEntries(all) - sumOfEntries(shown),
  };
  const { buffer, byteOffset, byteLength } = minute.totals;
  return {
    at,
    totals: new Uint8Array(buffer, byteOffset, byteLength).slice(),
    detail: packText(Buffer.from(JSON.stringify(detail))),
  };
}

/** @throws {Damaged} */
export function unpackMinute(stored: StoredMinute): MinuteSums {
  return addPacked(noMinute(), stored);
}

/** Adds a stored minute, in 0.2 ms if it is full. @throws {Damaged} before anything is added. */
export function addPacked(into: MinuteSums, { totals, detail }: StoredMinute): MinuteSums {
  const { names, pairs, services, omitted } = read(detail);
  const sums = unpackTotals(totals);
  if (sums === undefined) throw new Damaged("the totals of a minute have another length");
  addSums(into.totals, sums);
  for (let at = 0; at < pairs.length;) {
    const pair = pairOf(into, names[pairs[at++] as number] as string, names[pairs[at++] as number]);
    for (let left = pairs[at++] as number; left > 0; left--, at += 1 + sumsPerPair) {
      const to = (pairs[at] as number) * sumsPerPair;
      if (pair === undefined) into.omitted += pairs[at + 1] as number;
      else
        for (let place = 0; place < sumsPerPair; place++)
          pair.sums[to + place] = (pair.sums[to + place] as number) + (pairs[at + 1 + place] as number);
    }
  }
  for (const [name, entries, bytes] of services) addService(into, name, entries, bytes);
  into.omitted += omitted;
  return into;
}

/** Undefined if the totals are not what this version writes. */
export function unpackTotals(packed: Uint8Array): Float64Array | undefined {
  const totals = new Float64Array(totalsLength);
  if (packed.length !== totals.byteLength) return undefined;
  new Uint8Array(totals.buffer).set(packed);
  return totals;
}

function read(detail: Uint8Array): Detail {
  try {
    return JSON.parse(zstdDecompressSync(detail).toString()) as Detail;
  } catch (error) {
    throw new Damaged(reasonOf(error));
  }
}

interface Ranked {
  readonly key: string;
  readonly pair: PairSums;
  readonly bytes: number;
}

/** The busiest, in order. The others, thousands in a full minute, are only compared with the last of them: 1 ms instead of 5. */
function busiest(all: readonly Ranked[]): Ranked[] {
  const least =
    Float64Array.from(all, ({ bytes }) => bytes)
      .sort()
      .at(-maxPairs) ?? 0;
  return all
    .filter(({ bytes }) => bytes >= least)
    .sort((one, other) => other.bytes - one.bytes || (one.key < other.key ? -1 : 1))
    .slice(0, maxPairs);
}

function sumOfEntries(ranked: readonly Ranked[]): number {
  return ranked.reduce((sum, { pair }) => sum + entriesOf(pair.sums), 0);
}

function numbersOf({ from, to, sums }: PairSums, names: Map<string, number>): number[] {
  const placeOf = (name: string | undefined): number => {
    if (name === undefined) return -1;
    if (!names.has(name)) names.set(name, names.size);
    return names.get(name) as number;
  };
  const numbers = [placeOf(from), placeOf(to), 0];
  for (let at = 0; at < sums.length; at += sumsPerPair)
    if (sums[at] !== 0) numbers.push(at / sumsPerPair, ...sums.slice(at, at + sumsPerPair));
  numbers[2] = (numbers.length - 3) / (1 + sumsPerPair);
  return numbers;
}

function bytesOf({ sums }: PairSums): number {
  let bytes = 0;
  for (let at = 0; at < sums.length; at += sumsPerPair) bytes += (sums[at + 1] as number) + (sums[at + 2] as number);
  return bytes;
}
