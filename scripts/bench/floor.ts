/** The floor that the program is measured against: what decoding the same flow texts as JSON costs, and nothing else. */
import type { Load } from "./bodies.ts";
import { entriesPerBody } from "./bodies.ts";

const bodies = 8;
const warmUpRounds = 40;
const samples = 15;
const roundsPerSample = 12;

/**
 * CPU µs of this process for `JSON.parse`, per connection entry: the median of some samples. Each envelope is parsed
 * alone, as a receiver has to.
 */
export function measureFloor(load: Load): number {
  const texts = Array.from({ length: bodies }, (_, body) => load.envelopes(body)).flat();
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
