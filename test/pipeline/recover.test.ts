/** Recovery past what cannot be read or measured: what is lost is a term of its own, and the sums hold again. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import type { Journal } from "../../src/journal/index.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { type Conservation, conservationOf } from "../../src/pipeline/conservation.ts";
import { createPipeline, incrementsOf } from "../../src/pipeline/index.ts";
import { observeStore } from "../../src/pipeline/observe.ts";
import { recover } from "../../src/pipeline/recover.ts";
import type { NameOptions } from "../../src/processors/names.ts";
import { createState, type TestState } from "../support/journal.ts";
import { connection, enveloped, flowValue, unwrapped } from "../support/records.ts";

const names: NameOptions = { collapseExternal: true };
const badAddress = "100.64.9.9";

let state: TestState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

interface Opened {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly errors: string[];
}

/** A start as the program makes it. */
function start(options: NameOptions = names): Opened {
  const journal = state.open();
  const ledger = new Ledger({ metricsMode: "both", rollupTopN: 1, metricLimit: 100, idleFolds: 9 }, state.now);
  const errors: string[] = [];
  recover(journal, ledger, options, { ...silentLogger, error: (message) => errors.push(message) });
  journal.onCommitted((committed) => {
    for (const increments of incrementsOf(committed)) ledger.add(increments);
  });
  return { journal, ledger, errors };
}

/** One row for each list of node names, a record for each name. */
async function send({ journal }: Opened, ...rows: readonly (readonly string[])[]): Promise<void> {
  for (const nodeIds of rows) {
    const draft = createPipeline(journal, names).open({ source: "stream", receivedAt: state.now });
    for (const nodeId of nodeIds) {
      const src = nodeId.startsWith("bad") ? `${badAddress}:1` : "100.64.1.1:1";
      draft.add(unwrapped(enveloped(flowValue({ nodeId, virtualTraffic: [connection({ src })] }))).records);
    }
    await draft.commit(1);
  }
}

function fold({ journal, ledger }: Opened): void {
  state.now += 60_000;
  ledger.fold(state.now, journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));
}

/** All records of rows below `seq` are taken by the backend. */
function deliver({ journal }: Opened, seq: number, delivered: number): void {
  journal.progress({
    cursor: { ...journal.cursor, seq, records: { delivered, deadLettered: 0 } },
    setAside: [],
  });
}

function change(...statements: readonly string[]): void {
  const database = new DatabaseSync(join(state.path, "journal.db"));
  for (const sql of statements) expect(database.prepare(sql).run().changes).toBeGreaterThan(0);
  database.close();
}

/** So that the whole database is set aside, and rows are salvaged one by one. */
const unreadableVersion = "UPDATE meta SET value = 'x' WHERE name = 'instance_id'";

function sumsOf({ journal, ledger }: Opened): Conservation {
  const sums = conservationOf(journal, ledger);
  expect(sums.accepted + sums.duplicate + sums.skipped + sums.quarantined).toBe(sums.received);
  expect(sums.delivered + sums.pending + sums.deadLettered + sums.lost).toBe(sums.accepted + sums.uncounted);
  return sums;
}

/** The metrics of what damage took. */
function lossShown({ journal, ledger }: Opened): Record<string, number | undefined> {
  const shown: Record<string, number | undefined> = {};
  const telemetry: Telemetry = {
    ...silentTelemetry,
    observe(metric, ask) {
      if (metric.includes(".lost.")) shown[metric] = ask()[0]?.value;
    },
  };
  const limits = { windowsMs: { flow: 1, audit: 1, webhook: 1 }, metricLimit: 1 };
  observeStore(journal, ledger, limits, { telemetry, clock: () => state.now });
  return shown;
}

describe("rows that are gone", () => {
  test("and were counted, but not delivered, are lost: the sums show how many records", async () => {
    const made = start();
    await send(made, ["a"], ["b", "c"], ["d", "e", "f"], ["g"]);
    fold(made);
    deliver(made, 2, 1);
    made.journal.close();
    change("DELETE FROM journal WHERE seq IN (2, 3)", unreadableVersion);
    const again = start();
    expect(sumsOf(again)).toMatchObject({ accepted: 7, delivered: 1, pending: 1, lost: 5, uncounted: 0 });
    expect(lossShown(again)).toEqual({
      "tailscale2otel.journal.lost.rows": 2,
      "tailscale2otel.journal.lost.records": 5,
    });
    expect(again.errors).toEqual(["accepted records are lost, or it is not known that they were delivered"]);
  });

  test("and were delivered, but not counted, are told apart from lost ones", async () => {
    const made = start();
    await send(made, ["a"]);
    fold(made);
    await send(made, ["b", "c"]);
    deliver(made, 3, 3);
    made.journal.close();
    change("DELETE FROM journal WHERE seq = 2", unreadableVersion);
    expect(sumsOf(start())).toMatchObject({ accepted: 1, delivered: 3, pending: 0, lost: 0, uncounted: 2 });
  });

  test("stay lost over further starts, and add up over further damage", async () => {
    const made = start();
    await send(made, ["a"], ["b"]);
    fold(made);
    deliver(made, 1, 0);
    made.journal.close();
    change("DELETE FROM journal WHERE seq = 1", unreadableVersion);
    const second = start();
    second.journal.close();
    const third = start();
    expect(sumsOf(third)).toMatchObject({ accepted: 2, pending: 1, lost: 1 });
    await send(third, ["c"], ["d"]);
    fold(third);
    deliver(third, 3, 1);
    third.journal.close();
    change("DELETE FROM journal WHERE seq = 3", unreadableVersion);
    const fourth = start();
    expect(sumsOf(fourth)).toMatchObject({ accepted: 4, delivered: 1, pending: 1, lost: 2 });
    expect(fourth.journal.loss.rows).toBe(2);
  });

  test("with the counters are no difference any more: both sums begin anew", async () => {
    const made = start();
    await send(made, ["a"], ["b"]);
    fold(made);
    made.journal.close();
    change("UPDATE ledger SET packed = x'00' WHERE metric = ''");
    const again = start();
    expect(sumsOf(again)).toMatchObject({ accepted: 0, pending: 2, lost: 0, uncounted: 2 });
    await send(again, ["c"]);
    expect(sumsOf(again)).toMatchObject({ accepted: 1, pending: 3 });
  });
});

test("a difference without damage is not explained away", async () => {
  const made = start();
  await send(made, ["a"], ["b"]);
  fold(made);
  made.journal.close();
  change("DELETE FROM journal WHERE seq = 2");
  const { journal, ledger } = start();
  expect(conservationOf(journal, ledger)).toMatchObject({ accepted: 2, pending: 1, lost: 0, uncounted: 0 });
});

test("a row that cannot be read is counted by its records, at every start before the next fold", async () => {
  const made = start();
  await send(made, ["a"], ["b", "c"]);
  made.journal.close();
  change("UPDATE journal SET body = x'00' WHERE seq = 2");
  for (let time = 0; time < 2; time++) {
    const again = start();
    expect(sumsOf(again)).toMatchObject({ accepted: 3, pending: 3, lost: 0, uncounted: 0 });
    expect(again.ledger.sum("tailscale.network.flows")).toBe(0);
    expect(again.errors).toHaveLength(1);
    again.journal.close();
  }
});

describe("a record that no longer measures", () => {
  /** Throws while it names the address of a bad record. */
  const failing: NameOptions = {
    ...names,
    directory: {
      current: {
        byNodeId: new Map(),
        byAddress: {
          get(asked: string) {
            if (asked === badAddress) throw new Error("a bug of ours");
            return undefined;
          },
        } as unknown as ReadonlyMap<string, never>,
      },
    },
  };

  test("is noted, counted as such, and waits for delivery like any other", async () => {
    const made = start();
    await send(made, ["a", "bad", "c"]);
    made.journal.close();
    const again = start(failing);
    expect(sumsOf(again)).toMatchObject({ accepted: 3, pending: 3 });
    expect(again.ledger.sum("tailscale2otel.quarantine.records", { class: "note", reason: "unmeasured" })).toBe(1);
    again.journal.close();
    const { journal } = start();
    const [note, ...others] = journal.quarantine.page({ class: "note" }, { limit: 10 });
    expect(others).toEqual([]);
    expect(note).toMatchObject({ type: "flow", seq: 1, source: "stream", reason: "unmeasured" });
    expect(note?.detail).toContain("a bug of ours");
    expect(journal.quarantine.read(note?.id ?? 0)?.text).toContain('"nodeId":"bad"');
  });

  test("is kept up to a hundred times, and counted every time", async () => {
    const made = start();
    const nodeIds = Array.from({ length: 130 }, (_, place) => `bad${place}`);
    await send(made, nodeIds);
    made.journal.close();
    const again = start(failing);
    expect(again.ledger.sum("tailscale2otel.quarantine.records", { reason: "unmeasured" })).toBe(130);
    again.journal.close();
    expect(start().journal.quarantine.counts({ class: "note" })).toEqual([
      { class: "note", reason: "unmeasured", items: 100 },
    ]);
  });
});
