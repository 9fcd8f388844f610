/** The figures of a run as text: a table to read, and one line to compare. */
import type { BenchOptions } from "./options.ts";
import type { Figures } from "./run.ts";

/** The derived figures, in the units that their names say. */
export function summaryOf(figures: Figures) {
  const { entries, cpuSeconds, floor } = figures;
  const cpuMicrosPerEntry = (cpuSeconds * 1e6) / entries;
  return {
    entries,
    acceptedPerSecond: entries / figures.loadSeconds,
    deliveredPerSecond: entries / figures.deliverySeconds,
    cpuMicrosPerEntry,
    floorMicrosPerEntry: floor.loadedMicros,
    timesFloor: cpuMicrosPerEntry / floor.loadedMicros,
    idleFloorMicrosPerEntry: floor.idleMicros,
    timesIdleFloor: cpuMicrosPerEntry / floor.idleMicros,
    peakMemoryBytes: figures.peakMemoryBytes,
    acknowledgementP50Ms: figures.acknowledgementMs.p50,
    acknowledgementP99Ms: figures.acknowledgementMs.p99,
    acknowledgementMaxMs: figures.acknowledgementMs.max,
    startToAcceptedMs: figures.startToAcceptedMs,
    programBytes: figures.programBytes,
    loadSeconds: figures.loadSeconds,
    deliverySeconds: figures.deliverySeconds,
    wireBytesPerEntry: figures.generator.wireBytes / entries,
    textBytesPerEntry: figures.generator.textBytes / entries,
    logBytesPerEntry: figures.arrivals.logBytes / entries,
    logRequests: figures.arrivals.logRequests,
    repeatedRequests: figures.generator.repeated,
    repeatedLogRecords: figures.repeatedLogRecords,
    ranOut: figures.generator.ranOut,
  };
}

export type Summary = ReturnType<typeof summaryOf>;

/** One line, in fixed order. */
export function lineOf(summary: Summary, problems: readonly string[]): string {
  return [
    `${whole(summary.acceptedPerSecond)} entries/s accepted`,
    `${whole(summary.deliveredPerSecond)} delivered`,
    `${summary.cpuMicrosPerEntry.toFixed(2)} µs CPU/entry`,
    `${summary.timesIdleFloor.toFixed(1)} × idle floor ${summary.idleFloorMicrosPerEntry.toFixed(2)} µs`,
    `${summary.timesFloor.toFixed(1)} × floor under load ${summary.floorMicrosPerEntry.toFixed(2)} µs`,
    `peak ${megabytes(summary.peakMemoryBytes)}`,
    `ack p50 ${summary.acknowledgementP50Ms.toFixed(1)} ms p99 ${summary.acknowledgementP99Ms.toFixed(1)} ms`,
    `start ${summary.startToAcceptedMs.toFixed(0)} ms`,
    ...(summary.programBytes === undefined ? [] : [`binary ${megabytes(summary.programBytes)}`]),
    problems.length === 0 ? `all of ${whole(summary.entries)} delivered` : "FAILED",
  ].join(" · ");
}

export function tableOf(summary: Summary, options: BenchOptions): readonly string[] {
  const rows: readonly (readonly [string, string])[] = [
    [
      "load",
      `${whole(summary.entries)} entries in ${summary.loadSeconds.toFixed(1)} s, ${options.senders} senders, ${options.protocol}`,
    ],
    [
      "accepted",
      `${whole(summary.acceptedPerSecond)} entries/s${summary.ranOut ? " (the prepared bodies ran out)" : ""}`,
    ],
    [
      "delivered",
      `${whole(summary.deliveredPerSecond)} entries/s, the last after ${summary.deliverySeconds.toFixed(1)} s`,
    ],
    ["CPU of the process", `${summary.cpuMicrosPerEntry.toFixed(2)} µs per entry`],
    [
      "JSON decode floor",
      `${summary.floorMicrosPerEntry.toFixed(2)} µs per entry during the load, ${summary.idleFloorMicrosPerEntry.toFixed(2)} µs without it`,
    ],
    ["ratio", `${summary.timesFloor.toFixed(1)} × floor, ${summary.timesIdleFloor.toFixed(1)} × the one without load`],
    ["peak memory", megabytes(summary.peakMemoryBytes)],
    [
      "acknowledgement",
      `p50 ${summary.acknowledgementP50Ms.toFixed(1)} ms, p99 ${summary.acknowledgementP99Ms.toFixed(1)} ms, longest ${summary.acknowledgementMaxMs.toFixed(0)} ms, ${summary.repeatedRequests} repeated`,
    ],
    ["start to first 200", `${summary.startToAcceptedMs.toFixed(0)} ms`],
    ["size of the program", summary.programBytes === undefined ? "a script" : megabytes(summary.programBytes)],
    [
      "log requests",
      `${whole(summary.logRequests)}; ${whole(summary.repeatedLogRecords)} log records came more than once`,
    ],
    [
      "bytes per entry",
      `${summary.textBytesPerEntry.toFixed(0)} as text, ${summary.wireBytesPerEntry.toFixed(1)} on the wire, ${summary.logBytesPerEntry.toFixed(1)} as OTLP logs`,
    ],
  ];
  return rows.map(([name, value]) => `${name.padEnd(20)} ${value}`);
}

function whole(amount: number): string {
  return Math.round(amount).toLocaleString("en-US");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
