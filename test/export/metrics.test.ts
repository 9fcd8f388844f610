/** Metrics at a real OTLP receiver: the ledger's points with their own start times, the process's instruments, and what is tried again. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createMetricExport, type MetricExport, type MetricExportOptions } from "../../src/export/metrics.ts";
import { metricsResourceAttributes } from "../../src/export/resource.ts";
import { createSender } from "../../src/export/sender.ts";
import type { LedgerView } from "../../src/ledger/types.ts";
import { type Logger, silentLogger } from "../../src/lib/logger.ts";
import { type OtlpSink, startOtlpSink, type SunkRequest } from "../support/otlp-sink.ts";
import { destinationAt } from "./delivery.ts";

let sink: OtlpSink;
let view: LedgerView | undefined;
let exports: MetricExport[];

beforeEach(async () => {
  sink = await startOtlpSink();
  view = undefined;
  exports = [];
});

afterEach(async () => {
  for (const metrics of exports) await metrics.stop(1);
  await sink.stop();
});

const resource = metricsResourceAttributes({
  instanceId: "instance-1",
  hostName: "host.example.com",
  platform: "win32",
  attributes: { "deployment.environment.name": "test" },
});

function start(change: Partial<MetricExportOptions> = {}, logger: Logger = silentLogger): MetricExport {
  const options = { resource, version: "1.2.3", encoding: "json" as const, isSet: true, selfMetrics: true, ...change };
  const destination = destinationAt(sink.url, { signal: "metrics", url: `${sink.url}/v1/metrics` });
  const send = createSender(destination, { fetch, clock: Date.now, onAnswer() {} });
  const metrics = createMetricExport(options, { send, ledger: () => view, clock: Date.now, random: () => 0, logger });
  exports.push(metrics);
  return metrics;
}

function folded(value: number, series = 1): LedgerView {
  return {
    at: 1_800_000_060_125,
    metrics: [
      {
        name: "tailscale.network.io",
        series: Array.from({ length: series }, (_, index) => ({
          attributes: { "network.io.direction": "transmit", "tailscale.src.node": `node-${index}` },
          value: value + index,
          startAt: 1_800_000_000_000 + index,
        })),
      },
      { name: "tailscale.network.flows", series: [] },
    ],
  };
}

const ledgerPoints = () => sink.points.filter(({ metric }) => metric === "tailscale.network.io");

describe("the ledger", () => {
  test.each(["json", "protobuf"] as const)(
    "leaves as cumulative sums with their own start times, in %s",
    async (encoding) => {
      const metrics = start({ encoding });
      view = folded(9_007_199_254_740_990, 2);
      await metrics.exportNow();
      expect(ledgerPoints()).toMatchObject([
        {
          kind: "sum",
          unit: "By",
          isMonotonic: true,
          aggregationTemporality: 2,
          value: 0x1ffffffffffffe,
          description: "Bytes that nodes reported, by connection attributes.",
          attributes: {
            "network.io.direction": "transmit",
            "tailscale.src.node": "node-0",
          },
          startTimeUnixNano: "1800000000000000000",
          timeUnixNano: "1800000060125000000",
          scope: {
            name: "tailscale2otel",
            version: "1.2.3",
          },
        },
        { startTimeUnixNano: "1800000000001000000", value: 9_007_199_254_740_991 },
      ]);
      expect(sink.requests[0]?.encoding).toBe(encoding);
    },
  );

  test("has the resource without a version", async () => {
    view = folded(1);
    await start().exportNow();
    expect(ledgerPoints()[0]?.resource).toEqual({
      "service.name": "tailscale2otel",
      "service.instance.id": "instance-1",
      "os.type": "windows",
      "telemetry.sdk.language": "nodejs",
      "telemetry.sdk.name": "opentelemetry",
      "telemetry.sdk.version": "3.1.0",
      "deployment.environment.name": "test",
    });
  });

  test("leaves in requests of at most 5,000 points", async () => {
    view = folded(1, 12_000);
    await start().exportNow();
    expect(sink.requests.map(({ points }) => points.length)).toEqual([5_000, 5_000, 2_000]);
    expect(new Set(ledgerPoints().map(({ attributes }) => attributes["tailscale.src.node"])).size).toBe(12_000);
    expect(Math.max(...sink.requests.map(({ bytes }) => bytes))).toBeLessThan(4 * 1_048_576);
  });

  test("is halved for a backend that takes less", async () => {
    sink.behave(({ points }) => (points.length > 300 ? { kind: "status", status: 413 } : { kind: "take" }));
    view = folded(1, 1_000);
    await start().exportNow();
    expect(new Set(ledgerPoints().map(({ value }) => value)).size).toBe(1_000);
    expect(ledgerPoints()).toHaveLength(1_000);
  });

  test("begins a series with a point of 0, in the fold that it begins in, and only there", async () => {
    const metrics = start({ selfMetrics: false });
    const begins = folded(7, 2);
    view = { ...begins, since: 1_800_000_000_000 };
    await metrics.exportNow();
    expect(ledgerPoints().map(({ value, timeUnixNano }) => [value, timeUnixNano])).toEqual([
      [0, "1800000000125000000"],
      [7, "1800000060125000000"],
      [8, "1800000060125000000"],
    ]);
  });

  test("begins it at most a minute before, whenever the fold before was", async () => {
    const startAt = 1_700_000_000_000;
    const [metric] = folded(7).metrics;
    const series = [{ attributes: { a: "b" }, value: 7, startAt }];
    view = { at: 1_800_000_060_125, since: startAt, metrics: [{ name: "tailscale.network.io", ...metric, series }] };
    await start({ selfMetrics: false }).exportNow();
    expect(ledgerPoints()[0]).toMatchObject({ value: 0, timeUnixNano: "1800000000125000000" });
  });

  test("and the process's own have the common attributes on every point; a point's own win", async () => {
    const metrics = start({ common: { "tailscale.tailnet": "example.com", "network.io.direction": "none" } });
    metrics.telemetry.add("tailscale.stream.rejected", 2, { reason: "auth" });
    metrics.telemetry.record("tailscale2otel.export.duration", 0.02, { signal: "logs", outcome: "success" });
    metrics.telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
    view = folded(1, 3);
    await metrics.exportNow();
    expect(sink.points).toHaveLength(6);
    expect(new Set(sink.points.map(({ attributes }) => attributes["tailscale.tailnet"]))).toEqual(
      new Set(["example.com"]),
    );
    expect(ledgerPoints()[0]?.attributes["network.io.direction"]).toBe("transmit");
  });

  test("is not asked for before a fold: no request", async () => {
    await start({ selfMetrics: false }).exportNow();
    expect(sink.requests).toHaveLength(0);
  });
});

describe("the process's own", () => {
  test("are SDK instruments with the catalogue's units and buckets", async () => {
    const metrics = start();
    metrics.telemetry.add("tailscale.stream.rejected", 2, { reason: "auth" });
    metrics.telemetry.add("tailscale.stream.inflight", 1, {});
    metrics.telemetry.record("tailscale2otel.export.duration", 0.02, { signal: "logs", outcome: "success" });
    metrics.telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
    metrics.telemetry.observe("tailscale2otel.dedup.keys", () => []);
    await metrics.exportNow();
    const named = Object.fromEntries(sink.points.map((point) => [point.metric, point]));
    expect(Object.keys(named).toSorted()).toEqual([
      "tailscale.stream.inflight",
      "tailscale.stream.rejected",
      "tailscale2otel.export.duration",
      "tailscale2otel.up",
    ]);
    expect(named["tailscale.stream.rejected"]).toMatchObject({
      kind: "sum",
      isMonotonic: true,
      aggregationTemporality: 2,
      value: 2,
    });
    expect(named["tailscale2otel.export.duration"]).toMatchObject({
      kind: "histogram",
      unit: "s",
      aggregationTemporality: 2,
      explicitBounds: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    });
    expect(named["tailscale2otel.up"]).toMatchObject({ kind: "gauge", value: 1 });
  });
});

describe("Prometheus' text form", () => {
  test("has units in names, the catalogue's words, and the same totals, with a destination or without", async () => {
    const send = createSender(destinationAt(sink.url), { fetch, clock: Date.now, onAnswer() {} });
    for (const sender of [send, undefined]) {
      const metrics = createMetricExport(
        {
          resource,
          version: "1.2.3",
          encoding: "json",
          isSet: true,
          selfMetrics: true,
          common: { "tailscale.tailnet": "t" },
        },
        { send: sender, ledger: () => view, clock: Date.now, random: () => 0, logger: silentLogger },
      );
      exports.push(metrics);
      metrics.telemetry.record("tailscale2otel.export.duration", 0.02, { signal: "logs", outcome: "success" });
      metrics.telemetry.observe("tailscale2otel.up", () => [{ value: 1, attributes: {} }]);
      view = { ...folded(41, 2), since: 1_800_000_000_000 };
      const lines = (await metrics.scrape()).split("\n");
      expect(lines).toContain("# TYPE tailscale_network_io_bytes_total counter");
      expect(lines).toContain(
        'tailscale_network_io_bytes_total{tailscale_tailnet="t",network_io_direction="transmit",tailscale_src_node="node-0"} 41',
      );
      expect(lines.filter((line) => line.startsWith("tailscale_network_io_bytes_total{"))).toHaveLength(2);
      expect(lines).toContain('tailscale2otel_up{tailscale_tailnet="t"} 1');
      expect(lines).toContain(
        'tailscale2otel_export_duration_seconds_count{tailscale_tailnet="t",signal="logs",outcome="success"} 1',
      );
      expect(lines.some((line) => line.startsWith("# UNIT"))).toBe(false);
    }
  });
});

describe("a backend that fails", () => {
  test("is tried again with the same totals, until it takes them", async () => {
    sink.behave((_request, index) => (index === 0 ? { kind: "status", status: 503 } : { kind: "take" }));
    const metrics = start({ selfMetrics: false });
    view = folded(7);
    await metrics.exportNow();
    expect(sink.requests.map(({ points }) => points[0]?.value)).toEqual([7, 7]);
    expect(metrics.trouble).toBeUndefined();
  });

  test("gets the totals of the next fold instead", async () => {
    sink.behave(() => ({ kind: "status", status: 503, headers: { "retry-after": "300" } }));
    const metrics = start({ selfMetrics: false });
    view = folded(7);
    const first = metrics.exportNow();
    await sink.until(({ requests }) => requests.length === 1);
    view = folded(8);
    sink.behave(() => ({ kind: "take" }));
    await Promise.all([first, metrics.exportNow()]);
    expect(sink.points.map(({ value }) => value)).toEqual([8]);
  });

  test.each([
    ["never takes one of the requests of a fold", () => ({ kind: "status", status: 503 }) as const],
    ["refuses it", () => ({ kind: "status", status: 400 }) as const],
    ["cuts it off", () => ({ kind: "reset" }) as const],
  ])("and %s gets all others of it, at once", async (_, answer) => {
    const isBad = ({ points }: SunkRequest) => points[0]?.attributes["tailscale.src.node"] === "node-5000";
    sink.behave((request) => (isBad(request) ? answer() : { kind: "take" }));
    const metrics = start({ selfMetrics: false, encoding: "protobuf" });
    view = folded(1, 17_000);
    const first = metrics.exportNow();
    const taken = () => sink.requests.filter(({ isTaken }) => isTaken).map(({ points }) => points[0]?.value);
    await sink.until(() => taken().length === 3);
    expect(taken()).toEqual([1, 10_001, 15_001]);
    sink.behave(() => ({ kind: "take" }));
    view = folded(2, 17_000);
    await Promise.all([first, metrics.exportNow()]);
    expect(taken().slice(-4)).toEqual([2, 5002, 10_002, 15_002]);
    expect(metrics.trouble).toBeUndefined();
  });

  test("is in trouble as long as one request of a fold waits, and gets it again until it takes it", async () => {
    let isWell = false;
    const isBad = ({ points }: SunkRequest) => points[0]?.attributes["tailscale.src.node"] === "node-5000";
    sink.behave((request) => (isBad(request) && !isWell ? { kind: "status", status: 503 } : { kind: "take" }));
    const lines: string[] = [];
    const note = (message: string): void => void lines.push(message);
    const metrics = start({ selfMetrics: false }, { ...silentLogger, warn: note, info: note });
    view = folded(1, 12_000);
    const done = metrics.exportNow();
    await sink.until(({ requests }) => requests.length === 4);
    expect(sink.requests.map(({ points }) => points[0]?.value)).toEqual([1, 5001, 10001, 5001]);
    expect(metrics.trouble?.why).toContain("503");
    isWell = true;
    await done;
    expect(sink.requests.filter(({ isTaken }) => isTaken).flatMap(({ points }) => points)).toHaveLength(12_000);
    expect(metrics.trouble).toBeUndefined();
    expect(lines).toEqual(["metrics cannot be delivered; trying until they are", "metrics are delivered again"]);
  });

  test("loses a refused request, and says so once", async () => {
    const lines: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message) => void lines.push(message) };
    sink.behave(() => ({ kind: "status", status: 400, body: "no" }));
    const metrics = start({ selfMetrics: false, encoding: "protobuf" }, logger);
    view = folded(7);
    await metrics.exportNow();
    await metrics.exportNow();
    expect(sink.requests).toHaveLength(2);
    expect(lines).toEqual(["the backend refuses metrics"]);
  });

  test("is tried once more at a stop, and not until the deadline", async () => {
    sink.behave(() => ({ kind: "status", status: 503 }));
    const metrics = start({ selfMetrics: false });
    view = folded(7);
    const waiting = metrics.exportNow();
    await sink.until(() => sink.requests.length === 1);
    await metrics.stop(3_600_000);
    await waiting;
    expect(sink.requests).toHaveLength(2);
  });

  test("does not hold up a stop beyond its deadline", async () => {
    sink.behave(() => ({ kind: "hang" }));
    const metrics = start();
    view = folded(7);
    await metrics.stop(50);
    expect(sink.requests).toHaveLength(1);
    await metrics.stop(50);
  });
});
