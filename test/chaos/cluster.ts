/**
 * The long form of the chaos run with two instances and a database: `bun test/chaos/cluster.ts [--rounds 300] [--seed 1]
 * [--at-once 3]`. Prints a line per round and the sums at the end; fails if anything was lost, invented or counted twice.
 */
import { parseArgs } from "node:util";
import { runRounds } from "./cluster-rounds.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "300" },
    seed: { type: "string", default: "1" },
    "at-once": { type: "string", default: "3" },
  },
});
const { figures, violations } = await runRounds({
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  atOnce: Number(values["at-once"]),
  report: (line) => process.stdout.write(`${line}\n`),
});
for (const violation of violations) process.stdout.write(`VIOLATION ${violation}\n`);
const sums = Object.entries(figures).map(([name, value]) => `${name} ${value.toLocaleString("en-US")}`);
process.stdout.write(
  `${violations.length === 0 ? "all is well" : `${violations.length} violations`}: ${sums.join(", ")}\n`,
);
process.exitCode = violations.length === 0 ? 0 : 1;
