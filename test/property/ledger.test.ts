/** Conservation: whatever is added, folded, lost to a crash and restored, the totals are what was added, and no series goes back. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { count, type Increments, merge } from "../../src/catalogue/increments.ts";
import type { LedgerSnapshot } from "../../src/journal/types.ts";
import { Ledger, type LedgerOptions, type LedgerView } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { flowIncrements } from "../support/flows.ts";
import { seeded } from "../support/random.ts";

const bytes = fc.oneof(fc.nat(3), fc.nat(1_000_000), fc.integer({ min: 2 ** 49, max: 2 ** 50 }));

const gain = fc.record({
  source: fc.constantFrom("a", "b", "c", undefined),
  destination: fc.constantFrom("x", "y", undefined),
  transport: fc.constantFrom("tcp", "udp"),
  sums: fc.record({
    entries: fc.integer({ min: 1, max: 3 }),
    txBytes: bytes,
    rxBytes: bytes,
    txPackets: fc.nat(9),
    rxPackets: fc.nat(9),
  }),
});

const increments: fc.Arbitrary<Increments> = fc
  .tuple(fc.array(gain, { maxLength: 3 }), fc.nat(3), fc.constantFrom("r1", "r2", "r3", "r4"))
  .map(([gains, audits, reason]) => {
    const into = flowIncrements(gains);
    count(
      into,
      "tailscale.config.audit.events",
      { "tailscale.audit.action": "CREATE", "tailscale.audit.origin": "NODE" },
      audits,
    );
    count(into, "tailscale2otel.quarantine.records", { class: "invalid", reason }, audits);
    return into;
  });

const action = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant("add" as const), increments }) },
  {
    weight: 4,
    arbitrary: fc.record({ does: fc.constantFrom("fold" as const, "failing fold" as const), now: fc.nat(100_000) }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("crash" as const) }) },
);

const ledgerOptions = fc.record({
  metricsMode: fc.constantFrom("all" as const, "rollup" as const, "both" as const),
  rollupTopN: fc.nat(3),
  metricLimit: fc.integer({ min: 1, max: 8 }),
  idleFolds: fc.constantFrom(1, 2, 1000),
});

/** What each metric must sum up to; flow metrics also by direction. */
function expectedTotals(added: readonly Increments[], { metricsMode }: LedgerOptions): Map<string, bigint> {
  const totals = new Map<string, bigint>();
  const add = (name: string, value: number): void =>
    void (value > 0 && totals.set(name, (totals.get(name) ?? 0n) + BigInt(value)));
  const suffixes = { all: [""], rollup: [".rollup"], both: ["", ".rollup"] }[metricsMode];
  for (const { flows, counts } of added) {
    for (const { metric, value } of counts.values()) add(metric, value);
    for (const { entries, txBytes, rxBytes, txPackets, rxPackets } of flows.values()) {
      add("tailscale.network.flows", entries);
      for (const suffix of suffixes) {
        for (const [direction, value] of [
          ["transmit", txBytes],
          ["receive", rxBytes],
        ] as const) {
          add(`tailscale.network.io${suffix}`, value);
          add(`tailscale.network.io${suffix} ${direction}`, value);
        }
        for (const [direction, value] of [
          ["transmit", txPackets],
          ["receive", rxPackets],
        ] as const) {
          add(`tailscale.network.packets${suffix}`, value);
          add(`tailscale.network.packets${suffix} ${direction}`, value);
        }
      }
    }
  }
  return totals;
}

interface StoredTable {
  readonly retired: string;
  readonly series: readonly (readonly [Record<string, string>, number])[];
}

/** The same from a snapshot; by direction only where no series has ended. */
function storedTotals(blobs: ReadonlyMap<string, string>): { totals: Map<string, bigint>; hasRetired: boolean } {
  const totals = new Map<string, bigint>();
  let hasRetired = false;
  for (const [name, text] of blobs) {
    if (name === "fold") continue;
    const { retired, series } = JSON.parse(text) as StoredTable;
    hasRetired ||= retired !== "0";
    totals.set(name, BigInt(retired));
    for (const [attributes, value] of series) {
      for (const key of [name, `${name} ${attributes["network.io.direction"] ?? ""}`])
        totals.set(key, (totals.get(key) ?? 0n) + BigInt(value));
    }
  }
  return { totals, hasRetired };
}

/** What a backend holds of each series, and the rules that the next point must keep. */
class Backend {
  readonly #last = new Map<string, { at: number; startAt: number; value: number }>();
  #at = 0;

  take({ at, metrics }: LedgerView, { metricLimit }: LedgerOptions): void {
    expect(at).toBeGreaterThan(this.#at);
    this.#at = at;
    for (const { name, series } of metrics) {
      expect(series.length).toBeLessThanOrEqual(metricLimit + 2);
      for (const { attributes, value, startAt } of series) {
        const key = `${name} ${JSON.stringify(attributes)}`;
        const last = this.#last.get(key);
        expect(Number.isSafeInteger(value)).toBe(true);
        expect(startAt).toBeLessThan(at);
        if (last?.startAt === startAt) expect(value).toBeGreaterThanOrEqual(last.value);
        else if (last !== undefined) expect(startAt).toBeGreaterThanOrEqual(last.at);
        this.#last.set(key, { at, startAt, value });
      }
    }
  }
}

test("totals are what was added, and what was shown is never taken back", () => {
  const seen = { folds: 0, restarts: 0, retired: 0 };
  fc.assert(
    fc.property(ledgerOptions, fc.array(action, { maxLength: 30 }), (options, actions) => {
      const added: Increments[] = [];
      const backend = new Backend();
      const blobs = new Map<string, string>();
      let measured = 0;
      let ledger = new Ledger(options, 1);
      const commit = ({ measuredSeq, blobs: written }: LedgerSnapshot): void => {
        for (const [name, text] of written) blobs.set(name, text);
        measured = measuredSeq;
      };
      const fold = (now: number): void => {
        backend.take(ledger.fold(now, added.length, commit), options);
        const { totals, hasRetired } = storedTotals(blobs);
        for (const [name, total] of expectedTotals(added, options)) {
          if (hasRetired && name.includes(" ")) continue;
          expect([name, totals.get(name)]).toEqual([name, total]);
        }
        seen.folds++;
        if (hasRetired) seen.retired++;
      };
      for (const step of [...actions, { does: "fold" as const, now: 1 }]) {
        if (step.does === "add") {
          added.push(step.increments);
          ledger.add(step.increments);
        } else if (step.does === "fold") fold(step.now);
        else if (step.does === "failing fold") {
          const { view } = ledger;
          expect(() =>
            ledger.fold(step.now, added.length, () => {
              throw new Error("full");
            }),
          ).toThrow("full");
          expect(ledger.view).toBe(view);
        } else {
          ledger = new Ledger(options, 1);
          ledger.restore({ measuredSeq: measured, blobs }, silentLogger);
          for (const later of added.slice(measured)) ledger.add(later);
          seen.restarts++;
        }
      }
    }),
    seeded(400),
  );
  expect(seen.folds).toBeGreaterThan(500);
  expect(seen.restarts).toBeGreaterThan(50);
  expect(seen.retired).toBeGreaterThan(50);
}, 30_000);

test("increments add up in any order and split", () => {
  fc.assert(
    fc.property(fc.array(increments, { maxLength: 6 }), ledgerOptions, (all, options) => {
      const total = (groups: readonly Increments[]): Map<string, bigint> => {
        const ledger = new Ledger({ ...options, idleFolds: 1000 }, 1);
        const blobs = new Map<string, string>();
        for (const group of groups) ledger.add(group);
        ledger.fold(2, 0, ({ blobs: written }) => written.forEach((text, name) => blobs.set(name, text)));
        return storedTotals(blobs).totals;
      };
      const merged = flowIncrements([]);
      for (const one of all) merge(merged, one);
      expect(total([merged])).toEqual(total(all));
      expect(total(all.toReversed())).toEqual(total(all));
    }),
    seeded(),
  );
});
