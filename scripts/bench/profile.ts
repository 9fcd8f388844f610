/** `bun run bench --profile`: shows where the program, run from its sources, spends its time under full load, by thread, step and function. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isMainThread, threadId } from "node:worker_threads";
import { inPlace, type Place } from "./program.ts";
import { Stage } from "./stage.ts";
import { type ThreadUsage, threadsOf } from "./usage.ts";

/** The format of V8's inspector; Bun's writes it too, from both threads. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
}

const source = resolve(import.meta.dirname, "../../src");
const warmUpSeconds = 2;
const functionsShown = 15;
const sampleMicros = 500;

/** Samples are taken only while a thread runs, so shares are shares of its CPU time. */
export function profile(seconds: number): Promise<string> {
  return inPlace((place) => profileIn(place, seconds));
}

async function profileIn(place: Place, seconds: number): Promise<string> {
  const sampled = warmUpSeconds + seconds;
  const stage = await Stage.open({
    program: import.meta.path,
    place,
    shape: "stream",
    protocol: "http/protobuf",
    backend: "up",
    bodies: 250 * seconds,
    senders: 4,
    settings: { BENCH_PROFILE_SECONDS: String(sampled), BENCH_PROFILE_DIRECTORY: place.directory },
  });
  try {
    await stage.send({ seconds: warmUpSeconds });
    await stage.drained();
    const before = threadsOf(stage.program.pid);
    const { entries, cpuMicros, floorMicros } = await stage.measure({ seconds });
    const threads = threadsOf(stage.program.pid)
      .map((thread) => ({
        ...thread,
        seconds: thread.seconds - (before.find(({ id }) => id === thread.id)?.seconds ?? 0),
      }))
      .toSorted((left, right) => right.seconds - left.seconds);
    const profiles = await profilesIn(place.directory, sampled * 1000);
    await stage.finish();
    const total = `${cpuMicros.toFixed(2)} µs of CPU per entry, ${(cpuMicros / floorMicros).toFixed(1)} × the floor (with the profilers)`;
    const lines = [total, "", ...threadTable(threads, entries)];
    for (const [name, cpuProfile] of profiles) {
      const isMain = name.startsWith("main");
      const thread = threads.find(({ id, name: comm }) =>
        isMain ? id === stage.program.pid : id !== stage.program.pid && /worker/i.test(comm) && !/jit/i.test(comm),
      );
      lines.push("", `${name}, ${cpuProfile.samples.length} samples`);
      lines.push(...profileTable(cpuProfile, ((thread?.seconds ?? 0) * 1e6) / entries));
    }
    return `${[...lines, ...stage.problems].join("\n")}\n`;
  } finally {
    await stage.close();
  }
}

/** Threads by name, including those of the garbage collector and of the JIT compiler. */
function threadTable(threads: readonly ThreadUsage[], entries: number): readonly string[] {
  const byName = new Map<string, number>();
  for (const { name, seconds } of threads) byName.set(name, (byName.get(name) ?? 0) + seconds);
  return [...byName]
    .filter(([, seconds]) => seconds > 0)
    .map(([name, seconds]) => `${name.padEnd(20)}${((seconds * 1e6) / entries).toFixed(2).padStart(7)} µs/entry`);
}

async function profilesIn(directory: string, timeoutMs: number): Promise<readonly (readonly [string, CpuProfile])[]> {
  const find = () => readdirSync(directory).filter((name) => name.endsWith(".cpuprofile"));
  for (const deadline = Date.now() + timeoutMs; find().length < 2 && Date.now() < deadline;) await wait(100);
  await wait(500);
  return find()
    .toSorted()
    .map((name) => [name, JSON.parse(readFileSync(join(directory, name), "utf8")) as CpuProfile] as const);
}

/** A sample in native code counts towards the function that called it. */
function profileTable({ nodes, samples }: CpuProfile, micros: number): readonly string[] {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame] as const));
  const steps = new Map<string, number>();
  const functions = new Map<string, number>();
  for (const sample of samples) {
    const own = frames.get(sample)?.functionName ?? "";
    let owner: number | undefined = sample;
    while (owner !== undefined && !isOurs(frames.get(owner)?.url)) owner = parents.get(owner);
    const frame = owner === undefined ? undefined : frames.get(owner);
    const path = frame === undefined ? "runtime" : pathOf(frame.url);
    const native = owner === sample || frame === undefined ? "" : `${own || "(native)"} in `;
    const name = `${native}${frame?.functionName || own || "(module)"} ${path}`;
    const step = path.replace(/\/[^/]*$/, "");
    steps.set(step, (steps.get(step) ?? 0) + 1);
    functions.set(name, (functions.get(name) ?? 0) + 1);
  }
  const rows = (counts: ReadonlyMap<string, number>) =>
    [...counts]
      .toSorted(([, left], [, right]) => right - left)
      .slice(0, functionsShown)
      .map(([name, count]) => {
        const share = count / samples.length;
        return `  ${(share * micros).toFixed(2).padStart(6)} µs ${(share * 100).toFixed(1).padStart(5)} %  ${name}`;
      });
  return [" by step", ...rows(steps), " by function", ...rows(functions)];
}

function isOurs(url: string | undefined): boolean {
  return url !== undefined && url.startsWith("file:") && fileURLToPath(url).startsWith(source);
}

function pathOf(url: string): string {
  return fileURLToPath(url).slice(source.length + 1);
}

/** Runs the program as `src/main.ts` does, with a sampling profiler in each thread that writes its profile after a given time. */
async function runProfiled(): Promise<void> {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.setSamplingInterval", { interval: sampleMicros });
  session.post("Profiler.start");
  const path = join(process.env["BENCH_PROFILE_DIRECTORY"] ?? ".", isMainThread ? "main" : `worker-${threadId}`);
  const write = () =>
    session.post("Profiler.stop", (error, answer) => {
      if (error === null) writeFileSync(`${path}.cpuprofile`, JSON.stringify(answer.profile));
    });
  setTimeout(write, Number(process.env["BENCH_PROFILE_SECONDS"]) * 1000).unref();
  const { runCli } = await import("../../src/cli/index.ts");
  const { startExportWorker } = await import("../../src/export/worker.ts");
  if (isMainThread) process.exit(await runCli(new URL(import.meta.url)));
  startExportWorker();
}

if (import.meta.main || !isMainThread) await runProfiled();
