/**
 * Measures what viewers of the live page cost the compiled binary under steady load. Phases without viewers come before and
 * after the long phase with them. Prints a line of figures every 10 s and a comparison at the end, and appends all lines to a
 * file too.
 *
 * `bun test/chaos/pages.ts [--minutes 60] [--pages 10] [--rate 5000] [--clients] [--log PATH] [--program PATH]`: with
 * `--clients`, as many plain clients replace the pages of a real browser. Browser pages need CPU of their own, which a burst
 * then lacks on a machine with two cores; what the instance itself pays shows in the CPU per entry, and in a burst with
 * clients.
 */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { cpuSecondsOf, memoryOf } from "../../scripts/bench/usage.ts";
import { conservationAt } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { launchProgram } from "../support/running-program.ts";
import { createTailnetLoad } from "./pages-load.ts";
import { openClients, openPages, type Viewers } from "./pages-viewers.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    pages: { type: "string", default: "10" },
    rate: { type: "string", default: "5000" },
    clients: { type: "boolean", default: false },
    log: { type: "string", default: join(tmpdir(), "pages.log") },
    program: { type: "string" },
  },
});
const minutes = positive("minutes");
const pages = positive("pages");
const rate = positive("rate");

/** Until caches are warm. */
const warmUpMs = 20_000;

/** The share of the total time before and after the phase with viewers, and its maximum. */
const shareWithout = 0.15;
const maxWithoutMs = 5 * 60_000;
const lineMs = 10_000;
const marks = [0.1, 0.5, 1] as const;

/** Simulated windows per burst, some hundred thousand entries. The best of several bursts counts. */
const burstWindows = 40;
const burstsPerPhase = 3;

/** Enough nodes that the simulated time passes four times as fast as real time. */
const nodes = Math.max(500, Math.ceil(rate / 8));

const startedAt = performance.now();
const logPath = resolve(values.log);
writeFileSync(logPath, "");
const directory = mkdtempSync(join(tmpdir(), "pages-"));
const backend = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    await request.arrayBuffer();
    return new Response(null, { headers: { "content-type": request.headers.get("content-type") ?? "" } });
  },
});
const program = await launchProgram({
  command: [values.program ?? programBinary()],
  directory,
  endpoint: `http://127.0.0.1:${backend.port}`,
  encoding: "protobuf",
  settings: { TS2OTEL_OTLP__METRIC_INTERVAL: "10s" },
});
let isEnded = false;
void program.ended.then((code) => {
  isEnded = true;
  if (!isOver) say("THE PROGRAM ENDED", `with ${code}: ${program.output().slice(-2000)}`);
});
let isOver = false;
process.once("SIGINT", () => void end());
process.once("SIGTERM", () => void end());

const load = createTailnetLoad({ url: program.url, token: program.token, nodes }, (why) => {
  if (isEnded) throw new Error("the program has ended");
  say("a request failed", why);
});

interface Phase {
  readonly name: string;
  readonly hasPages: boolean;
  readonly entriesPerSecond: number;
  readonly cpuMicrosPerEntry: number;
  readonly p50: number;
  readonly p99: number;
  readonly burst: number;
}

const phases: Phase[] = [];
const memory: string[] = [];

try {
  await program.healthy();
  say(
    "begins",
    `${minutes} min, ${pages} ${values.clients ? "clients" : "pages"}, ${rate} entries/s of ${nodes} nodes`,
  );
  say("log", logPath);
  const wholeMs = minutes * 60_000;
  const withoutMs = Math.min(maxWithoutMs, wholeMs * shareWithout);
  await load.steady(rate, performance.now() + warmUpMs);
  load.totals.acknowledgementMs.length = 0;
  await phase("before", withoutMs, undefined);
  const viewers = values.clients ? openClients(pages, program.admin, say) : await openPages(pages, program.admin, say);
  await phase("with pages", wholeMs - 2 * withoutMs, viewers);
  await viewers.stop();
  await phase("after", withoutMs, undefined);
  await compare();
} catch (error) {
  say("FAILED", error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = 1;
} finally {
  await end();
}

/** Load for `ms`, then bursts. */
async function phase(name: string, ms: number, viewers: Viewers | undefined): Promise<void> {
  const before = { cpu: cpuSecondsOf(program.pid), entries: load.totals.entries, at: performance.now() };
  const acknowledged: number[] = [];
  const left = viewers === undefined ? [] : [...marks];
  const line = async (): Promise<void> => {
    const recent = load.totals.acknowledgementMs.splice(0);
    acknowledged.push(...recent);
    const parts = [
      `rss ${residentMegabytes()}`,
      `cpu ${microsPerEntry(before).toFixed(2)} µs/entry`,
      `answered in ${quantile(recent, 0.5)}/${quantile(recent, 0.99)} ms`,
      `${load.totals.entries} entries`,
      ...(viewers === undefined ? [] : [await viewers.figures()]),
    ];
    say(name, parts.join("; "));
    if (viewers !== undefined && (performance.now() - before.at) / ms >= (left[0] ?? Infinity)) await mark(viewers);
  };
  const mark = async (settling: Viewers): Promise<void> => {
    const text = `at ${(left.shift() ?? 1) * 100} %: rss ${residentMegabytes()}; ${await settling.settledFigures()}`;
    memory.push(text);
    say("memory", text);
  };
  let lines = Promise.resolve();
  const watch = setInterval(() => {
    lines = lines.then(line).catch((error: unknown) => say("no figures", String(error)));
  }, lineMs);
  await load.steady(rate, before.at + ms);
  const [micros, seconds] = [microsPerEntry(before), (performance.now() - before.at) / 1000];
  const entriesPerSecond = (load.totals.entries - before.entries) / seconds;
  clearInterval(watch);
  await lines.then(line);
  const bursts: number[] = [];
  for (let times = 0; times < burstsPerPhase; times++) bursts.push(await load.burst(burstWindows));
  load.totals.acknowledgementMs.length = 0;
  const [p50, p99] = [quantile(acknowledged, 0.5), quantile(acknowledged, 0.99)];
  const burst = Math.max(...bursts);
  phases.push({ name, hasPages: viewers !== undefined, entriesPerSecond, cpuMicrosPerEntry: micros, p50, p99, burst });
  say(`${name}: bursts`, `${bursts.map(Math.round).join(", ")} entries/s as fast as they are accepted`);
}

function microsPerEntry(before: { readonly cpu: number; readonly entries: number }): number {
  return ((cpuSecondsOf(program.pid) - before.cpu) * 1e6) / Math.max(1, load.totals.entries - before.entries);
}

async function compare(): Promise<void> {
  for (const { name, entriesPerSecond, cpuMicrosPerEntry, p50, p99, burst } of phases)
    say(
      `result: ${name}`,
      `${Math.round(entriesPerSecond)} entries/s, ${cpuMicrosPerEntry.toFixed(2)} µs of CPU per entry, answered in ${p50} ms (p50), ${p99} ms (p99), burst ${Math.round(burst)} entries/s`,
    );
  const mean = (hasPages: boolean, value: (phase: Phase) => number): number => {
    const those = phases.filter((one) => one.hasPages === hasPages).map(value);
    return those.reduce((sum, one) => sum + one, 0) / those.length;
  };
  const compared = (what: string, value: (phase: Phase) => number): void => {
    const [without, with_] = [mean(false, value), mean(true, value)];
    const percent = ((with_ - without) * 100) / without;
    say(`with against without: ${what}`, `${percent >= 0 ? "+" : ""}${percent.toFixed(1)} %`);
  };
  compared("entries/s", (one) => one.entriesPerSecond);
  compared("entries/s in a burst", (one) => one.burst);
  compared("CPU per entry", (one) => one.cpuMicrosPerEntry);
  compared("p99", (one) => one.p99);
  for (const text of memory) say("memory", text);
  say("peak memory", megabytes(memoryOf(program.pid, "VmHWM")));
  say("requests", `${load.totals.requests} accepted, ${load.totals.failures} attempts failed`);
  const { received, accepted, duplicate, pending } = await conservationAt(program.admin);
  say("sums", `received ${received}, accepted ${accepted}, duplicate ${duplicate}, pending ${pending}`);
}

async function end(): Promise<void> {
  if (isOver) return;
  isOver = true;
  const code = await Promise.race([program.stop(), wait(30_000)]);
  say("the program stopped", `with ${code}`);
  if (code !== 0) process.exitCode = 1;
  await program.kill();
  await backend.stop(true);
  rmSync(directory, { recursive: true, force: true });
  process.exit();
}

/** Writes a line to the console and the file at once, whatever happens next. */
function say(name: string, text: string): void {
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const line = `${String(seconds).padStart(5)} s  ${name.padEnd(22)}  ${text}\n`;
  process.stdout.write(line);
  appendFileSync(logPath, line);
}

function residentMegabytes(): string {
  return megabytes(memoryOf(program.pid, "VmRSS"));
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((left, right) => left - right);
  return Math.round((sorted[Math.floor(sorted.length * share)] ?? 0) * 10) / 10;
}

function positive(name: "minutes" | "pages" | "rate"): number {
  const number = Number(values[name]);
  if (!(number > 0)) throw new TypeError(`--${name} is a number above 0`);
  return number;
}
