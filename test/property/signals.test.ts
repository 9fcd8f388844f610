/** What the signals promise for any records, in any order and any batches: exact sums, one meaning for both ways in, no dependence on chance. */
import { describe as suite, expect, test } from "bun:test";
import fc from "fast-check";
import { type Increments, merge, noIncrements } from "../../src/catalogue/increments.ts";
import { attributesOf, type LogEvent } from "../../src/catalogue/log-event.ts";
import { type PrivacyAction, privacyCategories, type PrivacySettings } from "../../src/catalogue/logs.ts";
import { Ledger, type LedgerOptions, type LedgerView } from "../../src/ledger/index.ts";
import { directoryOf } from "../../src/processors/directory.ts";
import { describe, measure, type ProcessorOptions } from "../../src/processors/index.ts";
import type { NameOptions } from "../../src/processors/names.ts";
import { decodeRecord } from "../../src/records/decode.ts";
import type { FlowRecord, JsonObject, TailscaleRecord } from "../../src/records/types.ts";
import { devices } from "../support/devices.ts";
import { auditRecordValue, flowRecordValue, seeded } from "../support/random.ts";
import { enveloped, flowOf, rawOf } from "../support/records.ts";

const action = fc.constantFrom<PrivacyAction>("keep", "drop", "hash");

const privacy: fc.Arbitrary<PrivacySettings> = fc.tuple(...privacyCategories.map(() => action)).map((actions) => ({
  salt: "salt",
  actions: Object.fromEntries(
    privacyCategories.map((category, place) => [category, actions[place]]),
  ) as unknown as PrivacySettings["actions"],
}));

const nameOptions: fc.Arbitrary<NameOptions> = fc.record(
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
  { requiredKeys: ["collapseExternal"] },
);

const ledgerOptions: fc.Arbitrary<LedgerOptions> = fc.record({
  metricsMode: fc.constantFrom("all", "rollup", "both"),
  rollupTopN: fc.integer({ min: 1, max: 3 }),
  metricLimit: fc.integer({ min: 1, max: 12 }),
  idleFolds: fc.constantFrom(1, 2, 1000),
});

/** Folds, each of some batches, each of some records; some folds are empty, so that series end and come back. */
const folds = fc.array(fc.array(fc.array(flowRecordValue, { maxLength: 4 }), { maxLength: 3 }), {
  minLength: 1,
  maxLength: 6,
});

/** Adds up what a backend sees: the increases of all series, where a new start time is a reset. */
class Increases {
  readonly totals = new Map<string, bigint>();
  readonly #last = new Map<string, { startAt: number; value: number }>();

  take({ metrics }: LedgerView): void {
    for (const { name, series } of metrics) {
      if (name.startsWith("tailscale.network.unique.")) continue;
      for (const { attributes, value, startAt } of series) {
        const key = `${name} ${JSON.stringify(attributes)}`;
        const last = this.#last.get(key);
        const gained = last?.startAt === startAt ? value - last.value : value;
        expect(gained).toBeGreaterThanOrEqual(0);
        this.#last.set(key, { startAt, value });
        const direction = attributes["network.io.direction"];
        const total = direction === undefined ? name : `${name} ${String(direction)}`;
        this.totals.set(total, (this.totals.get(total) ?? 0n) + BigInt(gained));
      }
    }
  }
}

function expectedOf(
  records: readonly FlowRecord[],
  { metricsMode }: LedgerOptions,
  names: NameOptions,
): Map<string, bigint> {
  const totals = new Map<string, bigint>();
  const add = (name: string, value: number): void => {
    if (value > 0) totals.set(name, (totals.get(name) ?? 0n) + BigInt(value));
  };
  const suffixes = { all: [""], rollup: [".rollup"], both: ["", ".rollup"] }[metricsMode];
  for (const { connections } of records) {
    add("tailscale.network.reporter.observations", 1);
    for (const { traffic, txBytes, rxBytes, txPackets, rxPackets } of connections) {
      add("tailscale.network.flows", 1);
      add("tailscale.network.field.observations", 5);
      const families = suffixes.map((suffix) => [
        `tailscale.network.io${suffix}`,
        `tailscale.network.packets${suffix}`,
      ]);
      if (traffic === "exit" && names.countsExitNodes !== false) {
        families.push(["tailscale.exit_node.io", "tailscale.exit_node.packets"]);
      }
      for (const [bytes, packets] of families) {
        add(`${bytes} transmit`, txBytes);
        add(`${bytes} receive`, rxBytes);
        add(`${packets} transmit`, txPackets);
        add(`${packets} receive`, rxPackets);
      }
    }
  }
  return totals;
}

test("increases over all series are the sums over the records, in every mode, within any limit, through retirement and return", () => {
  const seen = { retired: 0, overflowed: 0 };
  fc.assert(
    fc.property(folds, ledgerOptions, nameOptions, (done, options, names) => {
      const ledger = new Ledger(options, 1);
      const increases = new Increases();
      const all: FlowRecord[] = [];
      for (const [place, batches] of [...done, [], [], done[0] ?? []].entries()) {
        for (const values of batches) {
          const records = values.map((value) => flowOf(value));
          const increments = noIncrements();
          for (const record of records) measure(record, names, increments);
          ledger.add(increments);
          all.push(...records);
        }
        const before = ledger.activeSeries().get("tailscale.network.flows") ?? 0;
        increases.take(ledger.fold(place * 1000 + 2, 0, () => {}));
        if ((ledger.activeSeries().get("tailscale.network.flows") ?? 0) < before) seen.retired++;
        if (ledger.takeOverflowed().size > 0) seen.overflowed++;
      }
      const sorted = (totals: ReadonlyMap<string, bigint>) =>
        [...totals].map(([name, total]) => `${name} ${total}`).toSorted();
      expect(sorted(increases.totals)).toEqual(sorted(expectedOf(all, options, names)));
    }),
    seeded(300),
  );
  expect(seen.retired).toBeGreaterThan(20);
  expect(seen.overflowed).toBeGreaterThan(20);
}, 60_000);

/** What increments come to, in an order of their own. */
function shown(increments: Increments): string[] {
  const ledger = new Ledger({ metricsMode: "all", rollupTopN: 1, metricLimit: 100_000, idleFolds: 1 }, 0);
  ledger.add(increments);
  return ledger
    .fold(1, 0, () => {})
    .metrics.flatMap(({ name, series }) => series.map((one) => JSON.stringify([name, one])))
    .toSorted();
}

const describeOptions: ProcessorOptions = {
  collapseExternal: true,
  flowLogMode: "per_connection",
  tailnet: "example.com",
  uidKey: undefined,
};

suite("measure", () => {
  test("is the same for the same records, whatever their order and whatever was measured before", () => {
    fc.assert(
      fc.property(fc.array(flowRecordValue, { maxLength: 8 }), nameOptions, (values, names) => {
        const records = values.map((value) => flowOf(value));
        const sum = (list: readonly TailscaleRecord[]): string[] => {
          const increments = noIncrements();
          for (const record of list) measure(record, names, increments);
          return shown(increments);
        };
        const once = sum(records);
        expect(sum(records)).toEqual(once);
        expect(sum(records.toReversed())).toEqual(once);
        const apart = noIncrements();
        for (const record of records) {
          const one = noIncrements();
          measure(record, names, one);
          merge(apart, one);
        }
        expect(shown(apart)).toEqual(once);
      }),
      seeded(150),
    );
  }, 30_000);
});

const recorded = "2026-11-02T09:15:07.204000111Z";
const eventTime = "2026-11-02T09:15:08.125Z";

/** What only one way carries. */
const oneWayOnly = new Set(["tailscale.audit.type"]);

function comparable(event: LogEvent): object {
  const { name, severity, time, observedTime, body } = event;
  const attributes = Object.entries(attributesOf(event)).filter(([key]) => !oneWayOnly.has(key));
  return { name, severity, time, observedTime, body, attributes: Object.fromEntries(attributes) };
}

test("stream and poll give equal metrics and equal logs", () => {
  let kinds = 0;
  fc.assert(
    fc.property(fc.oneof(flowRecordValue, auditRecordValue), (value) => {
      const isFlow = "nodeId" in value;
      const { logged: _logged, eventTime: _eventTime, type: _type, ...bare } = value;
      const streamed = enveloped(bare as JsonObject, 1_793_610_908.125);
      const polled = isFlow ? { ...bare, logged: recorded } : { ...bare, eventTime, type: "CONFIG" };
      const [stream, poll] = [streamed, polled].map((form) => decodeRecord(rawOf(form))) as [
        TailscaleRecord,
        TailscaleRecord,
      ];
      const measured = [stream, poll].map((record) => {
        const increments = noIncrements();
        measure(record, describeOptions, increments);
        return shown(increments);
      });
      expect(measured[0]).toEqual(measured[1] as string[]);
      const at = Date.parse(recorded);
      const [streamLogs, pollLogs] = [stream, poll].map((record) =>
        describe(record, describeOptions, at).map(comparable),
      );
      const withoutObserved = (events: readonly object[] = []) =>
        isFlow ? events : events.map((event) => ({ ...event, observedTime: undefined }));
      expect(withoutObserved(streamLogs)).toEqual(withoutObserved(pollLogs));
      kinds |= isFlow ? 1 : 2;
    }),
    seeded(300),
  );
  expect(kinds).toBe(3);
}, 30_000);
