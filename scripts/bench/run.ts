/** One run: the program, the sink and the generator as three processes, a load, the wait for delivery, the check. */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createLoad, entriesPerBody, entriesPerRecord, recordsPerBody, sumsOfRecords } from "./bodies.ts";
import { startChild } from "./child.ts";
import type { Child } from "./child.ts";
import { type Floor, idleFloor, readProbe, startProbe } from "./floor.ts";
import type { GeneratorReport, GeneratorRequest, GeneratorStart } from "./generator.ts";
import type { BenchOptions } from "./options.ts";
import { startProgram } from "./program.ts";
import type { Program } from "./program.ts";
import type { SinkArrivals, SinkFindings, SinkRequest } from "./sink.ts";
import { cpuSecondsOf, watchMemory } from "./usage.ts";

/** What was measured; every duration names its unit. */
export interface Figures {
  readonly entries: number;
  readonly loadSeconds: number;
  /** From the start of the load to the last log request at the sink. */
  readonly deliverySeconds: number;
  readonly cpuSeconds: number;
  readonly peakMemoryBytes: number;
  readonly acknowledgementMs: GeneratorReport["acknowledgementMs"];
  readonly floor: Floor;
  readonly startToAcceptedMs: number;
  /** Of the program's file; undefined for a script. */
  readonly programBytes: number | undefined;
  readonly generator: GeneratorReport;
  readonly arrivals: SinkArrivals;
  /** Log records that came more than once: allowed, and seldom. */
  readonly repeatedLogRecords: number;
  readonly exitCode: number | undefined;
}

export interface Run {
  readonly figures: Figures;
  /** What is wrong; empty when everything was delivered and the counters add up. */
  readonly problems: readonly string[];
}

/** Without a new log request for this long, the sink's books are looked into. */
const quietMs = 1500;

const childTimeoutMs = 30_000;
const stopTimeoutMs = 25_000;

/** Ends every process that it started and removes its directory, whatever happens. */
export async function run(options: BenchOptions, program: string): Promise<Run> {
  const directory = mkdtempSync(join(tmpdir(), "tailscale2otel-bench-"));
  const load = createLoad(options.bodies, Date.now());
  const children: Child[] = [];
  let started: Program | undefined;
  try {
    const floorBefore = idleFloor(load);
    const sink = startChild("sink.ts", []);
    children.push(sink);
    const { url: endpoint } = await sink.read<{ url: string }>(childTimeoutMs);
    const generator = await readyGenerator(options, children);
    const firstBody = load.extraEnvelope(options.bodies);
    started = await startProgram({ path: program, directory, endpoint, protocol: options.protocol, firstBody });
    const probe = await startProbe();
    children.push(probe);
    const measured = await loadAndDrain(options, started, sink, generator);
    const loadedMicros = await readProbe(probe);
    const exitCode = await started.stop(stopTimeoutMs);
    const findings = await verified(sink, measured.generator.bodies, options.bodies);
    const floor = { loadedMicros, idleMicros: Math.min(floorBefore, idleFloor(load)) };
    const figures: Figures = {
      ...measured,
      exitCode,
      floor,
      repeatedLogRecords: findings.repeated,
      entries: measured.generator.bodies * entriesPerBody,
      startToAcceptedMs: started.startToAcceptedMs,
      programBytes: /\.(ts|js|mjs)$/.test(program) ? undefined : statSync(program).size,
    };
    const problems = problemsOf(figures, findings, options.bodies);
    return { figures, problems: problems.length === 0 ? [] : [...problems, ...started.lastLines()] };
  } finally {
    await started?.stop(1000);
    await Promise.all(children.map((child) => child.end()));
    rmSync(directory, { recursive: true, force: true });
  }
}

type Measured = Omit<
  Figures,
  "repeatedLogRecords" | "entries" | "exitCode" | "floor" | "startToAcceptedMs" | "programBytes"
>;

async function readyGenerator(options: BenchOptions, children: Child[]): Promise<Child> {
  const { bodies, senders, seconds, rate } = options;
  const request: GeneratorRequest = { bodies, senders, seconds, rate, endMs: Date.now() };
  const generator = startChild("generator.ts", [JSON.stringify(request)]);
  children.push(generator);
  await generator.read<{ ready: true }>(10 * childTimeoutMs);
  return generator;
}

async function loadAndDrain(options: BenchOptions, program: Program, sink: Child, generator: Child): Promise<Measured> {
  await quiet(sink, program, Date.now() + childTimeoutMs);
  const cpuBefore = cpuSecondsOf(program.pid);
  const memory = watchMemory(program.pid);
  const beganAt = Date.now();
  generator.write({ url: program.url, token: program.token } satisfies GeneratorStart);
  const report = await generator.read<GeneratorReport>(options.seconds * 1000 + 90_000);
  const deadline = Date.now() + options.drainSeconds * 1000;
  let arrivals = await quiet(sink, program, deadline);
  while (
    program.isRunning() &&
    Date.now() < deadline &&
    (await verified(sink, report.bodies, options.bodies)).missing > 0
  ) {
    arrivals = await quiet(sink, program, deadline);
  }
  return {
    loadSeconds: report.seconds,
    deliverySeconds: (arrivals.lastLogAt - beganAt) / 1000,
    cpuSeconds: cpuSecondsOf(program.pid) - cpuBefore,
    peakMemoryBytes: memory.stop(),
    acknowledgementMs: report.acknowledgementMs,
    generator: report,
    arrivals,
  };
}

/** Waits until the sink has had no log request for a while. */
async function quiet(sink: Child, program: Program, deadline: number): Promise<SinkArrivals> {
  for (;;) {
    sink.write({ ask: "arrivals" } satisfies SinkRequest);
    const arrivals = await sink.read<SinkArrivals>(childTimeoutMs);
    const isQuiet = arrivals.lastLogAt > 0 && Date.now() - arrivals.lastLogAt > quietMs;
    if (isQuiet || !program.isRunning() || Date.now() > deadline) return arrivals;
    await wait(100);
  }
}

/** `sent` bodies were acknowledged, and the first request, which comes after the `prepared` ones. */
async function verified(sink: Child, sent: number, prepared: number): Promise<SinkFindings> {
  const extra = prepared * entriesPerBody;
  const entries: [number, number][] = [
    [0, sent * entriesPerBody],
    [extra, extra + entriesPerRecord],
  ];
  sink.write({ ask: "verify", entries } satisfies SinkRequest);
  return sink.read<SinkFindings>(10 * childTimeoutMs);
}

function problemsOf(figures: Figures, findings: SinkFindings, prepared: number): readonly string[] {
  const records = figures.generator.bodies * recordsPerBody;
  const sent = sumsOfRecords(0, records);
  const extra = sumsOfRecords(prepared * recordsPerBody, prepared * recordsPerBody + 1);
  const duplicates = findings.totals["tailscale2otel.ingest.records/duplicate"] ?? 0;
  const expected: Readonly<Record<string, number>> = {
    "tailscale.network.flows": figures.entries + entriesPerRecord,
    "tailscale.network.io.rollup/transmit": sent.txBytes + extra.txBytes,
    "tailscale.network.io.rollup/receive": sent.rxBytes + extra.rxBytes,
    "tailscale2otel.ingest.records/accepted": records + 1,
  };
  const problems = Object.entries(expected)
    .filter(([total, value]) => findings.totals[total] !== value)
    .map(([total, value]) => `${total} is ${findings.totals[total] ?? "absent"}, not ${value}`);
  if (figures.generator.bodies === 0) problems.push("nothing was sent");
  if (findings.missing > 0) problems.push(`${findings.missing} log records were not delivered`);
  if (findings.unexpected > 0) problems.push(`${findings.unexpected} log records belong to nothing that was sent`);
  if (duplicates > figures.generator.repeated * recordsPerBody)
    problems.push(`${duplicates} records were taken for duplicates`);
  if (figures.exitCode !== 0) problems.push(`the program ended with ${figures.exitCode ?? "a signal"}`);
  return problems;
}
