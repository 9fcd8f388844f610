/** The floor that the program's cost is compared with: `JSON.parse` of the same flow texts, sampled by a separate process on the same cores under load. */
import { setTimeout as wait } from "node:timers/promises";
import type { Shape } from "./bodies.ts";
import { createLoad } from "./bodies.ts";
import { parentMessages, startChild, tellParent } from "./child.ts";

const entriesParsed = 4672;
const warmUpRounds = 40;
const childTimeoutMs = 30_000;

/** About 10 ms of work four times a second takes little CPU from the measured program. */
const pauseMs = 250;
const roundsPerSample = 4;

export interface FloorProbe {
  /** Median CPU µs per entry of the samples since the last call. */
  read(): Promise<number>;
  end(): Promise<void>;
}

/** Starts sampling once it has warmed up, which takes a second. */
export function startFloorProbe(shape: Shape): FloorProbe {
  const child = startChild("floor.ts", [shape]);
  return {
    async read() {
      child.write({});
      return (await child.read<{ floorMicros: number }>(childTimeoutMs)).floorMicros;
    },
    end: () => child.end(),
  };
}

export function medianOf(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1] ?? Number.NaN;
}

/** CPU µs per entry that this process needs to parse each envelope separately, as a receiver has to. */
function costOf(texts: readonly string[], rounds: number): number {
  let parsed = 0;
  const began = process.cpuUsage();
  for (let round = 0; round < rounds; round++) for (const text of texts) parsed += JSON.parse(text) === null ? 0 : 1;
  const { user, system } = process.cpuUsage(began);
  if (parsed === 0) throw new Error("nothing was parsed");
  return (user + system) / (rounds * entriesParsed);
}

async function sample(shape: Shape): Promise<void> {
  const load = createLoad(shape, 16, Date.now());
  const bodies = Math.ceil(entriesParsed / load.entriesPerBody);
  const texts = Array.from({ length: bodies }, (_, body) => load.envelopes(body))
    .flat()
    .slice(0, entriesParsed / load.entriesPerRecord);
  let costs = [costOf(texts, warmUpRounds)];
  void (async () => {
    for await (const _ of parentMessages()) {
      tellParent({ floorMicros: medianOf(costs) });
      costs = [];
    }
    process.exit(0);
  })();
  for (; ; await wait(pauseMs)) {
    // Warms the CPU caches, which other processes have used meanwhile.
    costOf(texts, 1);
    costs.push(costOf(texts, roundsPerSample));
  }
}

if (import.meta.main) await sample(process.argv[2] as Shape);
