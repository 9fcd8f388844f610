/** Tests that the increases summed from committed folds are exactly what was committed, whatever happens between folds. */
import { describe, expect, test } from "bun:test";
import type { Fold, Ledger } from "../../src/ledger/index.ts";
import { seriesOf } from "../../src/ledger/series.ts";
import { randomBelow } from "../support/random.ts";
import { configOf, type Entry, Flows, ledgerOver, SnapshotJournal } from "./support.ts";

const settings = [
  "cardinality.flow.metrics_mode=both",
  "cardinality.flow.rollup_top_n=2",
  "cardinality.metric_limit=12",
  "cardinality.series_ttl=120s",
  "otlp.metric_interval=60s",
];

/** Sums increases as a backend with support for start times does. */
class Reader {
  readonly #known = new Map<string, { readonly startAt: number; readonly value: number }>();
  readonly sums = new Map<string, number>();

  read({ metrics }: Fold): void {
    for (const metric of metrics.filter(({ name }) => !name.includes(".unique."))) {
      for (const { attributes, value, startAt } of seriesOf(metric)) {
        const key = `${metric.name} ${JSON.stringify(attributes)}`;
        const before = this.#known.get(key);
        const increase = before?.startAt === startAt ? value - before.value : value;
        expect(increase).toBeGreaterThanOrEqual(0);
        this.#known.set(key, { startAt, value });
        this.sums.set(metric.name, (this.sums.get(metric.name) ?? 0) + increase);
      }
    }
  }
}

async function run(seed: number): Promise<void> {
  const random = randomBelow(seed);
  const journal = new SnapshotJournal();
  const config = configOf(...settings);
  const rows: Entry[][] = [];
  const reader = new Reader();
  let now = 1000;
  let ledger = ledgerOver(journal, config);
  let flows = new Flows(config, journal);

  const measure = (into: Ledger): void => {
    for (let seq = into.measuredSeq + 1; seq <= rows.length; seq++) {
      flows.add(into, ...(rows[seq - 1] ?? []));
      into.measuredSeq = seq;
    }
  };
  const node = (): string => "abcdef"[random(6)] ?? "a";

  for (let step = 0; step < 60; step++) {
    switch (random(6)) {
      case 0: {
        journal.failure = new Error("disk full");
        await ledger.fold((now += random(3) * 1000)).catch(() => undefined);
        journal.failure = undefined;
        break;
      }
      case 1: {
        const folding = ledger.fold((now += random(3) * 1000));
        rows.push([{ from: node(), to: node(), tx: random(1000) }]);
        measure(ledger);
        reader.read(await folding);
        break;
      }
      case 2:
        ledger = ledgerOver(journal, config);
        flows = new Flows(config, journal);
        measure(ledger);
        break;
      default:
        rows.push(
          Array.from({ length: 1 + random(4) }, () => ({
            from: node(),
            to: node(),
            proto: random(2) === 0 ? 6 : 17,
            tx: random(1000),
            rx: random(1000),
          })),
        );
        measure(ledger);
    }
  }
  reader.read(await ledger.fold((now += 1000)));
  const entries = rows.flat();
  const bytes = entries.reduce((sum, { tx = 0, rx = 0 }) => sum + tx + rx, 0);
  expect(reader.sums.get("tailscale.network.io")).toBe(bytes);
  expect(reader.sums.get("tailscale.network.io.rollup")).toBe(bytes);
  expect(reader.sums.get("tailscale.network.flows")).toBe(entries.length);
}

describe("with failed writes, kills, retirements and overflow", () => {
  for (let seed = 1; seed <= 40; seed++)
    test(`nothing is lost and nothing counts twice, seed ${seed}`, () => run(seed));
});
