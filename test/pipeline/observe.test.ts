/** Tests what journal and ledger report about themselves, over a real store. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import { startOfJournal } from "../../src/journal/index.ts";
import { observeStore } from "../../src/pipeline/observe.ts";
import { connection, enveloped, flowValue } from "../support/records.ts";
import { Restarts, send as sendTo } from "./restarts.ts";

type Observed = readonly { readonly value: number; readonly attributes: object }[];

let restarts: Restarts;
let read: (metric: string) => Observed;

function observe(): void {
  const gauges = new Map<string, () => Observed>();
  const telemetry: Telemetry = { ...silentTelemetry, observe: (metric, ask) => void gauges.set(metric, ask) };
  observeStore(restarts.config, { ...restarts.store, telemetry, clock: () => restarts.now });
  read = (metric) => gauges.get(metric)?.() ?? [];
}

beforeEach(() => {
  restarts = new Restarts(["cardinality.flow.metrics_mode=both", "cardinality.metric_limit=7"]);
  observe();
});
afterEach(() => restarts.remove());

const send = (nodeId: string) =>
  sendTo(restarts.store, [enveloped(flowValue({ nodeId }))], { receivedAt: restarts.now });
const valueOf = (metric: string): number | undefined => read(metric)[0]?.value;

test("reports pending records, and how long the oldest has waited", async () => {
  expect(valueOf("tailscale2otel.journal.pending")).toBe(0);
  expect(valueOf("tailscale2otel.journal.pending.age")).toBe(0);
  await send("n1");
  restarts.now += 5_000;
  await send("n2");
  restarts.now += 1_000;
  expect(valueOf("tailscale2otel.journal.pending")).toBe(2);
  expect(valueOf("tailscale2otel.journal.pending.age")).toBe(6);
  const cursor = { ...startOfJournal, seq: 2, records: { delivered: 1, deadLettered: 0 } };
  restarts.store.journal.progress({ cursor, marks: [] });
  await send("n3");
  expect(valueOf("tailscale2otel.journal.pending.age")).toBe(1);
});

test("reports space, and how far back keys are known", async () => {
  await send("n1");
  expect(valueOf("tailscale2otel.journal.size")).toBeGreaterThan(4096);
  expect(valueOf("tailscale2otel.journal.limit")).toBe(restarts.store.journal.space.limitBytes);
  expect(read("tailscale2otel.dedup.horizon").map(({ value }) => value)).toEqual([6 * 3600, 48 * 3600, 26 * 3600]);
  expect(read("tailscale2otel.dedup.keys")[0]).toEqual({ value: 1, attributes: { type: "flow" } });
  expect(read("tailscale2otel.quarantine.evicted")).toEqual([]);
});

test("reports series by metric, and their limit", async () => {
  await send("n1");
  await restarts.store.ledger.fold(restarts.now + 1);
  const active = Object.fromEntries(
    read("tailscale2otel.series.active").map(({ value, attributes }) => [Object.values(attributes)[0], value]),
  );
  expect(active).toMatchObject({
    "tailscale.network.io": 2,
    "tailscale.network.io.rollup": 2,
    "tailscale.network.flows": 1,
  });
  expect(new Set(read("tailscale2otel.series.limit").map(({ value }) => value))).toEqual(new Set([7]));
});

test("reports attribute sets beyond the limit, and connections that found no room in the edge book", async () => {
  restarts.remove();
  restarts = new Restarts(["cardinality.metric_limit=4", "cardinality.flow.collapse_external=false"]);
  observe();
  const hosts = Array.from({ length: 9_000 }, (_, host) => `10.0.${host >> 8}.${host & 255}:1`);
  await sendTo(restarts.store, [flowValue({ virtualTraffic: hosts.map((dst) => connection({ dst })) })]);
  await restarts.store.ledger.fold(restarts.now + 1);
  const overflowed = () =>
    Object.fromEntries(
      read("tailscale2otel.series.overflowed").map(({ value, attributes }) => [Object.values(attributes)[0], value]),
    );
  const overflowing = new Map(
    read("tailscale2otel.series.overflowing").map(({ value, attributes }) => [Object.values(attributes)[0], value]),
  );
  expect(overflowing.get("tailscale.network.io.rollup")).toBe(1);
  expect(overflowing.get("tailscale.network.flows")).toBe(0);
  const before = overflowed();
  expect(before["tailscale.network.io"]).toBeGreaterThanOrEqual(1_000);
  expect(before["tailscale.network.io.rollup"]).toBeGreaterThanOrEqual(900);
  expect(overflowed()).toEqual(before);
});
