/**
 * The long form of the chaos run, with kills under load and both encodings in turn: `bun test/chaos/run.ts [--minutes 10]
 * [--seed 1] [--program PATH]`. Prints its figures; fails if anything was lost, invented or counted twice.
 */
import { parseArgs } from "node:util";
import { runStorm } from "./storm.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    program: { type: "string" },
  },
});
const durationMs = Number(values.minutes) * 60_000;
const { figures, deeds, violations } = await runStorm({
  seed: Number(values.seed),
  durationMs,
  minKills: 30,
  minFigures: { recordsAnswered: 1000, wholeFolds: 10, protobuf: 30, json: 30 },
  maxLifeMs: 6000,
  senders: 6,
  program: values.program,
});
const table = (rows: Readonly<Record<string, number>>) =>
  Object.entries(rows)
    .map(([name, value]) => `  ${name.padEnd(24)}${value.toLocaleString("en-US")}\n`)
    .join("");
process.stdout.write(`chaos, seed ${values.seed}\n${table(figures)}what the backend did, by requests\n${table(deeds)}`);
for (const violation of violations) process.stdout.write(`VIOLATION ${violation}\n`);
process.stdout.write(violations.length === 0 ? "nothing lost, nothing invented, nothing counted twice\n" : "");
process.exitCode = violations.length === 0 ? 0 : 1;
