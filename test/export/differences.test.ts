/** Tests counters exported as deltas to a real OTLP receiver: their values and start times. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { keepTotals, type KeepingDeps, openTotals } from "../../src/export/acknowledged.ts";
import type { Fold } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { foldOf, metricOf, type Series, startExport, type TestExport } from "./metric-export.ts";

const begunAt = 1_800_000_000_000;
const minute = 60_000;
const direction = "network.io.direction";

let sink: OtlpSink;
let state: Map<string, Uint8Array>;
let exports: TestExport[];

beforeEach(async () => {
  sink = await startOtlpSink();
  state = new Map();
  exports = [];
});

afterEach(async () => {
  for (const metrics of exports) await metrics.stop(0);
  await sink.stop();
});

/** A fold that many minutes after the beginning. */
function fold(minutes: number, series: readonly Series[], retired: Record<string, number> = {}): Fold {
  const metric = { ...metricOf("tailscale.network.io", series), retired };
  return foldOf([metric], { at: begunAt + minutes * minute, since: begunAt + (minutes - 1) * minute });
}

function keeping(shown: Fold = foldOf([], { at: begunAt })): KeepingDeps {
  const journal = {
    readState: (name: string) => state.get(name),
    writeState: (name: string, value: Uint8Array) => void state.set(name, value),
  };
  return { journal, shown: () => shown, logger: silentLogger };
}

const all = ["primary", "other"];

/** An export that continues from the stored state, as after a start. */
function start(
  change: Parameters<typeof startExport>[1] = {},
  { deps = keeping(), name = "primary" }: { readonly deps?: KeepingDeps; readonly name?: string } = {},
): TestExport {
  const acknowledged = openTotals(deps, all).get(name);
  const onAcknowledged = (totals: Uint8Array): void => keepTotals(deps, name, totals);
  const metrics = startExport(sink.url, { acknowledged, onAcknowledged, ...change });
  exports.push(metrics);
  return metrics;
}

const a = (value: number, startAt = begunAt): Series => ({
  attributes: { [direction]: "transmit", node: "a" },
  value,
  startAt,
});
const b = (value: number, startAt = begunAt): Series => ({
  attributes: { [direction]: "receive", node: "b" },
  value,
  startAt,
});

/** Value, start and end, in minutes since the beginning. */
const taken = () =>
  sink.points.map(({ attributes, value, startTimeUnixNano, timeUnixNano }) => [
    attributes["node"] ?? attributes,
    value,
    ...[startTimeUnixNano, timeUnixNano].map((time) => (Number(BigInt(time ?? 0) / 1_000_000n) - begunAt) / minute),
  ]);

test("a counter is the difference from the last acknowledged value, starting at its time", async () => {
  const metrics = start();
  await metrics.fold(fold(1, [a(5), b(7)]));
  await metrics.fold(fold(2, [a(8), b(7)]));
  await metrics.fold(fold(3, [a(8), b(9)]));
  expect(taken()).toEqual([
    ["a", 5, 0, 1],
    ["b", 7, 0, 1],
    ["a", 3, 1, 2],
    ["b", 2, 2, 3],
  ]);
  expect(sink.points[0]).toMatchObject({ aggregationTemporality: 1, isMonotonic: true });
});

test("the next request includes what a failed one held, from its start time on", async () => {
  const metrics = start();
  await metrics.fold(fold(1, [a(5)]));
  sink.behave(() => ({ kind: "status", status: 503 }));
  await metrics.fold(fold(2, [a(6)]));
  sink.behave(() => ({ kind: "take" }));
  await metrics.fold(fold(3, [a(9)]));
  expect(taken()).toEqual([
    ["a", 5, 0, 1],
    ["a", 4, 1, 3],
  ]);
});

test("a start continues from what was acknowledged before the kill", async () => {
  await start().fold(fold(1, [a(5)]));
  sink.behave(() => ({ kind: "status", status: 503 }));
  await start().fold(fold(2, [a(6)]));
  sink.behave(() => ({ kind: "take" }));
  await start().fold(fold(3, [a(9)]));
  expect(taken()).toEqual([
    ["a", 5, 0, 1],
    ["a", 4, 1, 3],
  ]);
});

test("a new destination begins with the current counters", async () => {
  const shown = fold(10, [a(500)], { receive: 70 });
  const metrics = start({}, { deps: keeping(shown) });
  await metrics.fold(fold(11, [a(501), b(7, begunAt + 10 * minute)], { receive: 75 }));
  expect(taken()).toEqual([
    ["a", 1, 10, 11],
    ["b", 7, 10, 11],
    [{ [direction]: "receive", "otel.metric.overflow": true }, 5, 10, 11],
  ]);
});

test("a destination that was removed or sent totals in between begins with the current counters too", async () => {
  await start().fold(fold(1, [a(5)]));
  openTotals(keeping(), ["other"]);
  await start({}, { deps: keeping(fold(9, [a(100)])) }).fold(fold(10, [a(101)]));
  expect(taken()).toEqual([
    ["a", 5, 0, 1],
    ["a", 1, 9, 10],
  ]);
});

test("a failure to store what was acknowledged is logged, and the export continues", async () => {
  const lines: string[] = [];
  const deps = { ...keeping(), logger: { ...silentLogger, error: (line: string) => void lines.push(line) } };
  const full = () => {
    throw new Error("no space left");
  };
  await start({}, { deps: { ...deps, journal: { ...deps.journal, writeState: full } } }).fold(fold(1, [a(5)]));
  expect(taken()).toEqual([["a", 5, 0, 1]]);
  expect(lines.at(-1)).toStartWith("cannot keep what a backend has acknowledged");
});

test("each destination has totals of its own", async () => {
  await start().fold(fold(1, [a(5)]));
  await start({}, { name: "other" }).fold(fold(2, [a(8)]));
  await start().fold(fold(3, [a(9)]));
  expect(taken()).toEqual([
    ["a", 5, 0, 1],
    ["a", 8, 0, 2],
    ["a", 4, 1, 3],
  ]);
});

test("the unacknowledged part of a retired series arrives as the overflow of its direction", async () => {
  const metrics = start();
  await metrics.fold(fold(1, [a(5), b(7)]));
  sink.behave(() => ({ kind: "status", status: 503 }));
  await metrics.fold(fold(2, [a(9), b(7)]));
  sink.behave(() => ({ kind: "take" }));
  await metrics.fold(fold(3, [{ attributes: {}, value: 0, startAt: begunAt + 2 * minute }, b(8)], { transmit: 9 }));
  expect(taken().slice(2)).toEqual([
    ["b", 1, 2, 3],
    [{ [direction]: "transmit", "otel.metric.overflow": true }, 4, 1, 3],
  ]);
});

test("points that the backend reports as rejected are not resent", async () => {
  sink.behave(() => ({ kind: "take", rejected: 1, message: "too old" }));
  const metrics = start();
  await metrics.fold(fold(1, [a(5)]));
  await metrics.fold(fold(2, [a(6)]));
  expect(taken()).toEqual([
    ["a", 5, 0, 1],
    ["a", 1, 1, 2],
  ]);
});

describe("the process's own instruments", () => {
  const named = (name: string) => sink.points.filter(({ metric }) => metric === name);

  test("are exported as deltas if they are counters or histograms; gauges and totals that can fall are unchanged", async () => {
    const metrics = start({ self: true });
    const { telemetry } = metrics.instruments;
    const seconds = "tailscale2otel.export.duration";
    telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
    for (const [minutes, times] of [
      [1, 3],
      [2, 2],
      [3, 0],
    ] as const) {
      for (let time = 0; time < times; time++) {
        telemetry.add("tailscale.stream.rejected", 2, { reason: "auth" });
        telemetry.add("tailscale.stream.inflight", 1, {});
        telemetry.record(seconds, 0.25, { signal: "logs", outcome: "success" });
      }
      await metrics.fold(fold(minutes, [a(5)]));
    }
    expect(named("tailscale.stream.rejected").map(({ value }) => value)).toEqual([6, 4]);
    expect(named("tailscale.stream.inflight").map(({ value }) => value)).toEqual([3, 5, 5]);
    expect(named("tailscale2otel.up").map(({ value }) => value)).toEqual([1, 1, 1]);
    const measured = named(seconds);
    expect(measured.map(({ count }) => Number(count))).toEqual([3, 2]);
    expect(measured[1]).toMatchObject({
      aggregationTemporality: 1,
      sum: 0.5,
      startTimeUnixNano: measured[0]?.timeUnixNano,
    });
  });

  test("continue after a start if their total is stored, and begin anew otherwise", async () => {
    const values = { stored: 500, own: 500 };
    const begin = (): TestExport => {
      const metrics = start({ self: true });
      const { telemetry } = metrics.instruments;
      telemetry.observe("tailscale2otel.export.records", () =>
        Number.isNaN(values.stored) ? [] : [{ value: values.stored, attributes: { outcome: "delivered" as const } }],
      );
      telemetry.observe("process.cpu.time", () => [{ value: values.own, attributes: { "cpu.mode": "user" as const } }]);
      return metrics;
    };
    await begin().fold(fold(1, [a(5)]));
    Object.assign(values, { stored: Number.NaN, own: 510 });
    const restarted = begin();
    await restarted.fold(fold(2, [a(6)]));
    values.stored = 507;
    await restarted.fold(fold(3, [a(7)]));
    // As if the journal had been lost.
    values.stored = 3;
    await begin().fold(fold(4, [a(8)]));
    expect(named("tailscale2otel.export.records").map(({ value }) => value)).toEqual([500, 7, 3]);
    expect(named("process.cpu.time").map(({ value }) => value)).toEqual([500, 510, 510]);
  });
});
