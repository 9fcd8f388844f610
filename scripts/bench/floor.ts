/** The floor that the program is measured against: what decoding the same flow texts as JSON costs, and nothing else. */
import { availableParallelism } from "node:os";
import type { Load } from "./bodies.ts";
import { entriesPerBody } from "./bodies.ts";
import { startChild } from "./child.ts";

const bodies = 8;
const warmUpRounds = 40;
const samples = 15;
const roundsPerSample = 12;

/** Two ways to look at the same work. */
export interface Floor {
  /** With every other core doing the same: as it is during the load, when two threads share what a core has. */
  readonly busyMicros: number;
  readonly idleMicros: number;
}

/** Both floors. Ends the processes that it starts. */
export async function measureFloor(load: Load): Promise<Floor> {
  const idleMicros = parseCost(load);
  const others = Array.from({ length: availableParallelism() - 1 }, () => startChild("busy.ts", []));
  try {
    for (const other of others) await other.read(childTimeoutMs);
    return { busyMicros: parseCost(load), idleMicros };
  } finally {
    await Promise.all(others.map((other) => other.end()));
  }
}

/** The lower of each. */
export function lowerFloor(one: Floor, other: Floor): Floor {
  return {
    busyMicros: Math.min(one.busyMicros, other.busyMicros),
    idleMicros: Math.min(one.idleMicros, other.idleMicros),
  };
}

/** The texts that it parses: envelopes of some bodies. */
export function floorTexts(load: Load): readonly string[] {
  return Array.from({ length: bodies }, (_, body) => load.envelopes(body)).flat();
}

const childTimeoutMs = 30_000;

/**
 * CPU µs of this process for `JSON.parse`, per connection entry: the median of some samples. Each envelope is parsed
 * alone, as a receiver has to.
 */
function parseCost(load: Load): number {
  const texts = floorTexts(load);
  let parsed = 0;
  const round = () => {
    for (const text of texts) parsed += JSON.parse(text) === null ? 0 : 1;
  };
  for (let warmUp = 0; warmUp < warmUpRounds; warmUp++) round();
  const costs: number[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const began = process.cpuUsage();
    for (let repeat = 0; repeat < roundsPerSample; repeat++) round();
    const { user, system } = process.cpuUsage(began);
    costs.push((user + system) / (roundsPerSample * bodies * entriesPerBody));
  }
  if (parsed === 0) throw new Error("nothing was parsed");
  return costs.sort((left, right) => left - right)[Math.floor(samples / 2)] ?? Number.NaN;
}
