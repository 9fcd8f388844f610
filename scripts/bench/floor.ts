/** The floor that the program is measured against: what decoding the same flow texts as JSON costs, and nothing else. */
import type { Load } from "./bodies.ts";
import { entriesPerBody } from "./bodies.ts";
import { type Child, startChild } from "./child.ts";

/** Two ways to look at the same work. */
export interface Floor {
  /** While the program is under load, on the same cores: what shares them slows both. */
  readonly loadedMicros: number;
  /** Before or after the load, the lower one. */
  readonly idleMicros: number;
}

const bodies = 8;
const warmUpRounds = 40;
const samples = 15;
const roundsPerSample = 12;
const childTimeoutMs = 30_000;

/** CPU µs a connection entry of this process, for `JSON.parse` of each envelope alone, as a receiver has to. */
export function idleFloor(load: Load): number {
  const texts = floorTexts(load);
  costOf(texts, warmUpRounds);
  return medianOf(Array.from({ length: samples }, () => costOf(texts, roundsPerSample)));
}

/** Starts measuring in a process of its own. Resolves when it has warmed up. */
export async function startProbe(): Promise<Child> {
  const probe = startChild("probe.ts", []);
  await probe.read(childTimeoutMs);
  return probe;
}

/** Ends the measurement: the median of its samples. */
export async function readProbe(probe: Child): Promise<number> {
  probe.write({ stop: true });
  const { floorMicros } = await probe.read<{ floorMicros: number }>(childTimeoutMs);
  return floorMicros;
}

/** The texts that are parsed: envelopes of some bodies. */
export function floorTexts(load: Load): readonly string[] {
  return Array.from({ length: bodies }, (_, body) => load.envelopes(body)).flat();
}

/** CPU µs an entry, over so many rounds. */
export function costOf(texts: readonly string[], rounds: number): number {
  let parsed = 0;
  const began = process.cpuUsage();
  for (let round = 0; round < rounds; round++) for (const text of texts) parsed += JSON.parse(text) === null ? 0 : 1;
  const { user, system } = process.cpuUsage(began);
  if (parsed === 0) throw new Error("nothing was parsed");
  return (user + system) / (rounds * bodies * entriesPerBody);
}

export function medianOf(costs: readonly number[]): number {
  return costs.toSorted((left, right) => left - right)[Math.floor(costs.length / 2)] ?? Number.NaN;
}
