/** Webhook events and audit records that tell the same: which of them counts, in every order, and after a restart. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Journal } from "../../src/journal/index.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { ledgerOptionsOf } from "../../src/ledger/options.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createPipeline, incrementsOf, type Outcome } from "../../src/pipeline/index.ts";
import { recover } from "../../src/pipeline/recover.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { webhookRecord } from "../../src/records/webhook.ts";
import { createState, hourMs, type TestState } from "../support/journal.ts";
import { auditValue, enveloped, unwrapped } from "../support/records.ts";

let state: TestState;
let journal: Journal;
let ledger: Ledger;
beforeEach(() => {
  state = createState();
  open();
});
afterEach(() => state.remove());

const names = { collapseExternal: true };
const seconds = 1_793_610_908;

function open(): void {
  journal = state.open();
  const otlp = { metric_interval: 1000 };
  const cardinality = {
    metric_limit: 100,
    series_ttl: 1000,
    flow: { metrics_mode: "rollup", rollup_top_n: 1 },
  };
  ledger = new Ledger(ledgerOptionsOf({ otlp, cardinality } as Parameters<typeof ledgerOptionsOf>[0]), 0);
  recover(journal, ledger, names, silentLogger);
  journal.onCommitted((committed) => {
    for (const increments of incrementsOf(committed)) ledger.add(increments);
  });
}

function restart(): void {
  journal.close();
  open();
}

function outcome(accepted: number, duplicate: number): Outcome {
  return { accepted, duplicate, skipped: 0, quarantined: 0 };
}

async function deliver(events: readonly JsonObject[], { comparesFacts = true } = {}): Promise<Outcome> {
  const draft = createPipeline(journal, names, { comparesFacts }).open({ source: "webhook", receivedAt: state.now });
  draft.add(events.map((event) => webhookRecord(event, JSON.stringify(event))));
  return draft.commit(100);
}

async function stream(audit: JsonObject, { time = seconds, comparesFacts = true } = {}): Promise<Outcome> {
  const draft = createPipeline(journal, names, { comparesFacts }).open({ source: "stream", receivedAt: state.now });
  draft.add(unwrapped(enveloped(audit, time)).records);
  return draft.commit(100);
}

function created(millis = 0, members: JsonObject = {}): JsonObject {
  return {
    timestamp: new Date(seconds * 1000 + millis).toISOString(),
    version: 1,
    type: "nodeCreated",
    data: { deviceName: "alice-laptop.tail1234.ts.net" },
    ...members,
  };
}

const audit = auditValue({
  action: "CREATE",
  target: { id: "nLAP1CNTRL", name: "alice-laptop.tail1234.ts.net", type: "NODE" },
});

const totals = () => ({
  events: ledger.sum("tailscale.webhook.events"),
  duplicates: ledger.sum("tailscale.webhook.duplicates"),
  received: ledger.sum("tailscale2otel.ingest.records", { source: "webhook" }),
  audits: ledger.sum("tailscale.config.audit.events"),
});

describe("an event that comes again", () => {
  test("is a duplicate: in one delivery, in another, and after a restart", async () => {
    expect(await deliver([created(), created(), created(1)])).toEqual(outcome(2, 1));
    expect(await deliver([created(1)])).toEqual(outcome(0, 1));
    restart();
    expect(await deliver([created(), created(2)])).toEqual(outcome(1, 1));
    expect(totals()).toEqual({ events: 3, duplicates: 3, received: 6, audits: 0 });
  });

  test("among a hundred at once counts once", async () => {
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => deliver([created()])));
    expect(outcomes.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(1);
    expect(totals()).toEqual({ events: 1, duplicates: 99, received: 100, audits: 0 });
    restart();
    expect(totals()).toEqual({ events: 1, duplicates: 99, received: 100, audits: 0 });
  });
});

describe("an event that an audit record has told", () => {
  test("is a duplicate, and stays one when it comes again", async () => {
    expect(await stream(audit)).toEqual(outcome(1, 0));
    expect(await deliver([created(400)])).toEqual(outcome(0, 1));
    expect(await deliver([created(400)])).toEqual(outcome(0, 1));
    expect(totals()).toEqual({ events: 0, duplicates: 2, received: 2, audits: 1 });
  });

  test("is one after a restart, and after the audit record came again", async () => {
    await stream(audit);
    restart();
    expect(await deliver([created(400)])).toEqual(outcome(0, 1));
    expect(await stream(audit)).toEqual(outcome(0, 1));
    restart();
    expect(await deliver([created(400), created(500)])).toEqual(outcome(0, 2));
    expect(totals()).toEqual({ events: 0, duplicates: 3, received: 3, audits: 1 });
  });

  test("is one in the same transaction, by order of arrival", async () => {
    const [first, second] = await Promise.all([stream(audit), deliver([created(400)])]);
    expect(state.transactions).toBe(1);
    expect([first, second]).toEqual([outcome(1, 0), outcome(0, 1)]);
  });

  test("is judged once: what was dropped stays dropped when the fact is forgotten", async () => {
    await stream(audit);
    state.now += 5 * hourMs;
    expect(await deliver([created(400)])).toEqual(outcome(0, 1));
    state.now += 2 * hourMs;
    journal.maintain();
    expect(await deliver([created(400)])).toEqual(outcome(0, 1));
    expect(await deliver([created(500)])).toEqual(outcome(1, 0));
  });

  test.each([
    [-1000, 0],
    [-1001, 1],
    [1000, 0],
    [1001, 1],
  ])("%d ms from it is accepted: %d", async (millis, accepted) => {
    await stream(audit);
    expect(await deliver([created(millis)])).toEqual(outcome(accepted, 1 - accepted));
  });

  test("of another node, another kind, or a failure, is accepted", async () => {
    await stream(audit);
    await stream(
      auditValue({ ...audit, eventGroupID: "group-2", error: "no", target: { id: "n", name: "db-1", type: "NODE" } }),
    );
    const others = [
      created(0, { data: { deviceName: "alice-phone.tail1234.ts.net" } }),
      created(0, { type: "nodeDeleted" }),
      created(0, { data: { deviceName: "db-1" } }),
    ];
    expect(await deliver(others)).toEqual(outcome(3, 0));
  });

  test("leaves the rest of its delivery", async () => {
    await stream(audit);
    expect(await deliver([created(0), created(5000), { type: "test" }])).toEqual(outcome(2, 1));
    restart();
    expect(totals()).toEqual({ events: 2, duplicates: 1, received: 3, audits: 1 });
  });

  test("is accepted where that is not asked for", async () => {
    await stream(audit, { comparesFacts: false });
    expect(await deliver([created()], { comparesFacts: false })).toEqual(outcome(1, 0));
  });
});

test("an audit record is never dropped: an event that came first stays beside it", async () => {
  expect(await deliver([created()])).toEqual(outcome(1, 0));
  expect(await stream(audit)).toEqual(outcome(1, 0));
  restart();
  expect(totals()).toEqual({ events: 1, duplicates: 0, received: 1, audits: 1 });
  expect(await deliver([created()])).toEqual(outcome(0, 1));
});
