/** What journal and ledger say about themselves, over a real store. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import type { Journal } from "../../src/journal/index.ts";
import { startOfJournal } from "../../src/journal/types.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { createPipeline, incrementsOf } from "../../src/pipeline/index.ts";
import { observeStore } from "../../src/pipeline/observe.ts";
import { createState, hourMs, type TestState } from "../support/journal.ts";
import { enveloped, flowValue, unwrapped } from "../support/records.ts";

let state: TestState;
let journal: Journal;
let ledger: Ledger;
type Observed = readonly { readonly value: number; readonly attributes: object }[];

let read: (metric: string) => Observed;

beforeEach(() => {
  state = createState();
  journal = state.open();
  ledger = new Ledger({ metricsMode: "both", rollupTopN: 1, metricLimit: 7, idleFolds: 1 }, state.now);
  journal.onCommitted((committed) => {
    for (const increments of incrementsOf(committed)) ledger.add(increments);
  });
  const gauges = new Map<string, () => Observed>();
  const telemetry: Telemetry = { ...silentTelemetry, observe: (metric, ask) => void gauges.set(metric, ask) };
  const windowsMs = { flow: 6 * hourMs, audit: 48 * hourMs, webhook: 26 * hourMs };
  observeStore(journal, ledger, { windowsMs, metricLimit: 7 }, { telemetry, clock: () => state.now });
  read = (metric) => gauges.get(metric)?.() ?? [];
});
afterEach(() => state.remove());

async function send(nodeId: string): Promise<void> {
  const draft = createPipeline(journal, { collapseExternal: true }).open({ source: "stream", receivedAt: state.now });
  draft.add(unwrapped(enveloped(flowValue({ nodeId }))).records);
  await draft.commit(1);
}

const valueOf = (metric: string): number | undefined => read(metric)[0]?.value;

test("pending records, and how long the oldest of them has waited", async () => {
  expect(valueOf("tailscale2otel.journal.pending")).toBe(0);
  expect(valueOf("tailscale2otel.journal.pending.age")).toBe(0);
  await send("n1");
  state.now += 5_000;
  await send("n2");
  state.now += 1_000;
  expect(valueOf("tailscale2otel.journal.pending")).toBe(2);
  expect(valueOf("tailscale2otel.journal.pending.age")).toBe(6);
  const delivered = { ...startOfJournal, seq: 2, records: { delivered: 1, deadLettered: 0 } };
  journal.progress({ cursor: delivered, setAside: [] });
  await send("n3");
  expect(valueOf("tailscale2otel.journal.pending.age")).toBe(1);
});

test("space, and how far back keys are known", async () => {
  await send("n1");
  expect(valueOf("tailscale2otel.journal.size")).toBeGreaterThan(4096);
  expect(valueOf("tailscale2otel.journal.limit")).toBe(journal.space.limitBytes);
  expect(read("tailscale2otel.dedup.horizon").map(({ value }) => value)).toEqual([6 * 3600, 48 * 3600, 26 * 3600]);
  expect(read("tailscale2otel.dedup.keys")[0]).toEqual({ value: 1, attributes: { type: "flow" } });
  expect(read("tailscale2otel.quarantine.evicted")).toEqual([]);
});

test("series by metric, and what they may be", async () => {
  await send("n1");
  ledger.fold(state.now + 1, journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));
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
