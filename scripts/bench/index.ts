/** `bun run bench`: measures the real program under load against its targets, and fails if anything was lost or counted wrongly. */
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Figure, figuresOf, type Rounds, tableOf } from "./figures.ts";
import { extents, Measurer, type MeasurementName, measurements } from "./measurements.ts";
import { profile } from "./profile.ts";

const root = resolve(import.meta.dirname, "../..");

const usage = `bun run bench [flags] [measurement…]

Measurements (all of them, if none is named):
${Object.entries(measurements)
  .map(([name, what]) => `  ${name.padEnd(18)}${what}`)
  .join("\n")}

  --rounds <n>      rounds, of which the median counts (3); memory and keys are measured once
  --seconds <n>     length of one measured load (8)
  --quick           one round of short loads
  --long            ten minutes for memory
  --program <path>  the program to run, instead of building and running dist/tailscale2otel;
                    .ts, .js and .mjs run in this runtime
  --vs <path>       a second program, measured in the same rounds
  --journal <name>  postgres: only the measurements protobuf and postgres
  --profile         instead: where the time of the source program goes, by step and by thread
  --json            print everything as one JSON object
`;

type Command = Exclude<ReturnType<typeof commandOf>, string>;

/** The results of one program over all rounds. */
interface Measured {
  readonly program: string;
  readonly rounds: Rounds;
  readonly figures: readonly Figure[];
  readonly problems: readonly string[];
}

const names = Object.keys(measurements) as MeasurementName[];

/** Slow measurements whose results do not vary between rounds. */
const measuredOnce = new Set<MeasurementName>(["memory", "keys"]);

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});

/** Returns the exit code. 0: everything is in order; 1: something was lost, counted wrongly, or failed; 2: a target is missed; 64: wrong usage. */
async function main(args: readonly string[]): Promise<number> {
  const command = commandOf(args);
  if (typeof command === "string") {
    (command === usage ? process.stdout : process.stderr).write(command);
    return command === usage ? 0 : 64;
  }
  if (command.profile) {
    process.stdout.write(await profile(command.extent.seconds));
    return 0;
  }
  const [own, other] = await measure([command.program ?? built(), command.vs ?? []].flat(), command);
  if (own === undefined) return 1;
  process.stdout.write(command.json ? `${JSON.stringify({ own, other })}\n` : textOf(own, other));
  if (own.problems.length + (other?.problems.length ?? 0) > 0) return 1;
  return own.figures.some(({ verdict }) => verdict === "MISSED") ? 2 : 0;
}

/** The parsed command, or the text to print instead of running one. */
function commandOf(args: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        rounds: { type: "string" },
        seconds: { type: "string" },
        quick: { type: "boolean", default: false },
        long: { type: "boolean", default: false },
        program: { type: "string" },
        vs: { type: "string" },
        journal: { type: "string" },
        profile: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return usage;
    const unknown = positionals.find((name) => !(name in measurements));
    if (unknown !== undefined) throw new TypeError(`unknown measurement ${JSON.stringify(unknown)}`);
    if (values.journal !== undefined && values.journal !== "postgres")
      throw new TypeError(`--journal is postgres, not ${JSON.stringify(values.journal)}`);
    const wanted = values.journal === undefined ? positionals : ["protobuf", "postgres", ...positionals];
    const extent = values.quick ? extents.quick : extents.full;
    const seconds = values.seconds === undefined ? extent.seconds : numberOf("seconds", values.seconds, 600);
    return {
      measurements: wanted.length === 0 ? names : names.filter((name) => wanted.includes(name)),
      rounds: values.rounds === undefined ? (values.quick ? 1 : 3) : numberOf("rounds", values.rounds, 100),
      extent: { ...extent, seconds, memorySeconds: values.long ? 600 : extent.memorySeconds },
      program: values.program,
      vs: values.vs,
      profile: values.profile,
      json: values.json,
    };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${usage}`;
  }
}

function numberOf(name: string, text: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new TypeError(`--${name} is a whole number from 1 to ${most}, not ${JSON.stringify(text)}`);
  return value;
}

/** In each round, every measurement runs on one program right after the other, so that both see the same conditions. */
async function measure(programs: readonly string[], command: Command): Promise<readonly Measured[]> {
  const all = programs.map((path) => ({ program: resolve(path), rounds: {} as Rounds, problems: [] as string[] }));
  for (let round = 0; round < command.rounds; round++) {
    const measured = all.map((one) => ({ ...one, measurer: new Measurer(one.program, command.extent) }));
    for (const name of command.measurements) {
      if (round > 0 && measuredOnce.has(name)) continue;
      for (const { program, rounds, problems, measurer } of measured) {
        process.stderr.write(`round ${round + 1} of ${command.rounds}: ${name}, ${program}\n`);
        const numbers = await measurer.measure(name).catch((error: unknown) => void problems.push(`${name}: ${error}`));
        if (numbers !== undefined) (rounds[name] ??= []).push(numbers);
        problems.push(...measurer.problems.splice(0).map((problem) => `${name}: ${problem}`));
      }
    }
  }
  return all.map(({ rounds, ...measured }) => ({ ...measured, rounds, figures: figuresOf(rounds) }));
}

function textOf(own: Measured, other: Measured | undefined): string {
  const missed = own.figures.filter(({ verdict }) => verdict === "MISSED").map(({ title }) => title);
  const problems = [...own.problems, ...(other?.problems ?? [])];
  const lines = [
    ...tableOf(own.figures, other?.figures),
    "",
    missed.length === 0 ? "every target is met" : `MISSED: ${missed.join("; ")}`,
    problems.length === 0 ? "everything sent was delivered and counted exactly" : "FAILED:",
  ];
  return `${[...lines, ...problems].join("\n")}\n`;
}

function built(): string {
  execFileSync(process.execPath, ["run", "build"], { cwd: root, stdio: ["ignore", process.stderr, process.stderr] });
  return resolve(root, "dist/tailscale2otel");
}
