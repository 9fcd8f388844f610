/** Tests ages and delays: recorded for accepted records, sampled in a large batch, and never negative. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Telemetry } from "../../src/catalogue/telemetry.ts";
import { BatchTimes } from "../../src/pipeline/times.ts";
import type { Source } from "../../src/records/types.ts";
import { auditValue, enveloped, flowValue } from "../support/records.ts";
import { Restarts, send as sendTo } from "./restarts.ts";

const receivedAt = Date.parse("2026-11-02T09:15:20Z");

let restarts: Restarts;
let recorded: [string, number, object][];
let gauges: Map<string, () => readonly { value: number; attributes: object }[]>;

beforeEach(() => {
  recorded = [];
  gauges = new Map();
  const telemetry: Telemetry = {
    add() {},
    record: (metric, value, attributes) => void recorded.push([metric, value, attributes]),
    observe: (metric, read) => void gauges.set(metric, read),
  };
  restarts = new Restarts([], { telemetry });
});
afterEach(() => restarts.remove());

const send = (values: readonly unknown[], source: Source = "stream") =>
  sendTo(restarts.store, values, { source, receivedAt });
const of = (metric: string) => recorded.filter(([name]) => name === metric).map(([, value]) => value);

test("a flow record's age is that of its window, and its capture delay that of the log service", async () => {
  await send([enveloped(flowValue())]);
  expect(of("tailscale2otel.ingest.event.age")).toEqual([20]);
  expect(of("tailscale2otel.ingest.capture.delay")[0]).toBeCloseTo(7.204, 3);
  expect(recorded.find(([name]) => name === "tailscale2otel.ingest.event.age")?.[2]).toEqual({
    source: "stream",
    signal: "flow",
  });
});

test("an audit record has the delay of its processing, and of its deferral if it was deferred", async () => {
  const eventTime = "2026-11-02T09:15:08Z";
  await send([
    auditValue({ eventTime }),
    auditValue({ eventTime, action: "CREATE", deferredAt: "2026-11-02T09:15:18.5Z" }),
  ]);
  expect(of("tailscale.config.audit.processing.delay")).toEqual([12, 12]);
  expect(of("tailscale.config.audit.deferred.delay")).toEqual([10.5]);
});

test("a negative delay, caused by differing clocks, is not recorded", async () => {
  const eventTime = "2026-11-02T09:15:21Z";
  await send([enveloped(auditValue({ eventTime, deferredAt: "2026-11-02T09:15:20.5Z" }))]);
  expect(recorded.filter(([metric]) => /age|delay/.test(metric))).toEqual([]);
});

test("at most sixteen records of a large batch are sampled", async () => {
  await send(Array.from({ length: 100 }, (_, n) => enveloped(flowValue({ nodeId: `n${n}` }))));
  const { length } = of("tailscale2otel.ingest.event.age");
  expect(length).toBeLessThanOrEqual(16);
  expect(length).toBeGreaterThan(8);
});

test("neither a duplicate nor a record with a time in the future has an age", async () => {
  await send([enveloped(flowValue())]);
  await send([enveloped(flowValue()), flowValue({ nodeId: "nAHEAD", start: "2026-11-02T10:15:00Z", end: "" })]);
  expect(of("tailscale2otel.ingest.event.age")).toHaveLength(1);
});

test("the newest event's time never goes back", async () => {
  const last = () => gauges.get("tailscale2otel.ingest.last_event_timestamp")?.();
  expect(last()).toEqual([]);
  await send([enveloped(flowValue())]);
  await send([enveloped(flowValue({ start: "2026-11-02T09:14:00Z" }))]);
  await send([flowValue({ start: "2026-11-02T09:14:30Z" })], "poll");
  expect(last()).toEqual([
    { value: Date.parse("2026-11-02T09:15:00Z") / 1000, attributes: { source: "stream", signal: "flow" } },
    { value: Date.parse("2026-11-02T09:14:30Z") / 1000, attributes: { source: "poll", signal: "flow" } },
  ]);
});

test("a key ages from its receipt, or from its recording if that is later, but by at most a day", () => {
  const hourMs = 3_600_000;
  const times = new BatchTimes({ source: "stream", receivedAt }, restarts.store.journal);
  const aging = [undefined, receivedAt - 9 * hourMs, receivedAt + 0.5, receivedAt + hourMs, receivedAt + 30 * hourMs];
  expect(aging.map((recordedMs) => times.agingFrom(recordedMs) - receivedAt)).toEqual([0, 0, 1, hourMs, 24 * hourMs]);
});
