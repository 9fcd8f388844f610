/** Tests what readers see of the ledger: only committed folds, with start times and final names. */
import { describe, expect, test } from "bun:test";
import { silentLogger } from "../../src/lib/logger.ts";
import type { Ledger } from "../../src/ledger/index.ts";
import { configOf, type Entry, Flows, ledgerOver, shown, SnapshotJournal } from "./support.ts";

const settings = [
  "cardinality.flow.metrics_mode=both",
  "cardinality.flow.rollup_top_n=10",
  "cardinality.metric_limit=100",
  "cardinality.series_ttl=120s",
  "otlp.metric_interval=60s",
];

function ledgerOf(...more: string[]) {
  const journal = new SnapshotJournal();
  const config = configOf(...settings, ...more);
  const ledger = ledgerOver(journal, config);
  const flows = new Flows(config, journal);
  return { journal, config, ledger, flows, gain: (...entries: Entry[]) => flows.add(ledger, ...entries) };
}

const auditAttributes = { "tailscale.audit.action": "CREATE", "tailscale.audit.origin": "NODE" } as const;

function audits(ledger: Ledger, value: number): void {
  ledger.count("tailscale.config.audit.events", auditAttributes, value);
}

const io = "tailscale.network.io";

/** What ended series had counted, by direction. */
const retiredOf = ({ shown: fold }: Ledger) => fold.metrics.find(({ name }) => name === io)?.retired;

describe("a fold", () => {
  test("shows nothing of what was added before it, and all of it afterwards", async () => {
    const { ledger } = ledgerOf();
    audits(ledger, 2);
    expect(ledger.shown).toEqual({ at: 1000, since: undefined, metrics: [] });
    await ledger.fold(2000);
    audits(ledger, 3);
    expect(shown(ledger.shown, "tailscale.config.audit.events")).toEqual([
      { attributes: auditAttributes, value: 2, startAt: 1000 },
    ]);
    expect(ledger.sum("tailscale.config.audit.events")).toBe(5);
    expect(ledger.sum("tailscale.config.audit.events", { "tailscale.audit.origin": "CONTROL" })).toBe(0);
    expect(shown(await ledger.fold(3000), "tailscale.config.audit.events")).toMatchObject([
      { value: 5, startAt: 1000 },
    ]);
  });

  test("leaves what is added in the meantime to the next", async () => {
    const { ledger } = ledgerOf();
    audits(ledger, 2);
    const folding = ledger.fold(2000);
    await undefined;
    audits(ledger, 3);
    expect(ledger.sum("tailscale.config.audit.events")).toBe(5);
    expect(shown(await folding, "tailscale.config.audit.events")).toMatchObject([{ value: 2 }]);
    expect(shown(await ledger.fold(3000), "tailscale.config.audit.events")).toMatchObject([{ value: 5 }]);
  });

  test("requested during another begins after it", async () => {
    const { ledger } = ledgerOf();
    const [first, second] = await Promise.all([ledger.fold(2000), ledger.fold(3000)]);
    expect([first.at, second.since, second.at]).toEqual([2000, 2000, 3000]);
  });

  test("is shown only when its snapshot is written, and loses nothing if that fails", async () => {
    const { ledger, journal, gain } = ledgerOf();
    audits(ledger, 2);
    const before = await ledger.fold(2000);
    audits(ledger, 3);
    gain({ from: "a", to: "b", tx: 7 });
    journal.failure = new Error("disk full");
    for (const now of [3000, 3100, 3200, 3300]) expect(ledger.fold(now)).rejects.toThrow("disk full");
    await ledger.fold(3400).catch(() => undefined);
    expect(ledger.shown).toBe(before);
    journal.failure = undefined;
    audits(ledger, 4);
    const after = await ledger.fold(4000);
    expect(shown(after, "tailscale.config.audit.events")).toMatchObject([{ value: 9, startAt: 1000 }]);
    expect(shown(after, io)).toMatchObject([{ value: 7, startAt: 2000 }]);
    expect(shown(ledgerOver(journal, configOf(...settings)).shown, io)).toMatchObject([{ value: 7, startAt: 2000 }]);
  });

  test("writes the metrics that changed, and attribute sets only if they are new", async () => {
    const { ledger, journal, gain } = ledgerOf();
    const always = ["fold", "tailscale2otel.export.log_records", "tailscale2otel.quarantine.records"];
    await ledger.fold(2000);
    gain({ from: "a", to: "b", tx: 1 });
    await ledger.fold(3000);
    gain({ from: "a", to: "b", tx: 1 });
    await ledger.fold(4000);
    await ledger.fold(5000);
    const [, first = [], second = [], third] = journal.written;
    expect(first).toContain(`${io}/0`);
    expect(second).toEqual(first.filter((name) => !name.includes("/")));
    expect(third).toEqual(always);
  });

  test("keeps the talkers of its interval visible during and after it", async () => {
    const { ledger, flows } = ledgerOf();
    flows.add(ledger, { from: "a", to: "b", tx: 7, rx: 2 });
    const folding = ledger.fold(2000);
    await undefined;
    flows.add(ledger, { from: "a", to: "b", tx: 1 }, { from: "c", to: "d", tx: 5 });
    const talkers = [
      { from: "a", to: "b", bytes: 10 },
      { from: "c", to: "d", bytes: 5 },
    ];
    expect(ledger.talkers(5)).toEqual(talkers);
    await folding;
    expect(ledger.talkers(5)).toEqual(talkers);
  });

  test("stores the last row measured before it", async () => {
    const { ledger, journal } = ledgerOf();
    ledger.measuredSeq = 7;
    const folding = ledger.fold(2000);
    await undefined;
    ledger.measuredSeq = 8;
    await folding;
    expect([journal.measuredSeq, ledger.measuredSeq]).toEqual([7, 8]);
  });

  test("keeps sums exact at every step, and includes all flows at the end", async () => {
    const { ledger, flows } = ledgerOf("cardinality.flow.collapse_external=false", "cardinality.metric_limit=9000");
    const entries = Array.from({ length: 6000 }, (_, index) => ({
      from: `192.0.${index >> 8}.${index & 255}:1`,
      to: "a:1",
      tx: 2,
    }));
    flows.add(ledger, ...entries);
    audits(ledger, 1);
    const state = { isOver: false };
    const folding = ledger.fold(2000).then(() => (state.isOver = true));
    const seen = new Set<string>();
    for (let turns = 0; !state.isOver; turns++) {
      audits(ledger, 1);
      const exact = ledger.sum("tailscale.config.audit.events") - turns;
      seen.add(String(exact));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await folding;
    expect([...seen]).toEqual(["2"]);
    const names = [io, "tailscale.network.io.rollup", "tailscale.network.flows"] as const;
    expect(names.map((name) => ledger.sum(name))).toEqual([12_000, 12_000, 6000]);
  });

  test("of 20,000 series yields to other work", async () => {
    const { ledger, flows } = ledgerOf("cardinality.flow.collapse_external=false", "cardinality.metric_limit=50000");
    const entries = Array.from({ length: 20_000 }, (_, index) => ({
      from: `192.0.${index >> 8}.${index & 255}:1`,
      to: "a:1",
      tx: 2,
    }));
    flows.add(ledger, ...entries.slice(0, 10_000));
    flows.add(ledger, ...entries.slice(10_000));
    let turns = 0;
    const others = setInterval(() => turns++, 0);
    await ledger.fold(2000);
    clearInterval(others);
    expect(turns).toBeGreaterThan(1);
  });
});

describe("the time of a fold", () => {
  test("increases if the clock stands still or goes back a little", async () => {
    const { ledger } = ledgerOf();
    const times: number[] = [];
    for (const now of [2000, 2000, 500, 2003]) times.push((await ledger.fold(now)).at);
    expect(times).toEqual([2000, 2001, 2002, 2003]);
  });

  test("follows a clock that goes back by more than five minutes: all series begin anew, which is logged", async () => {
    const journal = new SnapshotJournal();
    const warnings: string[] = [];
    const config = configOf(...settings);
    const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
    const leaped = 10_000_000_000;
    const ledger = ledgerOver(journal, config, logger);
    audits(ledger, 5);
    await ledger.fold(leaped);
    const again = ledgerOver(journal, config, logger);
    expect(again.shown.at).toBe(leaped);
    audits(again, 2);
    const fold = await again.fold(1_000_000);
    expect(fold).toMatchObject({ since: 1_000_000, at: 1_000_001 });
    expect(shown(fold, "tailscale.config.audit.events")).toEqual([
      { attributes: auditAttributes, value: 2, startAt: 1_000_000 },
    ]);
    expect(warnings).toEqual(["the clock was set back: all counters start again from 0"]);
    expect(shown(ledgerOver(journal, config).shown, "tailscale.config.audit.events")).toMatchObject([{ value: 2 }]);
    expect((await again.fold(1_060_000)).at).toBe(1_060_000);
  });

  test("passes the accepted count to the journal once series have begun anew", async () => {
    const { ledger, journal } = ledgerOf();
    const accepted = { source: "stream", signal: "flow", outcome: "accepted" } as const;
    ledger.count("tailscale2otel.ingest.records", accepted, 9);
    await ledger.fold(10_000_000);
    ledger.count("tailscale2otel.ingest.records", accepted, 4);
    await ledger.fold(2000);
    expect(journal.settled).toEqual([4]);
    expect(ledger.sum("tailscale2otel.ingest.records")).toBe(4);
  });
});

describe("a series", () => {
  test("begins at the fold before its first value", async () => {
    const { ledger, gain } = ledgerOf();
    await ledger.fold(2000);
    gain({ from: "a", to: "b", tx: 7 });
    expect(shown(await ledger.fold(3000), io)).toMatchObject([{ value: 7, startAt: 2000 }]);
  });

  test("retires once it has been idle, and begins anew when it returns", async () => {
    const { ledger, gain } = ledgerOf();
    gain({ from: "a", to: "b", tx: 7 });
    const values: number[][][] = [];
    for (const fold of [1, 2, 3, 4]) {
      if (fold === 4) gain({ from: "a", to: "b", tx: 5 });
      values.push(shown(await ledger.fold(1000 + fold * 1000), io).map(({ value, startAt }) => [value, startAt]));
    }
    expect(values).toEqual([[[7, 1000]], [[7, 1000]], [], [[5, 4000]]]);
  });

  test("is kept forever if its attribute sets are closed and few", async () => {
    const { ledger } = ledgerOf();
    audits(ledger, 1);
    for (let fold = 1; fold < 20; fold++) await ledger.fold(fold * 1000);
    expect(shown(ledger.shown, "tailscale.config.audit.events")).toHaveLength(1);
  });

  test("begins anew instead of passing 2^53−1", async () => {
    const { ledger, gain } = ledgerOf();
    const most = Number.MAX_SAFE_INTEGER;
    const values: number[][] = [];
    for (const [fold, tx] of [most - 1, 1, 1, most].entries()) {
      gain({ from: "a", to: "b", tx });
      values.push(shown(await ledger.fold((fold + 2) * 1000), io).flatMap(({ value, startAt }) => [value, startAt]));
    }
    expect(values).toEqual([
      [most - 1, 1000],
      [most, 1000],
      [1, 3000],
      [most, 4000],
    ]);
    // The total it left behind counts among the retired ones.
    expect(retiredOf(ledger)).toEqual({ transmit: most + 1 });
  });

  test("beyond the limit is folded into an overflow series by direction, and counted", async () => {
    const { ledger, gain } = ledgerOf("cardinality.metric_limit=2", "cardinality.flow.metrics_mode=all");
    for (const from of ["a", "b", "c", "d"]) gain({ from, to: "z", tx: 10, rx: 1 });
    expect(
      shown(await ledger.fold(2000), io).map(({ attributes, value }): object => ({ ...attributes, value })),
    ).toEqual([
      { ...flowAttributes("transmit", "a"), value: 10 },
      { ...flowAttributes("receive", "a"), value: 1 },
      { "network.io.direction": "transmit", "otel.metric.overflow": true, value: 30 },
      { "network.io.direction": "receive", "otel.metric.overflow": true, value: 3 },
    ]);
    expect(ledger.tables.get(io)?.overflowed).toBe(6);
  });

  test("keeps the sum of all increases exact over retirements by means of the retired totals", async () => {
    const { ledger, gain, journal } = ledgerOf();
    gain({ from: "a", to: "b", tx: 7 });
    for (let fold = 2; fold < 8; fold++) await ledger.fold(fold * 1000);
    expect(ledger.tables.get(io)?.size).toBe(0);
    expect(retiredOf(ledger)).toEqual({ transmit: 7 });
    gain({ from: "a", to: "b", tx: 5 });
    expect(shown(await ledger.fold(9000), io)).toMatchObject([{ value: 5, startAt: 7000 }]);
    expect(retiredOf(ledgerOver(journal, configOf()))).toEqual({ transmit: 7 });
  });

  test("still counts among the connection entries once it has ended, even after a restart", async () => {
    const { ledger, gain, journal, config } = ledgerOf();
    gain({ from: "a", to: "b", tx: 7 }, { from: "a", to: "b", tx: 1, proto: 17 });
    for (let fold = 2; fold < 8; fold++) {
      await ledger.fold(fold * 1000);
      expect(ledger.entries).toBe(2);
    }
    expect(ledger.tables.get("tailscale.network.flows")?.size).toBe(0);
    expect(ledgerOver(journal, config).entries).toBe(2);
    gain({ from: "a", to: "b", tx: 5 });
    expect(ledger.entries).toBe(3);
  });

  test("of a sum that status shows has no limit, because its parts by attribute would lack the overflow", async () => {
    const { ledger } = ledgerOf("cardinality.metric_limit=1");
    for (const outcome of ["duplicate", "accepted", "quarantined"] as const)
      ledger.count("tailscale2otel.ingest.records", { source: "stream", signal: "flow", outcome }, 2);
    for (const type of ["flow", "audit"] as const) ledger.count("tailscale2otel.reconcile.unverifiable", { type }, 3);
    await ledger.fold(2000);
    expect(ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" })).toBe(2);
    expect(ledger.sum("tailscale2otel.ingest.records")).toBe(6);
    expect(ledger.sum("tailscale2otel.reconcile.unverifiable", { type: "audit" })).toBe(3);
  });
});

describe("counters of delivery", () => {
  const logRecords = "tailscale2otel.export.log_records";

  test("start with 0 in the first fold, so that the first dead letter is an increase", async () => {
    const { ledger, journal } = ledgerOf();
    const fold = await ledger.fold(2000);
    expect(shown(fold, logRecords)).toEqual(
      ["delivered", "rejected", "dead_lettered"].map((outcome) => ({
        attributes: { outcome },
        value: 0,
        startAt: journal.identity.createdAt,
      })),
    );
    expect(shown(fold, "tailscale2otel.quarantine.records")).toMatchObject([
      { attributes: { class: "dead_letter", reason: "undelivered" }, value: 0 },
    ]);
  });

  test("are those of the journal's cursor", async () => {
    const { ledger, journal } = ledgerOf();
    await ledger.fold(2000);
    journal.cursor = {
      ...journal.cursor,
      records: { delivered: 8, deadLettered: 2 },
      logRecords: { delivered: 30, rejected: 4, deadLettered: 3 },
    };
    const fold = await ledger.fold(3000);
    expect(shown(fold, logRecords).map(({ value }) => value)).toEqual([30, 4, 3]);
    expect(shown(fold, "tailscale2otel.quarantine.records")).toMatchObject([{ value: 2 }]);
  });
});

describe("after a restart", () => {
  test("the ledger continues from its snapshot, including time and idleness", async () => {
    const { ledger, journal, config, flows } = ledgerOf();
    flows.add(ledger, { from: "a", to: "b", tx: 7 });
    ledger.measuredSeq = 9;
    await ledger.fold(5000);
    const again = ledgerOver(journal, config);
    expect(again.measuredSeq).toBe(9);
    expect(again.shown.at).toBe(5000);
    expect(shown(again.shown, io)).toEqual(shown(ledger.shown, io));
    new Flows(config, journal).add(again, { from: "a", to: "b", tx: 1 });
    expect(shown(await again.fold(6000), io)).toMatchObject([{ value: 8, startAt: 1000 }]);
    await again.fold(7000);
    expect(shown(await again.fold(8000), io)).toEqual([]);
  });

  test("a metric without its blob begins anew with a warning, but others do not", async () => {
    const { ledger, journal, config, gain } = ledgerOf();
    audits(ledger, 1);
    gain({ from: "a", to: "b", tx: 7 });
    await ledger.fold(5000);
    journal.blobs.delete(`${io}/0`);
    const warnings: unknown[] = [];
    const logger = { ...silentLogger, warn: (_: string, fields?: object) => void warnings.push(fields) };
    const again = ledgerOver(journal, config, logger);
    expect(warnings).toMatchObject([{ metric: io }]);
    expect(again.sum("tailscale.config.audit.events")).toBe(1);
    expect(again.sum(io)).toBe(0);
    expect(again.sum("tailscale.network.io.rollup")).toBe(7);
  });

  test("remembered words of webhook events stay remembered", async () => {
    const { ledger, journal, config } = ledgerOf();
    const name = "tailscale.webhook.events";
    for (let word = 0; word < 64; word++) ledger.count(name, { "tailscale.webhook.type": `type${word}` }, 1);
    await ledger.fold(2000);
    const again = ledgerOver(journal, config);
    for (const type of ["type63", "type64"]) again.count(name, { "tailscale.webhook.type": type }, 1);
    expect(again.sum(name, { "tailscale.webhook.type": "type63" })).toBe(2);
    expect(again.sum(name, { "tailscale.webhook.type": "other" })).toBe(1);
  });
});

function flowAttributes(direction: string, source: string): object {
  return {
    "network.io.direction": direction,
    "network.transport": "tcp",
    "tailscale.traffic_type": "virtual",
    "tailscale.src.node": source,
    "tailscale.dst.node": "z",
  };
}
