/** Tests a backend that refuses metrics: the offending series are found, left out, reported and retried; the others arrive. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type OtlpSink, startOtlpSink, type SunkPoint, type SunkRequest } from "../support/otlp-sink.ts";
import { foldMessage, pointsOf } from "../../src/export/fold-points.ts";
import { metricsOf, RejectedSeries } from "../../src/export/metric-refusals.ts";
import type { FoldedMetric } from "../../src/ledger/series.ts";
import { foldOf, metricOf, nodesFold, startExport, type TestExport } from "./metric-export.ts";

let sink: OtlpSink;
let metrics: TestExport;

beforeEach(async () => {
  sink = await startOtlpSink();
  metrics = startExport(sink.url, { encoding: "protobuf" });
});

afterEach(async () => {
  await metrics.stop(0);
  await sink.stop();
});

const nodeOf = ({ attributes }: SunkPoint): string => String(attributes["tailscale.src.node"]);
const numberOf = (point: SunkPoint): number => Number(nodeOf(point).slice("node-".length));

function refuse(isGuilty: (point: SunkPoint) => boolean, status = 400): void {
  sink.behave(({ points }: SunkRequest) =>
    points.some(isGuilty) ? { kind: "status", status, body: "invalid label" } : { kind: "take" },
  );
}

/** That many nodes from `first` on, as OpenTelemetry's metric. */
function pieceOf(name: FoldedMetric["name"], nodes: number, first = 0) {
  const series = Array.from({ length: nodes }, (_, node) => ({
    attributes: { "tailscale.src.node": `node-${first + node}` },
    value: 1,
  }));
  const [metric] = pointsOf(foldMessage(foldOf([metricOf(name, series)]), []), {}, "cumulative");
  if (metric === undefined) throw new Error("no points");
  return metric;
}

/** Requests since the last call. */
let seen = 0;
function requestsSince(): readonly SunkRequest[] {
  const since = sink.requests.slice(seen);
  seen = sink.requests.length;
  return since;
}
beforeEach(() => {
  seen = 0;
});

describe("one offending series", () => {
  test("is found among others of its metric and of other metrics, which all arrive", async () => {
    refuse((point) => point.metric === "tailscale.network.io" && nodeOf(point) === "node-1234");
    const [io, packets] = [nodesFold(1, 3000), nodesFold(1, 1500, "tailscale.network.packets")];
    await metrics.fold(foldOf([...packets.metrics, ...io.metrics]));
    expect(sink.points).toHaveLength(4499);
    expect(sink.requests.length).toBeLessThanOrEqual(1 + 64);
    expect(metrics.points).toEqual({ delivered: 4499, left_out: 0, rejected: 0 });
    expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 1 });
    metrics.timers.fire();
    expect(metrics.lines).toMatchObject([
      {
        message: "backend rejected metric series; leaving them out, and trying them again every 10 metric intervals",
        fields: { series: 1, reason: "HTTP 400: invalid label" },
      },
    ]);
    expect(JSON.stringify(metrics.lines)).toContain("node-1234");
  });

  test("is left out of the next folds, which take one request each, and is counted", async () => {
    refuse((point) => nodeOf(point) === "node-7");
    await metrics.fold(nodesFold(1, 100));
    requestsSince();
    await metrics.fold(nodesFold(2, 100));
    await metrics.fold(nodesFold(3, 100));
    expect(requestsSince().map(({ points }) => points.length)).toEqual([99, 99]);
    expect(metrics.points).toEqual({ delivered: 3 * 99, left_out: 2, rejected: 0 });
  });

  test("is retried every tenth fold, and returns once it is accepted", async () => {
    refuse((point) => nodeOf(point) === "node-7");
    for (let fold = 1; fold <= 10; fold++) await metrics.fold(nodesFold(fold, 100));
    expect(requestsSince().at(-1)?.points.map(nodeOf)).toEqual(["node-7"]);
    expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 1 });
    sink.behave(() => ({ kind: "take" }));
    for (let fold = 11; fold <= 21; fold++) await metrics.fold(nodesFold(fold, 100));
    const taken = requestsSince().map(({ points }) => points.length);
    expect(taken).toEqual([...Array.from({ length: 10 }, () => 99), 1, 100]);
    expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 0 });
  });
});

test("a metric that is refused as a whole is found by dividing between metrics", async () => {
  refuse(({ metric }) => metric === "tailscale.network.packets");
  const names = ["tailscale.network.io", "tailscale.network.packets", "tailscale.network.flows"] as const;
  await metrics.fold(foldOf(names.flatMap((name) => nodesFold(1, 2, name).metrics)));
  expect(new Set(sink.points.map(({ metric }) => metric))).toEqual(
    new Set(["tailscale.network.io", "tailscale.network.flows"]),
  );
});

describe("many offending series", () => {
  test("are searched with at most 64 requests per fold, continuing in the next, until everything else arrives", async () => {
    const isGuilty = (point: SunkPoint): boolean => numberOf(point) % 50 === 0;
    refuse(isGuilty);
    let folds = 0;
    while (new Set(sink.points.map(numberOf)).size < 1960 && folds < 40) {
      await metrics.fold(nodesFold(++folds, 2000));
      expect(requestsSince().length).toBeLessThanOrEqual(1 + 64);
    }
    expect(new Set(sink.points.map(numberOf)).size).toBe(1960);
    expect(folds).toBeLessThan(15);
    metrics.timers.fire();
    expect(metrics.lines).toHaveLength(1);
  });

  test("leave out their whole metric if there are more than 1,000", () => {
    const rejected = new RejectedSeries();
    const fold = [pieceOf("tailscale.network.io", 3000), pieceOf("tailscale.network.flows", 5)];
    const points = fold.flatMap((metric) => metric.dataPoints.map((point) => ({ metric, point })));
    for (const point of points.slice(0, 1000)) rejected.add(point);
    expect(rejected.plan(fold).leftOut).toHaveLength(1000);
    for (const point of points.slice(1000, 1001)) rejected.add(point);
    expect(rejected.size).toBe(1);
    const { points: sent, leftOut } = rejected.plan(fold);
    expect(leftOut).toHaveLength(3000);
    expect(metricsOf(sent).map(({ descriptor }) => descriptor.name)).toEqual(["tailscale.network.flows"]);
    rejected.remove(points);
    expect(rejected.plan(fold).leftOut).toEqual([]);
  });
});

describe("a backend that accepts nothing of a fold", () => {
  beforeEach(() => sink.behave(() => ({ kind: "status", status: 400, body: "no tenant" })));

  test("makes metric export fail, and leaves nothing out", async () => {
    for (let fold = 1; fold <= 3; fold++) await metrics.fold(nodesFold(fold, 100));
    expect(metrics.reports.at(-1)?.state).toMatchObject({
      kind: "failing",
      why: expect.stringMatching(/^the backend rejects all metrics: .*no tenant/) as string,
      since: 1_000_000,
    });
    expect(metrics.points).toEqual({ delivered: 0, left_out: 0, rejected: 0 });
    expect(metrics.lines.map(({ message }) => message)).toEqual(["metric export failing; retrying"]);
  });

  test("receives everything once it accepts something again", async () => {
    await metrics.fold(nodesFold(1, 100));
    sink.behave(() => ({ kind: "take" }));
    await metrics.fold(nodesFold(2, 100));
    expect(sink.points).toHaveLength(100);
    expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 0 });
    expect(metrics.lines.map(({ message }) => message)).toEqual([
      "metric export failing; retrying",
      "metric export recovered",
    ]);
  });
});

test("series rejected while an outage began or ended are retried in the fold after it", async () => {
  const isEarly = (point: SunkPoint): boolean => numberOf(point) < 5;
  const rejectAll = () => sink.behave(() => ({ kind: "status", status: 400, body: "no tenant" }));
  refuse(isEarly);
  await metrics.fold(nodesFold(1, 100));
  rejectAll();
  await metrics.fold(nodesFold(2, 100));
  sink.behave(() => ({ kind: "take" }));
  await metrics.fold(nodesFold(3, 100));
  expect(metrics.reports.at(-1)?.state).toMatchObject({ kind: "ok", leftOut: 5 });
  await metrics.fold(nodesFold(4, 100));
  expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 0 });
  rejectAll();
  await metrics.fold(nodesFold(5, 100));
  refuse(isEarly);
  await metrics.fold(nodesFold(6, 100));
  expect(metrics.reports.at(-1)?.state).toMatchObject({ kind: "ok", leftOut: 5 });
  sink.behave(() => ({ kind: "take" }));
  await metrics.fold(nodesFold(7, 100));
  expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 0 });
});

test("a backend that accepts fewer points at once gets smaller requests from then on", async () => {
  sink.behave(({ points }) => (points.length > 300 ? { kind: "status", status: 413 } : { kind: "take" }));
  await metrics.fold(nodesFold(1, 1000));
  expect(sink.points).toHaveLength(1000);
  requestsSince();
  await metrics.fold(nodesFold(2, 1000));
  expect(requestsSince().every(({ isTaken }) => isTaken)).toBe(true);
  expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 0 });
});

test("a request that fails while another is refused is retried, and the offending one is still found", async () => {
  let isUp = false;
  sink.behave(({ points }) => {
    if (points.some((point) => numberOf(point) === 6000) && !isUp) return { kind: "status", status: 503 };
    return points.some((point) => numberOf(point) === 10) ? { kind: "status", status: 422 } : { kind: "take" };
  });
  await metrics.fold(nodesFold(1, 8000));
  expect(metrics.reports.at(-1)?.state.kind).toBe("failing");
  isUp = true;
  await metrics.timers.until(1);
  const next = metrics.reported();
  metrics.timers.fire();
  await next;
  expect(metrics.points).toEqual({ delivered: 7999, left_out: 0, rejected: 0 });
  expect(metrics.reports.at(-1)?.state).toEqual({ kind: "ok", leftOut: 1 });
});

test("a metric with the same attributes is not left out with the offending one", async () => {
  refuse((point) => point.metric === "tailscale.network.io" && numberOf(point) === 0);
  const fold = foldOf([
    ...nodesFold(1, 2).metrics,
    metricOf("tailscale.network.packets", [{ attributes: { "tailscale.src.node": "node-0" }, value: 1 }]),
  ]);
  await metrics.fold(fold);
  requestsSince();
  await metrics.fold(fold);
  expect(requestsSince().map(({ points }) => points.length)).toEqual([2]);
});
