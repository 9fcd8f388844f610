/**
 * Tests the guarantees of the signals for any records, order and batches: exact sums, the same meaning for stream and poll, and
 * determinism.
 */
import { describe as suite, expect, test } from "bun:test";
import fc from "fast-check";
import { privacyCategories, type PrivacySettings } from "../../src/catalogue/logs.ts";
import { noIncrements } from "../../src/catalogue/increments.ts";
import type { LogEvent } from "../../src/catalogue/log-event.ts";
import type { Fold } from "../../src/ledger/index.ts";
import { seriesOf } from "../../src/ledger/series.ts";
import { EdgeBook, ownExit } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { FlowDescriber } from "../../src/processors/flow.ts";
import { measureFlow } from "../../src/processors/flow-metrics.ts";
import { describe, directoryOf, measure, type ProcessorSettings } from "../../src/processors/index.ts";
import type { FlowColumns } from "../../src/records/flow/columns.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { auditRecordValue, flowRecordValue, seeded } from "../support/random.ts";
import { configOf, ledgerOver, SnapshotJournal } from "../ledger/support.ts";
import { auditOf, settingsWith } from "../processors/given.ts";
import { columnsOf } from "../support/columns.ts";
import { devices } from "../support/devices.ts";
import { enveloped } from "../support/records.ts";

const action = fc.constantFrom<PrivacySettings["actions"]["emails"]>("keep", "drop", "hash");

const privacy: fc.Arbitrary<PrivacySettings> = fc.tuple(...privacyCategories.map(() => action)).map((actions) => ({
  salt: "salt",
  actions: Object.fromEntries(
    privacyCategories.map((category, place) => [category, actions[place]]),
  ) as unknown as PrivacySettings["actions"],
}));

const anySettings: fc.Arbitrary<ProcessorSettings> = fc
  .record(
    {
      collapseExternal: fc.boolean(),
      directory: fc.constantFrom({ current: undefined }, { current: directoryOf(devices) }),
      privacy,
      dimensions: fc.record({
        nodes: fc.boolean(),
        identity: fc.boolean(),
        sourcePort: fc.boolean(),
        destinationPort: fc.boolean(),
      }),
      countsExitNodes: fc.boolean(),
    },
    { requiredKeys: [] },
  )
  .map(settingsWith);

const ledgerSettings = fc.record({
  mode: fc.constantFrom("all", "rollup", "both"),
  topPairs: fc.integer({ min: 1, max: 3 }),
  limit: fc.integer({ min: 1, max: 12 }),
  idleFolds: fc.constantFrom(1, 2, 1000),
});
type LedgerSettings = typeof ledgerSettings extends fc.Arbitrary<infer Value> ? Value : never;

function ledgerWith({ mode, topPairs, limit, idleFolds }: LedgerSettings) {
  const config = configOf(
    `cardinality.flow.metrics_mode=${mode}`,
    `cardinality.flow.rollup_top_n=${topPairs}`,
    `cardinality.metric_limit=${limit}`,
    `cardinality.series_ttl=${idleFolds}m`,
    "otlp.metric_interval=1m",
  );
  return ledgerOver(new SnapshotJournal(), config);
}

/** Folds of batches of records; some folds are empty, so that series end and come back. */
const folds = fc.array(fc.array(fc.array(flowRecordValue, { maxLength: 4 }), { maxLength: 3 }), {
  minLength: 1,
  maxLength: 6,
});

/** Adds up increases as a backend does, treating a new start time as a reset. */
class Increases {
  readonly totals = new Map<string, bigint>();
  readonly #last = new Map<string, { readonly startAt: number; readonly value: number }>();

  read({ metrics }: Fold): void {
    for (const metric of metrics) {
      if (!/^tailscale\.(network|exit_node)\./.test(metric.name) || metric.name.includes(".unique.")) continue;
      for (const { attributes, value, startAt } of seriesOf(metric)) {
        const key = `${metric.name} ${JSON.stringify(attributes)}`;
        const last = this.#last.get(key);
        const gained = last?.startAt === startAt ? value - last.value : value;
        expect(gained).toBeGreaterThanOrEqual(0);
        this.#last.set(key, { startAt, value });
        const direction = attributes["network.io.direction"];
        const total = direction === undefined ? metric.name : `${metric.name} ${direction}`;
        this.totals.set(total, (this.totals.get(total) ?? 0n) + BigInt(gained));
      }
    }
  }
}

/** Adds the expected values of the records, entry by entry. */
function addExpected(
  totals: Map<string, bigint>,
  columns: FlowColumns,
  { mode }: LedgerSettings,
  { countsExitNodes }: ProcessorSettings,
): void {
  const add = (name: string, value: number): void => {
    if (value > 0) totals.set(name, (totals.get(name) ?? 0n) + BigInt(value));
  };
  const suffixes = mode === "both" ? ["", ".rollup"] : [mode === "all" ? "" : ".rollup"];
  add("tailscale.network.reporter.observations", columns.records);
  for (let entry = 0; entry < columns.entries; entry++) {
    if (columns.leftOut[entry] !== 0) continue;
    add("tailscale.network.flows", 1);
    add("tailscale.network.field.observations", 5);
    const families = suffixes.map((suffix) => `tailscale.network.NAME${suffix}`);
    const isOwnExit = ((columns.edge[entry] as number) & ownExit) !== 0;
    if (columns.traffic[entry] === 2 && countsExitNodes && !isOwnExit) families.push("tailscale.exit_node.NAME");
    for (const family of families) {
      add(`${family.replace("NAME", "io")} transmit`, columns.txBytes[entry] as number);
      add(`${family.replace("NAME", "io")} receive`, columns.rxBytes[entry] as number);
      add(`${family.replace("NAME", "packets")} transmit`, columns.txPackets[entry] as number);
      add(`${family.replace("NAME", "packets")} receive`, columns.rxPackets[entry] as number);
    }
  }
}

const sorted = (totals: ReadonlyMap<string, bigint>): string[] =>
  [...totals].map(([name, total]) => `${name} ${total}`).toSorted();

test("increases over all series equal the sums over the records, in every mode, within any limit, through retirement and return", async () => {
  const seen = { retired: 0, overflowed: 0 };
  await fc.assert(
    fc.asyncProperty(folds, ledgerSettings, anySettings, async (done, options, settings) => {
      const ledger = ledgerWith(options);
      const context = { settings, edges: new EdgeBook(settings), ends: new EndBook(settings) };
      const increases = new Increases();
      const expected = new Map<string, bigint>();
      for (const [place, batches] of [...done, [], [], done[0] ?? []].entries()) {
        for (const values of batches) {
          const columns = columnsOf(...values);
          measureFlow(columns, 0, columns.records, context);
          ledger.addFlows(columns, undefined, context.edges);
          addExpected(expected, columns, options, settings);
        }
        const before = ledger.tables.get("tailscale.network.flows")?.size ?? 0;
        increases.read(await ledger.fold(place * 60_000 + 60_000));
        if ((ledger.tables.get("tailscale.network.flows")?.size ?? 0) < before) seen.retired++;
        const overflowed = [...ledger.tables.values()].reduce((sum, table) => sum + table.overflowed, 0);
        if (overflowed > seen.overflowed) seen.overflowed = overflowed;
      }
      expect(sorted(increases.totals)).toEqual(sorted(expected));
    }),
    seeded(300),
  );
  expect(seen.retired).toBeGreaterThan(20);
  expect(seen.overflowed).toBeGreaterThan(20);
}, 120_000);

/** The metrics of the records, sorted. */
async function measured(batches: readonly FlowColumns[], settings: ProcessorSettings): Promise<string[]> {
  const ledger = ledgerWith({ mode: "all", topPairs: 1, limit: 100_000, idleFolds: 1 });
  const context = { settings, edges: new EdgeBook(settings), ends: new EndBook(settings) };
  for (const columns of batches) {
    measureFlow(columns, 0, columns.records, context);
    ledger.addFlows(columns, undefined, context.edges);
  }
  const { metrics } = await ledger.fold(2000);
  return metrics.flatMap((metric) => [...seriesOf(metric)].map((one) => JSON.stringify([metric.name, one]))).toSorted();
}

test("flow metrics are the same for the same records, whatever their order, their batches and what was measured before", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(flowRecordValue, { maxLength: 8 }), anySettings, async (values, settings) => {
      const once = await measured([columnsOf(...values)], settings);
      expect(await measured([columnsOf(...values)], settings)).toEqual(once);
      expect(await measured([columnsOf(...values.toReversed())], settings)).toEqual(once);
      expect(
        await measured(
          values.map((value) => columnsOf(value)),
          settings,
        ),
      ).toEqual(once);
    }),
    seeded(150),
  );
}, 120_000);

suite("stream and poll give equal metrics and equal logs", () => {
  const recorded = "2026-11-02T09:15:07.204000111Z";
  const eventTime = "2026-11-02T09:15:08.125Z";
  const at = Date.parse(recorded);
  const settings = settingsWith({ tailnet: "example.com" });

  test("for flow records", async () => {
    await fc.assert(
      fc.asyncProperty(flowRecordValue, async (value) => {
        const [streamed, polled] = [columnsOf(enveloped(value)), columnsOf({ ...value, logged: recorded })] as const;
        expect(await measured([streamed], settings)).toEqual(await measured([polled], settings));
        expect(eventsOf(streamed)).toEqual(eventsOf(polled));
      }),
      seeded(200),
    );
  });

  function eventsOf(columns: FlowColumns): readonly LogEvent[] {
    const describer = new FlowDescriber(settings);
    const count = describer.logRecords(columns, 0);
    return Array.from({ length: count }, (_, index) => describer.event(columns, 0, index, at));
  }

  test("for audit records, except for what only one source carries", () => {
    fc.assert(
      fc.property(auditRecordValue, (value: JsonObject) => {
        const streamed = auditOf(enveloped(value, 1_793_610_908.125));
        const polled = auditOf({ ...value, eventTime, type: "CONFIG" });
        const counts = [streamed, polled].map((record) => {
          const increments = noIncrements();
          measure(record, settings, increments);
          return [...increments.values()];
        });
        expect(counts[0]).toEqual(counts[1] as never);
        const [streamLog, pollLog] = [streamed, polled].map((record) => {
          const { attributes, observedTime: _, ...event } = describe(record, settings, at);
          const shared = Object.entries(attributes).filter(([name]) => name !== "tailscale.audit.type");
          return { ...event, attributes: Object.fromEntries(shared) };
        });
        expect(streamLog).toEqual(pollLog as never);
      }),
      seeded(200),
    );
  });
});
