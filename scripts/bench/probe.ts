/** A helper process that measures the floor while the program is under load: on the same cores, at the same time. Ends by itself. */
import { setTimeout as wait } from "node:timers/promises";
import { createLoad } from "./bodies.ts";
import { parentMessages, tellParent } from "./child.ts";
import { costOf, floorTexts, medianOf } from "./floor.ts";

/** Some 10 ms of work four times a second take little from what is measured. */
const pauseMs = 250;
const roundsPerSample = 4;
const endsAfterMs = 15 * 60_000;

const texts = floorTexts(createLoad(16, Date.now()));
const costs: number[] = [];
const ends = performance.now() + endsAfterMs;
const stop = new AbortController();

costOf(texts, 40);
tellParent({ ready: true });
void parentMessages()
  .next()
  .then(() => stop.abort());
while (!stop.signal.aborted && performance.now() < ends) {
  await wait(pauseMs);
  // What others have put into the caches meanwhile is not the floor's to pay for.
  costOf(texts, 1);
  costs.push(costOf(texts, roundsPerSample));
}
tellParent({ floorMicros: medianOf(costs) });
process.exit(0);
