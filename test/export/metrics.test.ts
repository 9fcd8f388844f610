/** Tests metrics at a real OTLP receiver: the ledger's points with their start times, the process's instruments, and retries. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { metrics as catalogue } from "../../src/catalogue/metrics.ts";
import { type OtlpSink, startOtlpSink, type SunkRequest } from "../support/otlp-sink.ts";
import { AggregationTemporality, DataPointType, type ScopeMetrics } from "@opentelemetry/sdk-metrics";
import { ValueType } from "@opentelemetry/api";
import { foldMessage } from "../../src/export/fold-points.ts";
import { collectGarbage } from "../../src/runtime/process.ts";
import { until } from "../support/wait.ts";
import { destinationAt, senderTo } from "./settings.ts";
import { foldOf, metricOf, nodesFold, resource, startExport, type TestExport } from "./metric-export.ts";

let sink: OtlpSink;
let exports: TestExport[];

beforeEach(async () => {
  sink = await startOtlpSink();
  exports = [];
});

afterEach(async () => {
  for (const metrics of exports) await metrics.stop(0);
  await sink.stop();
});

function start(change: Parameters<typeof startExport>[1] = {}): TestExport {
  const metrics = startExport(sink.url, change);
  exports.push(metrics);
  return metrics;
}

function instrumentWith(attributes: Readonly<Record<string, string>>): ScopeMetrics {
  const descriptor = { name: "test.up", unit: "1", description: "", valueType: ValueType.INT };
  const point = { attributes, value: 1, startTime: [0, 0] as [number, number], endTime: [0, 0] as [number, number] };
  const aggregationTemporality = AggregationTemporality.CUMULATIVE;
  const metric = {
    descriptor,
    aggregationTemporality,
    dataPointType: DataPointType.GAUGE,
    dataPoints: [point],
  } as const;
  return { scope: { name: "test" }, metrics: [{ ...metric, dataPoints: [point] }] };
}

const ledgerPoints = () => sink.points.filter(({ metric }) => metric === "tailscale.network.io");

describe("the ledger", () => {
  test.each(["json", "protobuf"] as const)(
    "is exported as cumulative sums with their own start times, in %s",
    async (encoding) => {
      const most = 9_007_199_254_740_990;
      await start({ encoding }).fold(
        foldOf([
          metricOf("tailscale.network.io", [
            { attributes: { "tailscale.src.node": "a" }, value: most, startAt: 1_800_000_000_000 },
            { attributes: { "tailscale.src.node": "b" }, value: most + 1, startAt: 1_800_000_000_001 },
          ]),
        ]),
      );
      expect(ledgerPoints()).toMatchObject([
        {
          kind: "sum",
          unit: "By",
          isMonotonic: true,
          aggregationTemporality: 2,
          value: most,
          description: catalogue["tailscale.network.io"].description,
          attributes: { "tailscale.src.node": "a" },
          startTimeUnixNano: "1800000000000000000",
          timeUnixNano: "1800000060125000000",
          scope: { name: "tailscale2otel", version: "1.2.3" },
          resource,
        },
        { startTimeUnixNano: "1800000000001000000", value: most + 1 },
      ]);
      expect(sink.requests[0]?.encoding).toBe(encoding);
    },
  );

  test("is exported in requests of at most 2,000 points", async () => {
    await start({ encoding: "protobuf" }).fold(nodesFold(1, 5_000));
    expect(sink.requests.map(({ points }) => points.length)).toEqual([2_000, 2_000, 1_000]);
    expect(new Set(ledgerPoints().map(({ attributes }) => attributes["tailscale.src.node"])).size).toBe(5_000);
    expect(Math.max(...sink.requests.map(({ bytes }) => bytes))).toBeLessThan(1_048_576);
  });

  test("begins a series with a point of 0, in its first fold only", async () => {
    const since = 1_800_000_000_000;
    const series = [
      { attributes: { "tailscale.src.node": "new" }, value: 7, startAt: since },
      { attributes: { "tailscale.src.node": "old" }, value: 8, startAt: since - 1 },
    ];
    await start().fold(foldOf([metricOf("tailscale.network.io", series)], { since }));
    expect(ledgerPoints().map(({ value, timeUnixNano }) => [value, timeUnixNano])).toEqual([
      [0, "1800000000125000000"],
      [7, "1800000060125000000"],
      [8, "1800000060125000000"],
    ]);
  });

  test("puts that point at most a minute before the fold, however long ago the previous one was", async () => {
    const since = 1_700_000_000_000;
    const series = [{ attributes: { a: "b" }, value: 7, startAt: since }];
    await start().fold(foldOf([metricOf("tailscale.network.io", series)], { since }));
    expect(ledgerPoints()[0]).toMatchObject({ value: 0, timeUnixNano: "1800000000125000000" });
  });

  test("gives gauges no start and no point of 0", async () => {
    const since = 1_800_000_000_000;
    const series = [{ attributes: { "tailscale.src.node": "a" }, value: 3, startAt: since }];
    await start().fold(foldOf([metricOf("tailscale.network.unique.dst_peers", series)], { since }));
    expect(sink.points).toMatchObject([{ kind: "gauge", value: 3 }]);
  });

  test("and process metrics have the common attributes on every point, but a point's own take precedence", async () => {
    const metrics = start({
      self: true,
      common: { "tailscale.tailnet": "example.com", "network.io.direction": "none" },
    });
    const { telemetry } = metrics.instruments;
    telemetry.add("tailscale.stream.rejected", 2, { reason: "auth" });
    telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
    await metrics.fold(nodesFold(1, 3));
    expect(sink.points.length).toBeGreaterThan(5);
    expect(new Set(sink.points.map(({ attributes }) => attributes["tailscale.tailnet"]))).toEqual(
      new Set(["example.com"]),
    );
    expect(ledgerPoints()[0]?.attributes["network.io.direction"]).toBe("transmit");
  });
});

test("no point is older than a previous one, within the requests of a fold and in the next", async () => {
  const metrics = start({ self: true });
  metrics.instruments.telemetry.add("tailscale.stream.rejected", 2, { reason: "auth" });
  const seriesSince = (since: number, name: string, length: number) =>
    Array.from({ length }, (_, index) => ({
      attributes: { "tailscale.src.node": `${name}-${index}` },
      value: 7,
      startAt: since,
    }));
  const [first, second, third] = [1_800_000_000_000, 1_800_000_001_000, 1_800_000_002_000];
  const old = seriesSince(first, "old", 1500);
  const fold = (since: number, at: number, series: typeof old) =>
    metrics.fold(foldOf([metricOf("tailscale.network.io", series)], { since, at }));
  await fold(first, second, old);
  await fold(second, third, [...old, ...seriesSince(second, "new", 1500)]);
  expect(sink.requests.length).toBeGreaterThan(3);
  const times = sink.points.map(({ timeUnixNano = "" }) => timeUnixNano);
  expect(times).toEqual(times.toSorted());
  expect(new Set(times)).toEqual(new Set([first, second, third].map((ms) => `${ms}000000`)));
});

test("process metrics are SDK instruments with the catalogue's units and buckets", async () => {
  const metrics = start({ self: true });
  const { telemetry } = metrics.instruments;
  telemetry.add("tailscale.stream.rejected", 2, { reason: "auth" });
  telemetry.add("tailscale.stream.inflight", 1, {});
  telemetry.record("tailscale2otel.export.duration", 0.02, { signal: "logs", outcome: "success" });
  telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
  telemetry.observe("tailscale2otel.dedup.keys", () => []);
  await metrics.fold(foldOf([]));
  const named = Object.fromEntries(
    sink.points.filter(({ value }) => value !== 0).map((point) => [point.metric, point]),
  );
  expect(Object.keys(named).toSorted()).toEqual([
    "tailscale.stream.inflight",
    "tailscale.stream.rejected",
    "tailscale2otel.export.duration",
    "tailscale2otel.up",
  ]);
  expect(named["tailscale.stream.rejected"]).toMatchObject({ kind: "sum", isMonotonic: true, value: 2 });
  expect(named["tailscale2otel.export.duration"]).toMatchObject({
    kind: "histogram",
    unit: "s",
    aggregationTemporality: 2,
    explicitBounds: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  });
  expect(named["tailscale2otel.up"]).toMatchObject({ kind: "gauge", value: 1 });
});

test("a counter has all series of its closed words from the start, except those named by settings, unless they are too many", async () => {
  const metrics = start({ self: true });
  await metrics.fold(foldOf([]));
  const zeros = (name: string) =>
    sink.points.filter(({ metric, value }) => metric === name && value === 0).map(({ attributes }) => attributes);
  expect(zeros("tailscale.stream.rejected")).toContainEqual({ reason: "auth" });
  expect(zeros("tailscale2otel.export.requests")).toHaveLength(6);
  expect(zeros("tailscale2otel.export.requests")).toContainEqual({ signal: "logs", outcome: "retry" });
  expect(zeros("tailscale2otel.api.requests")).toEqual([]);
});

describe("a backend that fails", () => {
  const isSecond = ({ points }: SunkRequest) => points[0]?.attributes["tailscale.src.node"] === "node-2000";
  const taken = () => sink.requests.filter(({ isTaken }) => isTaken).map(({ points }) => points[0]?.value);

  test("gets the same totals again, until it accepts them", async () => {
    sink.behave((_request, index) => (index < 2 ? { kind: "status", status: 503 } : { kind: "take" }));
    const metrics = start();
    await metrics.fold(nodesFold(7));
    expect(metrics.reports.at(-1)?.state).toMatchObject({ kind: "failing", since: 1_000_000 });
    for (const delayMs of [500, 1000]) {
      await metrics.timers.until(1);
      expect(metrics.timers.waits.map((wait) => wait.delayMs)).toEqual([delayMs]);
      const next = metrics.reported();
      metrics.timers.fire();
      await next;
    }
    expect(sink.requests.map(({ points }) => points[0]?.value)).toEqual([7, 7, 7]);
    expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 0 });
    expect(metrics.lines.map(({ message }) => message)).toEqual([
      "metric export failing; retrying",
      "metric export recovered",
    ]);
  });

  test("is logged once at a stop, because nothing is retried then", async () => {
    sink.behave(() => ({ kind: "status", status: 503 }));
    const metrics = start();
    await metrics.fold(nodesFold(7));
    const lines = metrics.lines.length;
    await metrics.stop();
    await metrics.stop();
    expect(metrics.lines.slice(lines)).toEqual([
      {
        message: "the last export of metrics failed; the next start sends the counters",
        fields: { why: expect.stringContaining("HTTP 503") as string },
      },
    ]);
  });

  test("gets the totals of the next fold instead of a retry", async () => {
    sink.behave(() => ({ kind: "status", status: 503 }));
    const metrics = start();
    await metrics.fold(nodesFold(7));
    sink.behave(() => ({ kind: "take" }));
    await metrics.fold(nodesFold(8));
    expect(sink.points.map(({ value }) => value)).toEqual([8]);
  });

  test("causes no fold to be kept in memory while it does not answer", async () => {
    sink.behave((_request, index) => ({ kind: index === 0 ? "hang" : "take" }));
    const cut = new AbortController();
    const { send } = senderTo(destinationAt(sink.url, { signal: "metrics", url: `${sink.url}/v1/metrics` }));
    let sent = 0;
    const metrics = start({
      send: (body, encoding, stop) => send(body, encoding, sent++ === 0 ? cut.signal : stop),
    });
    const folding = metrics.fold(nodesFold(1));
    await sink.until(({ requests }) => requests.length === 1);
    const folds = 20;
    const held = Array.from({ length: folds }, (_, index) => {
      const message = foldMessage(nodesFold(index + 2), []);
      const attributes = { node: `node-${index}` };
      metrics.post({ ...message, instruments: [instrumentWith(attributes)] });
      return new WeakRef(attributes);
    });
    await until(() => {
      collectGarbage();
      return held.filter((attributes) => attributes.deref() !== undefined).length < folds / 2;
    });
    cut.abort();
    await folding;
    await sink.until(({ points }) => points.some(({ value }) => value === folds + 1));
    expect(sink.requests).toHaveLength(2);
  });

  test("is not contacted for as long as it asks, even for newer folds", async () => {
    sink.behave(() => ({ kind: "status", status: 429, headers: { "retry-after": "200" } }));
    const metrics = start();
    await metrics.fold(nodesFold(7));
    await metrics.timers.until(1);
    const posted = [8, 9].map((value) => metrics.fold(nodesFold(value)));
    metrics.timers.fire(100_000);
    const headers = { "content-type": "application/json" };
    await fetch(`${sink.url}/v1/metrics`, { method: "POST", body: "{}", headers });
    expect(sink.requests.map(({ points }) => points.map(({ value }) => value))).toEqual([[7], []]);
    sink.behave(() => ({ kind: "take" }));
    expect(metrics.timers.waits.map(({ delayMs }) => delayMs)).toContain(200_000);
    metrics.timers.fire();
    await posted.at(-1);
    await sink.until(({ points }) => points.length === 1);
    expect(sink.points.map(({ value }) => value)).toEqual([9]);
  });

  test.each([
    ["fails one request of a fold", () => ({ kind: "status", status: 503 }) as const],
    ["cuts it off", () => ({ kind: "reset" }) as const],
  ])("and %s gets all its other requests at once", async (_, answer) => {
    sink.behave((request) => (isSecond(request) ? answer() : { kind: "take" }));
    const metrics = start({ encoding: "protobuf" });
    await metrics.fold(nodesFold(1, 5_000));
    expect(taken()).toEqual([1, 4_001]);
    expect(metrics.reports.at(-1)?.state.kind).toBe("failing");
    sink.behave(() => ({ kind: "take" }));
    await metrics.timers.until(1);
    const next = metrics.reported();
    metrics.timers.fire();
    await next;
    expect(taken()).toEqual([1, 4_001, 2_001]);
    expect(metrics.points).toEqual({ delivered: 5_000, left_out: 0, rejected: 0 });
  });

  test("for a reason that concerns every request gets one request per round", async () => {
    sink.behave(() => ({ kind: "status", status: 401 }));
    const metrics = start({ encoding: "protobuf" });
    await metrics.fold(nodesFold(1, 5_000));
    expect(sink.requests).toHaveLength(1);
  });

  test("gets one more try at a stop, instead of retries until the deadline", async () => {
    sink.behave(() => ({ kind: "status", status: 503 }));
    const metrics = start();
    await metrics.fold(nodesFold(7));
    await metrics.stop(3_600_000);
    expect(sink.requests).toHaveLength(2);
  });

  test("does not delay a stop beyond its deadline", async () => {
    sink.behave(() => ({ kind: "hang" }));
    const metrics = start();
    const folding = metrics.fold(nodesFold(7));
    await sink.until(({ requests }) => requests.length === 1);
    const stopping = metrics.stop(50);
    await metrics.timers.until(1);
    metrics.timers.fire();
    await Promise.all([stopping, folding]);
    expect(sink.requests).toHaveLength(1);
    await metrics.stop(50);
  });

  test("is not logged if a stop cuts the request off", async () => {
    sink.behave(() => ({ kind: "hang" }));
    const metrics = start();
    const folding = metrics.fold(nodesFold(7));
    await sink.until(({ requests }) => requests.length === 1);
    const stopping = metrics.stop(50);
    await metrics.timers.until(1);
    metrics.timers.fire();
    await Promise.all([stopping, folding]);
    expect(metrics.lines).toEqual([]);
    expect(metrics.reports.every(({ state }) => state.kind === "ok")).toBe(true);
  });
});

test("points rejected by partial success are counted and named in one line", async () => {
  sink.behave(() => ({ kind: "take", rejected: 2, message: "out of order" }));
  const metrics = start();
  await metrics.fold(nodesFold(7, 10));
  await metrics.fold(nodesFold(8, 10));
  expect(metrics.points).toEqual({ delivered: 16, left_out: 0, rejected: 4 });
  metrics.timers.fire();
  expect(metrics.lines).toEqual([
    { message: "backend rejected metric points", fields: { points: 4, reason: "out of order" } },
  ]);
});
