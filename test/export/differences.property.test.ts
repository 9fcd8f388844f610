/** Tests that the deltas a destination accepted add up to what the ledger counted, whatever fails. */
import { describe, expect, test } from "bun:test";
import { keepTotals, openTotals } from "../../src/export/acknowledged.ts";
import type { Answer } from "../../src/export/answer.ts";
import type { Fold } from "../../src/ledger/index.ts";
import { seriesOf } from "../../src/ledger/series.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { configOf, type Entry, Flows, ledgerOver, SnapshotJournal } from "../ledger/support.ts";
import { DeltaSums } from "../support/delta-sink.ts";
import { decodeOtlp } from "../support/otlp-sink.ts";
import { randomBelow } from "../support/random.ts";
import { startExport, type TestExport } from "./metric-export.ts";

/** Sums what the ledger shows by metric and direction, including series that have ended since. */
class LedgerSums {
  readonly #known = new Map<string, { readonly startAt: number; readonly value: number }>();
  readonly sums = new Map<string, number>();

  read({ metrics }: Fold): void {
    for (const metric of metrics.filter(({ name }) => !name.includes(".unique."))) {
      for (const { attributes, value, startAt } of seriesOf(metric)) {
        const key = `${metric.name} ${JSON.stringify(attributes)}`;
        const before = this.#known.get(key);
        this.#known.set(key, { startAt, value });
        const name = `${metric.name} ${String(attributes["network.io.direction"] ?? "")}`;
        const increase = before?.startAt === startAt ? value - before.value : value;
        if (increase > 0) this.sums.set(name, (this.sums.get(name) ?? 0) + increase);
      }
    }
  }
}

/** Answers at random: accepts, fails, loses its answer after accepting, or refuses requests with a certain node. */
class Destination {
  readonly received = new DeltaSums();
  isWell = false;
  readonly #random: (bound: number) => number;
  readonly #losesAnswers: boolean;

  constructor(random: (bound: number) => number, losesAnswers: boolean) {
    this.#random = random;
    this.#losesAnswers = losesAnswers;
  }

  readonly send = async (body: Uint8Array): Promise<Answer> => {
    const { points } = decodeOtlp("metrics", "protobuf", body);
    const chance = this.isWell ? 9 : this.#random(10);
    if (chance < 3) return { kind: "failed", cause: "server", why: "HTTP 503" };
    const isRefused = !this.isWell && points.some(({ attributes }) => attributes["tailscale.src.node"] === "c");
    if (isRefused || (chance === 3 && points.length > 3))
      return { kind: "refused", status: 400, message: "invalid label" };
    this.received.take(points);
    if (chance === 4 && this.#losesAnswers) return { kind: "failed", cause: "reset", why: "no answer" };
    return { kind: "accepted" };
  };
}

interface Scenario {
  readonly settings: readonly string[];
  readonly losesAnswers: boolean;
}

async function run(seed: number, { settings, losesAnswers }: Scenario): Promise<DeltaSums> {
  const random = randomBelow(seed);
  const journal = new SnapshotJournal();
  const config = configOf("cardinality.flow.metrics_mode=both", "otlp.metric_interval=60s", ...settings);
  const state = new Map<string, Uint8Array>();
  const stored = {
    readState: (name: string) => state.get(name),
    writeState: (name: string, value: Uint8Array) => void state.set(name, value),
  };
  const destination = new Destination(random, losesAnswers);
  const counted = new LedgerSums();
  const rows: Entry[][] = [];
  let now = 1000;
  let ledger = ledgerOver(journal, config);
  let flows = new Flows(config, journal);
  const startMetrics = (): TestExport => {
    const deps = { journal: stored, shown: () => ledger.shown, logger: silentLogger };
    const acknowledged = openTotals(deps, ["primary"]).get("primary");
    const keep = (totals: Uint8Array): void => keepTotals(deps, "primary", totals);
    const { send } = destination;
    return startExport("http://127.0.0.1:9", { encoding: "protobuf", send, acknowledged, onAcknowledged: keep });
  };
  let metrics = startMetrics();
  const measure = (): void => {
    for (let seq = ledger.measuredSeq + 1; seq <= rows.length; seq++) {
      flows.add(ledger, ...(rows[seq - 1] ?? []));
      ledger.measuredSeq = seq;
    }
  };
  const fold = async (): Promise<void> => {
    const folded = await ledger.fold((now += 60_000));
    counted.read(folded);
    await metrics.fold(folded);
  };
  const node = (): string => "abcdef"[random(6)] ?? "a";

  for (let step = 0; step < 60; step++) {
    const chance = random(8);
    if (chance === 0) {
      // Killed, perhaps before a fold was handed over: only the journal's content is left.
      if (random(2) === 0) counted.read(await ledger.fold((now += 60_000)));
      ledger = ledgerOver(journal, config);
      flows = new Flows(config, journal);
      metrics = startMetrics();
      measure();
    } else if (chance < 4) await fold();
    else {
      rows.push([{ from: node(), to: node(), proto: 6 + 11 * random(2), tx: random(1000), rx: random(1000) }]);
      measure();
    }
  }
  destination.isWell = true;
  // Series that are left out are tried again every tenth fold.
  for (let round = 0; round < 11; round++) await fold();
  await metrics.stop();
  expect(destination.received.mistakes).toEqual([]);
  expect(new Map([...destination.received.sums].toSorted())).toEqual(new Map([...counted.sums].toSorted()));
  return destination.received;
}

const churn = ["cardinality.flow.rollup_top_n=2", "cardinality.metric_limit=12", "cardinality.series_ttl=2m"];
const seeds = Array.from({ length: 12 }, (_, at) => at + 1);

describe("with outages, kills, rejected series, retirement, roll-up and overflow", () => {
  test.each(seeds)("every delta arrives once, seed %i", async (seed) => {
    expect((await run(seed, { settings: churn, losesAnswers: false })).repeated).toBe(0);
  });
});

describe("with lost answers too", () => {
  test.each(seeds)("a repeated delta starts where it started before, seed %i", async (seed) => {
    await run(seed, { settings: [], losesAnswers: true });
  });
});
