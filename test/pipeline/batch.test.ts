/** Tests a batch's way through the pipeline: what each record becomes, and that the sum is complete. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { seriesOf } from "../../src/ledger/series.ts";
import type { Outcome } from "../../src/pipeline/index.ts";
import { auditValue, connection, enveloped, flowValue } from "../support/records.ts";
import { addValue, badAddress, failingDirectory, Restarts, rowsOf, send, sumsOf } from "./restarts.ts";

let restarts: Restarts;
beforeEach(() => {
  restarts = new Restarts();
});
afterEach(() => restarts.remove());

const sendAll = (values: readonly unknown[], source?: "stream" | "poll"): Promise<Outcome> =>
  send(restarts.store, values, { receivedAt: restarts.now, ...(source && { source }) });

const flowMetric = /^tailscale\.(network\.(io|packets|flows|field|unique)|exit_node)/;

/** The value of each count except those of flows, by metric and the values of its attributes. */
async function counts(): Promise<Record<string, number>> {
  const { metrics } = await restarts.store.ledger.fold((restarts.now += 1000));
  const series = metrics
    .filter(({ name }) => !flowMetric.test(name))
    .flatMap((metric) => [...seriesOf(metric)].map((one) => ({ name: metric.name, ...one })));
  return Object.fromEntries(
    series
      .filter(({ value }) => value !== 0)
      .map(({ name, attributes, value }) => [[name, ...Object.values(attributes)].join(" "), value]),
  );
}

async function quarantined(): Promise<object[]> {
  const items = await restarts.store.journal.quarantine.page({}, { limit: 100 });
  return items.map(({ class: itemClass, type, source, reason, detail }) => ({
    class: itemClass,
    type,
    source,
    reason,
    detail,
  }));
}

const everything = [
  enveloped(flowValue()),
  enveloped(flowValue({ nodeId: "nTWOCNTRL" })),
  enveloped(flowValue()),
  enveloped(auditValue()),
  enveloped(flowValue({ virtualTraffic: [connection({ txBytes: -1 })] })),
  enveloped(auditValue({ target: 7 })),
  { hello: 1 },
  [[[[[flowValue()]]]]],
];

describe("a batch of everything", () => {
  test("adds up completely", async () => {
    expect(await sendAll(everything)).toEqual({ accepted: 3, duplicate: 1, skipped: 2, quarantined: 2 });
    expect(await counts()).toEqual({
      "tailscale2otel.ingest.records stream flow accepted": 2,
      "tailscale2otel.ingest.records stream audit accepted": 1,
      "tailscale2otel.ingest.records stream flow duplicate": 1,
      "tailscale2otel.ingest.records stream unknown skipped": 2,
      "tailscale2otel.ingest.records stream flow quarantined": 1,
      "tailscale2otel.ingest.records stream audit quarantined": 1,
      "tailscale2otel.ingest.size stream unknown": 1000,
      "tailscale2otel.quarantine.records invalid negative_counters": 1,
      "tailscale2otel.quarantine.records invalid decode_error": 1,
      "tailscale2otel.quarantine.records sample unclassified": 1,
      "tailscale.stream.records flow": 2,
      "tailscale.stream.records audit": 1,
      "tailscale.stream.duplicates flow": 1,
      "tailscale.stream.skipped unclassified": 1,
      "tailscale.stream.skipped unwrap_drop": 1,
      "tailscale.stream.decode_errors audit": 1,
      "tailscale.network.data_quality stream negative_counters": 1,
      "tailscale.network.reporter.observations missing_reference": 2,
      "tailscale.config.audit.changes acl UPDATE USER": 1,
      "tailscale.config.audit.events UPDATE ADMIN_CONSOLE": 1,
      "tailscale.config.audit.schema_drift action known": 1,
      "tailscale.config.audit.schema_drift actor_type known": 1,
      "tailscale.config.audit.schema_drift origin known": 1,
      "tailscale.config.audit.schema_drift target_property known": 1,
    });
    expect(sumsOf(restarts.store)).toMatchObject({ received: 8, accepted: 3, pending: 3 });
  });

  test("keeps what was quarantined, with the reason", async () => {
    await sendAll(everything);
    expect((await quarantined()).toReversed()).toEqual([
      {
        class: "invalid",
        type: "flow",
        source: "stream",
        reason: "negative_counters",
        detail: expect.stringContaining('"txBytes":-1'),
      },
      {
        class: "invalid",
        type: "audit",
        source: "stream",
        reason: "decode_error",
        detail: "target must be an object, found a number",
      },
      {
        class: "sample",
        type: "unknown",
        source: "stream",
        reason: "unclassified",
        detail: "not a known kind of record",
      },
    ]);
  });

  test("changes nothing but the counts of repetitions if it is sent again", async () => {
    await sendAll(everything);
    const before = await counts();
    const flows = () => restarts.store.ledger.sum("tailscale.network.flows");
    expect(await sendAll(everything)).toEqual({ accepted: 0, duplicate: 6, skipped: 2, quarantined: 0 });
    const changed = Object.entries(await counts()).filter(([name, value]) => before[name] !== value);
    expect(Object.fromEntries(changed)).toEqual({
      "tailscale2otel.ingest.records stream flow duplicate": 5,
      "tailscale2otel.ingest.records stream audit duplicate": 2,
      "tailscale2otel.ingest.records stream unknown skipped": 4,
      "tailscale2otel.ingest.size stream unknown": 2000,
      "tailscale2otel.quarantine.records sample unclassified": 2,
      "tailscale.stream.duplicates flow": 5,
      "tailscale.stream.duplicates audit": 2,
      "tailscale.stream.skipped unclassified": 2,
      "tailscale.stream.skipped unwrap_drop": 2,
    });
    expect([flows(), restarts.store.journal.pendingRecords]).toEqual([2, 3]);
  });
});

test("the size counts for the type of all records, if they share it", async () => {
  await sendAll([enveloped(flowValue()), enveloped(flowValue({ nodeId: "n2" }))]);
  await sendAll([enveloped(auditValue())]);
  await sendAll([]);
  const sizes = Object.keys(await counts()).filter((name) => name.includes("ingest.size"));
  expect(sizes.toSorted()).toEqual([
    "tailscale2otel.ingest.size stream audit",
    "tailscale2otel.ingest.size stream flow",
    "tailscale2otel.ingest.size stream unknown",
  ]);
});

test("a record from stream and poll counts once, for the source that was first", async () => {
  await sendAll([flowValue({ logged: "2026-11-02T09:15:07Z" })], "poll");
  expect(await sendAll([enveloped(flowValue())])).toEqual({ accepted: 0, duplicate: 1, skipped: 0, quarantined: 0 });
  const counted = await counts();
  expect(counted).toMatchObject({
    "tailscale2otel.ingest.records poll flow accepted": 1,
    "tailscale2otel.ingest.records stream flow duplicate": 1,
    "tailscale.stream.duplicates flow": 1,
  });
  expect(counted).not.toHaveProperty("tailscale.stream.records flow");
});

test("a time that is missing or in the future is accepted and counted, for accepted records only", async () => {
  const at = (ms: number): string => new Date(restarts.now + ms).toISOString();
  const flow = (nodeId: string, start: string) => flowValue({ nodeId, start, end: "" });
  await sendAll([flow("n1", at(300_001)), flow("n2", "")]);
  const outcome = await sendAll([
    flow("n1", at(300_001)),
    flow("n2", ""),
    flow("n3", at(300_000)),
    flow("n4", at(300_001)),
    auditValue(),
  ]);
  expect(outcome).toMatchObject({ accepted: 3, duplicate: 2 });
  expect(await counts()).toMatchObject({
    "tailscale.network.data_quality stream future_timestamp": 2,
    "tailscale.network.data_quality stream replaced_time": 2,
  });
});

test("conflicts are counted: other counters are a duplicate, other entries are new", async () => {
  await sendAll([flowValue()]);
  const counters = await sendAll([flowValue({ virtualTraffic: [connection({ txBytes: 1 })] })]);
  const entries = await sendAll([flowValue({ virtualTraffic: [connection(), connection({ proto: 17 })] })]);
  expect([counters.duplicate, entries.accepted]).toEqual([1, 1]);
  expect(await counts()).toMatchObject({
    "tailscale.network.dedup.conflicts counters": 1,
    "tailscale.network.dedup.conflicts entries": 1,
  });
});

test("an audit record that is in a batch twice counts once, and the others of its part are unaffected", async () => {
  const values = ["CREATE", "UPDATE", "CREATE", "DELETE"].map((action) => enveloped(auditValue({ action })));
  expect(await sendAll(values)).toMatchObject({ accepted: 3, duplicate: 1 });
  expect(restarts.store.ledger.sum("tailscale.config.audit.events")).toBe(3);
  expect(restarts.store.ledger.sum("tailscale.config.audit.events", { "tailscale.audit.action": "CREATE" })).toBe(1);
});

test("more than 1 MiB of text becomes several rows of one batch", async () => {
  const values = Array.from({ length: 50 }, (_, n) => flowValue({ nodeId: `n${n}`, padding: `${n}`.repeat(50_000) }));
  expect((await sendAll(values)).accepted).toBe(50);
  const rows = await rowsOf(restarts.store);
  expect(rows.length).toBeGreaterThan(3);
  for (const { text } of rows) expect(text.length).toBeLessThan(1.2 * 1024 * 1024);
  expect(rows.reduce((sum, { records }) => sum + records, 0)).toBe(50);
  expect(rows.map(({ tally }) => tally !== undefined)).toEqual([true, ...rows.slice(1).map(() => false)]);
  expect(restarts.store.ledger.sum("tailscale.network.reporter.observations")).toBe(50);
});

test("records of many entries become several rows, so that no row decodes into more than 65,536 entries", async () => {
  const virtualTraffic = Array.from({ length: 16_384 }, () => ({}));
  await sendAll(Array.from({ length: 7 }, (_, n) => flowValue({ nodeId: `n${n}`, virtualTraffic })));
  expect((await rowsOf(restarts.store)).map(({ records }) => records)).toEqual([3, 3, 1]);
  await restarts.store.ledger.fold(restarts.now + 1);
  expect(restarts.store.ledger.sum("tailscale.network.flows")).toBe(7 * 16_384);
});

test("a batch that is dropped leaves nothing, neither in the journal nor in its buffers", async () => {
  const batch = restarts.store.pipeline.open({ source: "stream", receivedAt: restarts.now });
  addValue(batch, [flowValue(), auditValue(), { hello: 1 }]);
  expect([batch.records, batch.entries]).toEqual([3, 1]);
  expect(batch.byteLength).toBeGreaterThan(1000);
  batch.drop();
  expect(restarts.store.journal.lastSeq).toBe(0);
  expect(await sendAll([flowValue({ nodeId: "n2" })])).toMatchObject({ accepted: 1 });
  expect((await rowsOf(restarts.store)).map(({ text }) => Buffer.from(text).toString())).toEqual([
    JSON.stringify(flowValue({ nodeId: "n2" })),
  ]);
});

test("an empty batch holds no memory, and writes only its size", async () => {
  const batch = restarts.store.pipeline.open({ source: "stream", receivedAt: restarts.now });
  expect(batch.byteLength).toBe(0);
  expect(await batch.commit(7)).toEqual({ accepted: 0, duplicate: 0, skipped: 0, quarantined: 0 });
  expect((await rowsOf(restarts.store)).map(({ type, tally }) => [type, tally?.bytes])).toEqual([["tally", 7]]);
});

test("concurrent batches with a fold in between count each record once", async () => {
  const { pipeline, ledger } = restarts.store;
  const open = () => pipeline.open({ source: "stream", receivedAt: restarts.now });
  const [one, two] = [open(), open()];
  for (let n = 0; n < 40; n++) {
    const value = flowValue({ nodeId: `n${n}`, virtualTraffic: [connection({ dst: `192.0.2.${n}:1` })] });
    for (const batch of [one, two]) addValue(batch, value);
    if (n === 20) await ledger.fold((restarts.now += 1000));
  }
  const outcomes = await Promise.all([one.commit(1), two.commit(1)]);
  expect(outcomes.map(({ accepted, duplicate }) => [accepted, duplicate])).toEqual([
    [40, 0],
    [0, 40],
  ]);
  await ledger.fold((restarts.now += 1000));
  expect(ledger.sum("tailscale.network.flows")).toBe(40);
  expect(ledger.sum("tailscale.network.io.rollup", { "network.io.direction": "transmit" })).toBe(12_000);
});

test("a record that fails to be measured is quarantined alone, and no part of it is counted", async () => {
  const { store } = restarts;
  store.settings.directory.current = failingDirectory;
  const virtualTraffic = [connection(), connection({ dst: `${badAddress}:1` })];
  const outcome = await sendAll([
    flowValue(),
    flowValue({ nodeId: "n2", virtualTraffic }),
    flowValue({ nodeId: "n3" }),
  ]);
  expect(outcome).toEqual({ accepted: 2, duplicate: 0, skipped: 0, quarantined: 1 });
  await store.ledger.fold((restarts.now += 1000));
  expect(store.ledger.sum("tailscale.network.flows")).toBe(2);
  expect(store.ledger.sum("tailscale.network.io.rollup", { "network.io.direction": "receive" })).toBe(400);
  expect(await quarantined()).toMatchObject([{ class: "invalid", reason: "measure_failed", detail: "a bug of ours" }]);
});
