/** A minute as it is stored: all totals, and the busiest pairs, nodes and services. The others are in the totals alone. */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { Damaged, reasonOf, type StoredMinute } from "../journal/index.ts";
import { type MinuteSums, noMinute, type PairSums, pairOf, sumsPerPair, totalsLength } from "./minute.ts";

/** Pairs of nodes, and nodes with physical traffic. */
const maxPairs = 200;
const maxServices = 50;

const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Numbers of a pair: kind, entries, sent and received bytes, for each kind that it has. */
interface Detail {
  readonly pairs: readonly (readonly [from: string, to: string | null, ...sums: number[]])[];
  readonly services: readonly (readonly [name: string, entries: number, bytes: number])[];
  readonly omitted: number;
}

export function packMinute(at: number, minute: MinuteSums): StoredMinute {
  const ranked = [...minute.pairs].map(([key, pair]) => ({ key, pair, bytes: bytesOf(pair) }));
  ranked.sort((one, other) => other.bytes - one.bytes || (one.key < other.key ? -1 : 1));
  const pairs = ranked.filter(({ pair }) => pair.to !== undefined);
  const nodes = ranked.filter(({ pair }) => pair.to === undefined);
  const left = [...pairs.splice(maxPairs), ...nodes.splice(maxPairs)];
  const services = [...minute.services].map(([name, { entries, bytes }]) => [name, entries, bytes] as const);
  services.sort(([one, , oneBytes], [other, , otherBytes]) => otherBytes - oneBytes || (one < other ? -1 : 1));
  const detail: Detail = {
    pairs: [...pairs, ...nodes].map(({ pair }) => [pair.from, pair.to ?? null, ...sparse(pair)]),
    services: services.slice(0, maxServices),
    omitted: left.reduce((sum, { pair }) => sum + entriesOf(pair), minute.omitted),
  };
  const { buffer, byteOffset, byteLength } = minute.totals;
  return {
    at,
    totals: new Uint8Array(buffer, byteOffset, byteLength).slice(),
    detail: zstdCompressSync(JSON.stringify(detail), level),
  };
}

/** @throws {Damaged} */
export function unpackMinute({ totals, detail }: StoredMinute): MinuteSums {
  const minute = { ...noMinute(), totals: unpackTotals(totals) };
  const { pairs, services, omitted } = read(detail);
  for (const [from, to, ...numbers] of pairs) {
    const { sums } = pairOf(minute, from, to ?? undefined);
    for (let at = 0; at < numbers.length; at += 1 + sumsPerPair)
      for (let place = 0; place < sumsPerPair; place++)
        sums[(numbers[at] as number) * sumsPerPair + place] = numbers[at + 1 + place] as number;
  }
  for (const [name, entries, bytes] of services) minute.services.set(name, { entries, bytes });
  return { ...minute, omitted };
}

/** @throws {Damaged} */
export function unpackTotals(packed: Uint8Array): Float64Array {
  const totals = new Float64Array(totalsLength);
  if (packed.length !== totals.byteLength) throw new Damaged("the totals of a minute have another length");
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

function sparse({ sums }: PairSums): number[] {
  const found: number[] = [];
  for (let at = 0; at < sums.length; at += sumsPerPair)
    if (sums[at] !== 0) found.push(at / sumsPerPair, ...sums.slice(at, at + sumsPerPair));
  return found;
}

function bytesOf({ sums }: PairSums): number {
  let bytes = 0;
  for (let at = 0; at < sums.length; at += sumsPerPair) bytes += (sums[at + 1] as number) + (sums[at + 2] as number);
  return bytes;
}

function entriesOf({ sums }: PairSums): number {
  let entries = 0;
  for (let at = 0; at < sums.length; at += sumsPerPair) entries += sums[at] as number;
  return entries;
}
