/** A batch's way through the pipeline: what each record becomes, and that nothing is missing in the sum. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { DatabaseSync } from "node:sqlite";
import { type Increments, merge, noIncrements } from "../../src/catalogue/increments.ts";
import type { Journal } from "../../src/journal/index.ts";
import { createPipeline, incrementsOf, type Outcome } from "../../src/pipeline/index.ts";
import type { NameOptions } from "../../src/processors/names.ts";
import type { Source } from "../../src/records/types.ts";
import { createState, type TestState } from "../support/journal.ts";
import { auditValue, connection, enveloped, flowValue, unwrapped } from "../support/records.ts";

let state: TestState;
let journal: Journal;
let counted: Increments;
beforeEach(() => {
  state = createState();
  journal = state.open();
  counted = noIncrements();
  journal.onCommitted((committed) => {
    for (const increments of incrementsOf(committed)) merge(counted, increments);
  });
});
afterEach(() => state.remove());

const collapsed: NameOptions = { collapseExternal: true };

/** Sends values through a pipeline of their own, as one batch. */
async function send(
  values: readonly unknown[],
  { names = collapsed, source = "stream" as Source } = {},
): Promise<Outcome> {
  const draft = createPipeline(journal, names).open({ source, receivedAt: state.now });
  for (const value of values) {
    const { records, skipped } = unwrapped(value);
    draft.add(records);
    draft.skip(skipped);
  }
  return draft.commit(1000);
}

/** The value of each count, by metric and the values of its attributes. */
function counts(): Record<string, number> {
  return Object.fromEntries(
    [...counted.counts.values()].map(({ metric, attributes, value }) => [
      [metric, ...Object.values(attributes)].join(" "),
      value,
    ]),
  );
}

function quarantine(): Record<string, unknown>[] {
  const database = new DatabaseSync(journal.databasePath, { readOnly: true });
  try {
    return database.prepare("SELECT class, type, source, reason, detail FROM quarantine ORDER BY id").all() as Record<
      string,
      unknown
    >[];
  } finally {
    database.close();
  }
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

describe("a batch with everything in it", () => {
  test("comes to a sum in which nothing is missing", async () => {
    const outcome = await send(everything);
    expect(outcome).toEqual({ accepted: 3, duplicate: 1, skipped: 2, quarantined: 2 });
    expect(counts()).toEqual({
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
  });

  test("keeps what was set aside, and why", async () => {
    await send(everything);
    expect(quarantine()).toEqual([
      {
        class: "invalid",
        type: "flow",
        source: "stream",
        reason: "negative_counters",
        detail: "a counter is negative: -1",
      },
      {
        class: "invalid",
        type: "audit",
        source: "stream",
        reason: "decode_error",
        detail: "target must be an object, found a number",
      },
      { class: "sample", type: "unknown", source: "stream", reason: "unclassified", detail: "no known kind of record" },
    ]);
  });

  test("sent again changes nothing but what says that it came again", async () => {
    await send(everything);
    const before = counts();
    const flowsBefore = structuredClone([...counted.flows.values()]);
    expect(await send(everything)).toEqual({ accepted: 0, duplicate: 6, skipped: 2, quarantined: 0 });
    const changed = Object.entries(counts()).filter(([name, value]) => before[name] !== value);
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
    expect([...counted.flows.values()]).toEqual(flowsBefore);
    expect(journal.pendingRecords).toBe(3);
  });
});

test("the size counts for the type that all records share", async () => {
  await send([enveloped(flowValue()), enveloped(flowValue({ nodeId: "n2" }))]);
  await send([enveloped(auditValue())]);
  await send([]);
  expect(Object.keys(counts()).filter((name) => name.includes("ingest.size"))).toEqual([
    "tailscale2otel.ingest.size stream flow",
    "tailscale2otel.ingest.size stream audit",
    "tailscale2otel.ingest.size stream unknown",
  ]);
});

test("a record that comes by stream and by poll counts once, for the way that was first", async () => {
  await send([flowValue({ logged: "2026-11-02T09:15:07Z" })], { source: "poll" });
  expect(await send([enveloped(flowValue())])).toEqual({ accepted: 0, duplicate: 1, skipped: 0, quarantined: 0 });
  expect(counts()).toMatchObject({
    "tailscale2otel.ingest.records poll flow accepted": 1,
    "tailscale2otel.ingest.records stream flow duplicate": 1,
    "tailscale.stream.duplicates flow": 1,
  });
  expect(counts()).not.toHaveProperty("tailscale.stream.records flow");
});

test("a time ahead of ours is accepted and counted", async () => {
  const at = (ms: number): string => new Date(state.now + ms).toISOString();
  const outcome = await send([
    flowValue({ start: at(300_000), end: "" }),
    flowValue({ nodeId: "n2", start: at(300_001), end: "" }),
  ]);
  expect(outcome.accepted).toBe(2);
  expect(counts()["tailscale.network.data_quality stream future_timestamp"]).toBe(1);
});

test("conflicts are counted: other counters are a duplicate, other entries are new", async () => {
  await send([flowValue()]);
  const counters = await send([flowValue({ virtualTraffic: [connection({ txBytes: 1 })] })]);
  const entries = await send([flowValue({ virtualTraffic: [connection(), connection({ proto: 17 })] })]);
  expect([counters.duplicate, entries.accepted]).toEqual([1, 1]);
  expect(counts()).toMatchObject({
    "tailscale.network.dedup.conflicts counters": 1,
    "tailscale.network.dedup.conflicts entries": 1,
  });
});

test("more than 4 MiB of text become several rows of one batch", async () => {
  const values = Array.from({ length: 50 }, (_, n) => flowValue({ nodeId: `n${n}`, padding: `${n}`.repeat(200_000) }));
  expect((await send(values)).accepted).toBe(50);
  const reader = journal.openReader();
  const rows = reader.read(1, { rows: 100, bytes: Number.MAX_SAFE_INTEGER });
  reader.close();
  expect(rows.length).toBeGreaterThan(3);
  for (const { text } of rows) expect(text.length).toBeLessThan(4.5 * 1024 * 1024);
  expect(rows.reduce((sum, { records }) => sum + records, 0)).toBe(50);
  expect(rows.map(({ tally }) => tally !== undefined)).toEqual([true, ...rows.slice(1).map(() => false)]);
});

test("a draft that is not committed leaves nothing", async () => {
  const draft = createPipeline(journal, collapsed).open({ source: "stream", receivedAt: state.now });
  draft.add(unwrapped([flowValue(), auditValue()]).records);
  expect([draft.records, draft.connections]).toEqual([2, 1]);
  expect(journal.lastSeq).toBe(0);
  expect((await send([flowValue()])).accepted).toBe(1);
});

describe("a record on which measuring throws", () => {
  /** Asked for the name of an address that the record does not claim. */
  const throwing: NameOptions = {
    get collapseExternal(): boolean {
      throw new Error("no name");
    },
  };
  const claimed = { srcNode: { nodeId: "n", name: "a", addresses: ["100.64.1.1", "100.64.1.2"] } };

  test("is set aside alone, and leaves no half of itself in the counters", async () => {
    const half = flowValue({
      nodeId: "n2",
      ...claimed,
      virtualTraffic: [connection(), connection({ dst: "192.0.2.1:1" })],
    });
    const outcome = await send([flowValue(claimed), half, flowValue({ nodeId: "n3", ...claimed })], {
      names: throwing,
    });
    expect(outcome).toEqual({ accepted: 2, duplicate: 0, skipped: 0, quarantined: 1 });
    expect([...counted.flows.values()]).toEqual([
      { entries: 2, txBytes: 600, rxBytes: 400, txPackets: 6, rxPackets: 4 },
    ]);
    expect(quarantine()).toMatchObject([{ class: "invalid", reason: "measure_failed", detail: "no name" }]);
  });
});
