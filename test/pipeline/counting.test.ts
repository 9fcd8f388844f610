/** Tests catching up past what cannot be read or measured: losses have their own term, so that the sums still hold. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { type Journal, type JournalReader, startOfJournal, type Tail } from "../../src/journal/index.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { Counting } from "../../src/pipeline/counting.ts";
import { createPipeline } from "../../src/pipeline/index.ts";
import { conservationOf, observeStore } from "../../src/pipeline/observe.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import type { Store, StoreParts } from "../support/store.ts";
import { auditValue, connection, enveloped, flowValue } from "../support/records.ts";
import { aWhile, until } from "../support/wait.ts";
import { badAddress, failingDirectory, Restarts, send, sumsOf } from "./restarts.ts";

let restarts: Restarts;
let errors: string[];
beforeEach(() => {
  errors = [];
  restarts = new Restarts(["cardinality.flow.metrics_mode=both"], watched());
});
afterEach(() => restarts.remove());

const watched = (parts: StoreParts = {}): StoreParts => ({
  logger: { ...silentLogger, error: (message) => errors.push(message) },
  ...parts,
});

async function restart(change?: () => void, parts: StoreParts = {}): Promise<Store> {
  errors = [];
  return restarts.restart(watched(parts), change);
}

/** Sends one row per list of node names, with one record per name. */
async function sendRows(...rows: readonly (readonly string[])[]): Promise<void> {
  for (const nodeIds of rows) {
    const values = nodeIds.map((nodeId) => {
      const src = nodeId.startsWith("bad") ? `${badAddress}:1` : "100.64.1.1:1";
      return enveloped(flowValue({ nodeId, virtualTraffic: [connection({ src })] }));
    });
    await send(restarts.store, values);
  }
}

const fold = () => restarts.store.ledger.fold((restarts.now += 60_000));

/** Reports all records of rows below `seq` as accepted by the backend. */
function deliver(seq: number, delivered: number): void {
  const cursor = { ...startOfJournal, seq, records: { delivered, deadLettered: 0 } };
  restarts.store.journal.progress({ cursor, marks: [] });
}

const damage =
  (...statements: readonly string[]) =>
  (): void =>
    restarts.changeDatabase(...statements);

/** Makes the journal set the whole database aside and salvage it row by row. */
const unreadable = "UPDATE state SET value = x'00' WHERE name = 'identity'";

/** The metrics of losses by damage. */
function lossShown(store: Store): Record<string, number | undefined> {
  const shown: Record<string, number | undefined> = {};
  const telemetry: Telemetry = {
    ...silentTelemetry,
    observe(metric, ask) {
      if (metric.includes(".lost.")) shown[metric] = ask()[0]?.value;
    },
  };
  observeStore(store.config, { ...store, telemetry, clock: () => restarts.now });
  return shown;
}

test("rows that are read again after a kill count what their commits counted", async () => {
  const { store } = restarts;
  const left = flowValue({ nodeId: "l", virtualTraffic: [connection(), connection({ src: "nonsense" })] });
  await send(store, [enveloped(flowValue()), enveloped(auditValue()), { hello: 1 }, left]);
  await store.ledger.fold((restarts.now += 1000));
  await send(store, [enveloped(flowValue()), enveloped(flowValue({ nodeId: "n2" })), left, enveloped(auditValue())]);
  await send(store, [flowValue({ nodeId: "n3", exitTraffic: [connection()] })], { source: "poll" });
  const sums = sumsOf(store);
  const again = await restart();
  expect(sumsOf(again)).toEqual(sums);
  expect(totalsOf(again)).toEqual(totalsOf(store));
  expect(errors).toEqual([]);
});

function totalsOf({ ledger }: Store): Record<string, number> {
  const names = [
    "tailscale2otel.ingest.records",
    "tailscale.network.flows",
    "tailscale.network.io",
    "tailscale.network.io.rollup",
    "tailscale.exit_node.io",
    "tailscale.network.field.observations",
    "tailscale.network.data_quality",
    "tailscale.config.audit.events",
    "tailscale.stream.duplicates",
  ] as const;
  return Object.fromEntries(names.map((name) => [name, ledger.sum(name)]));
}

test("commits while the ledger is behind are read as rows, once each", async () => {
  await sendRows(["a"], ["b"]);
  const { config, journal, settings } = restarts.store;
  const ledger = new Ledger(config, { journal, logger: silentLogger });
  const deps = { journal, settings, edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const counting = new Counting({ ...deps, ledger, logger: silentLogger });
  const committed = counting.committed.bind(counting);
  const pipeline = createPipeline(config, { ...deps, committed, keepsText: () => false, telemetry: silentTelemetry });
  const behind = { ...restarts.store, pipeline };
  const counted = () => [
    counting.isCaughtUp,
    ledger.sum("tailscale.network.reporter.observations"),
    ledger.measuredSeq,
  ];
  await send(behind, [flowValue({ nodeId: "c" })]);
  expect(counted()).toEqual([false, 0, 0]);
  await counting.catchUp();
  expect(counted()).toEqual([true, 3, 3]);
  await send(behind, [flowValue({ nodeId: "d" })]);
  expect(counted()).toEqual([true, 4, 4]);
  expect(counting.progress).toEqual({ rows: 3, not_counted: 0, unreadable: 0 });
});

test("a row committed while a read finds nothing more is not skipped", async () => {
  await sendRows(["a"]);
  const { config, settings, journal: stored } = restarts.store;
  let reads = 0;
  const journal = Object.create(stored, {
    openReader: {
      value(): JournalReader {
        const reader = stored.openReader();
        return Object.assign(Object.create(reader) as JournalReader, {
          async read(...asked: Parameters<JournalReader["read"]>) {
            if (reads++ > 0) return reader.read(...asked);
            // The first row is gone, and before that is noticed, the second one is committed.
            await sendRows(["b"]);
            return [];
          },
          close: () => reader.close(),
        });
      },
    },
  }) as Journal;
  const ledger = new Ledger(config, { journal, logger: silentLogger });
  const deps = { journal, settings, edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const counting = new Counting({ ...deps, ledger, logger: silentLogger });
  await counting.catchUp();
  expect([ledger.measuredSeq, ledger.sum("tailscale.network.reporter.observations")]).toEqual([2, 1]);
});

test("with a tail, rows of all instances are counted as they are announced, whoever committed them", async () => {
  await sendRows(["a"], ["b"]);
  const { config, settings } = restarts.store;
  const tail: Tail = { onGrowth() {} };
  const journal = Object.create(restarts.store.journal, { tail: { value: tail } }) as Journal;
  const ledger = new Ledger(config, { journal, logger: silentLogger });
  const deps = { journal, settings, edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const added: number[] = [];
  const counting = new Counting({ ...deps, ledger, logger: silentLogger, counted: ({ seq }) => void added.push(seq) });
  await sendRows(["c"]);
  counting.grown();
  await counting.catchUp();
  expect([ledger.measuredSeq, ledger.sum("tailscale.network.reporter.observations")]).toEqual([3, 3]);
  for (const node of ["d", "e", "f"]) {
    await sendRows([node]);
    counting.grown();
  }
  await until(() => ledger.measuredSeq === 6);
  expect(ledger.sum("tailscale.network.reporter.observations")).toBe(6);
  expect(added).toEqual([4, 5, 6]);
  counting.close();
  await sendRows(["g"]);
  counting.grown();
  await aWhile();
  expect(ledger.measuredSeq).toBe(6);
});

test("with a tail, a record that does not measure is counted as such even after the start", async () => {
  const { config, settings } = restarts.store;
  const tail: Tail = { onGrowth() {} };
  const journal = Object.create(restarts.store.journal, { tail: { value: tail } }) as Journal;
  const ledger = new Ledger(config, { journal, logger: silentLogger });
  const deps = { journal, settings, edges: new EdgeBook(settings), ends: new EndBook(settings) };
  const counting = new Counting({ ...deps, ledger, logger: silentLogger });
  await counting.catchUp();
  await sendRows(["a", "bad"]);
  settings.directory.current = failingDirectory;
  counting.grown();
  await until(() => ledger.measuredSeq === 1);
  counting.close();
  expect(ledger.sum("tailscale2otel.quarantine.records", { class: "note", reason: "unmeasured" })).toBe(1);
});

describe("rows that are gone", () => {
  test("and were counted but not delivered are lost: the sums show how many records", async () => {
    await sendRows(["a"], ["b", "c"], ["d", "e", "f"], ["g"]);
    await fold();
    deliver(2, 1);
    const again = await restart(damage("DELETE FROM batch WHERE seq IN (2, 3)", unreadable));
    expect(sumsOf(again)).toMatchObject({ accepted: 7, delivered: 1, pending: 1, lost: 5, uncounted: 0 });
    expect(lossShown(again)).toEqual({
      "tailscale2otel.journal.lost.rows": 2,
      "tailscale2otel.journal.lost.records": 5,
    });
    expect(errors).toContain("accepted records are lost, or it is not known that they were delivered");
  });

  test("and were delivered but not counted are distinguished from lost ones", async () => {
    await sendRows(["a"]);
    await fold();
    await sendRows(["b", "c"]);
    deliver(3, 3);
    const again = await restart(damage("DELETE FROM batch WHERE seq = 2", unreadable));
    expect(sumsOf(again)).toMatchObject({ accepted: 1, delivered: 3, pending: 0, lost: 0, uncounted: 2 });
  });

  test("stay lost over further starts, and further damage adds to them", async () => {
    await sendRows(["a"], ["b"]);
    await fold();
    deliver(1, 0);
    await restart(damage("DELETE FROM batch WHERE seq = 1", unreadable));
    expect(sumsOf(await restart())).toMatchObject({ accepted: 2, pending: 1, lost: 1 });
    await sendRows(["c"], ["d"]);
    await fold();
    deliver(3, 1);
    const fourth = await restart(damage("DELETE FROM batch WHERE seq = 3", unreadable));
    expect(sumsOf(fourth)).toMatchObject({ accepted: 4, delivered: 1, pending: 1, lost: 2 });
    expect(fourth.journal.loss.rows).toBe(2);
  });

  test("together with the counters leave no difference: both sums begin anew", async () => {
    await sendRows(["a"], ["b"]);
    await fold();
    const again = await restart(damage("UPDATE state SET value = x'00' WHERE name LIKE 'ledger/%'"));
    expect(sumsOf(again)).toMatchObject({ accepted: 0, pending: 2, lost: 0, uncounted: 2 });
    await sendRows(["c"]);
    expect(sumsOf(again)).toMatchObject({ accepted: 1, pending: 3 });
  });
});

test("a difference without damage is not explained away", async () => {
  await sendRows(["a"], ["b"]);
  await fold();
  const { journal, ledger } = await restart(damage("DELETE FROM batch WHERE seq = 2"));
  expect(conservationOf(journal, ledger)).toMatchObject({ accepted: 2, lost: 0, uncounted: 0 });
});

test("the records of an unreadable row are counted at every start before the next fold", async () => {
  await sendRows(["a"], ["b", "c"]);
  for (const change of [damage("UPDATE batch SET body = x'00' WHERE seq = 2"), undefined]) {
    const again = await restart(change);
    expect(sumsOf(again)).toMatchObject({ accepted: 3, pending: 3, lost: 0, uncounted: 0 });
    expect(again.ledger.sum("tailscale.network.reporter.observations")).toBe(1);
    expect(again.counting.progress).toMatchObject({ rows: 2, unreadable: 1 });
    expect(errors).toContain("a journal row cannot be read: its records are counted, what they hold is not");
  }
});

describe("a record that no longer measures", () => {
  const unmeasured = { class: "note", reason: "unmeasured" } as const;

  test("is marked, counted as such, and pending like any other", async () => {
    await sendRows(["a", "bad", "c"]);
    const again = await restart(undefined, { directory: failingDirectory });
    expect(sumsOf(again)).toMatchObject({ accepted: 3, pending: 3 });
    expect(again.ledger.sum("tailscale2otel.quarantine.records", unmeasured)).toBe(1);
    expect(again.ledger.sum("tailscale.network.reporter.observations")).toBe(2);
    await fold();
    const { journal } = await restart();
    const [note, ...others] = await journal.quarantine.page({ class: "note" }, { limit: 10 });
    expect(others).toEqual([]);
    expect(note).toMatchObject({ type: "flow", seq: 1, from: 1, records: 1, source: "stream", reason: "unmeasured" });
    expect(note?.detail).toContain("a bug of ours");
    expect((await journal.quarantine.read(note?.id ?? ""))?.texts[0]).toContain('"nodeId":"bad"');
  });

  test("is marked up to a hundred times, and always counted", async () => {
    await sendRows(Array.from({ length: 130 }, (_, place) => `bad${place}`));
    const again = await restart(undefined, { directory: failingDirectory });
    expect(again.ledger.sum("tailscale2otel.quarantine.records", unmeasured)).toBe(130);
    expect(again.counting.progress.not_counted).toBe(130);
    await fold();
    const { quarantine } = (await restart()).journal;
    expect(await quarantine.counts({ class: "note" })).toEqual([{ ...unmeasured, items: 100 }]);
  });
});
