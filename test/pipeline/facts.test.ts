/** Tests webhook events and audit records that report the same: which one counts, in any order, and after a restart. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Outcome } from "../../src/pipeline/index.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { webhookRecord } from "../../src/records/plain.ts";
import { auditValue, enveloped } from "../support/records.ts";
import { hourMs, Restarts, send } from "./restarts.ts";

const seconds = 1_793_610_908;

let restarts: Restarts;
beforeEach(() => {
  restarts = new Restarts(["webhook.dedup_audit_events=true"]);
});
afterEach(() => restarts.remove());

const outcome = (accepted: number, duplicate: number): Outcome => ({ accepted, duplicate, skipped: 0, quarantined: 0 });

function deliver(...events: readonly JsonObject[]): Promise<Outcome> {
  const batch = restarts.store.pipeline.open({ source: "webhook", receivedAt: restarts.now });
  for (const event of events) batch.addRecord(webhookRecord(event, Buffer.from(JSON.stringify(event))));
  return batch.commit(100);
}

const stream = (audit: JsonObject): Promise<Outcome> =>
  send(restarts.store, [enveloped(audit, seconds)], { receivedAt: restarts.now });

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

function totals() {
  const { ledger } = restarts.store;
  return {
    events: ledger.sum("tailscale.webhook.events"),
    duplicates: ledger.sum("tailscale.webhook.duplicates"),
    received: ledger.sum("tailscale2otel.ingest.records", { source: "webhook" }),
    audits: ledger.sum("tailscale.config.audit.events"),
  };
}

test("an event with a replaced time is counted, and only one of an odd form is quarantined", async () => {
  const odd = { ...created(2), version: "1" };
  expect(await deliver(created(), created(1, { timestamp: "yesterday" }), odd)).toEqual({
    ...outcome(2, 0),
    quarantined: 1,
  });
  const reason = { source: "webhook", reason: "replaced_time" } as const;
  expect(restarts.store.ledger.sum("tailscale.network.data_quality", reason)).toBe(1);
});

describe("a repeated event", () => {
  test("is a duplicate in the same delivery, in another, and after a restart", async () => {
    expect(await deliver(created(), created(), created(1))).toEqual(outcome(2, 1));
    expect(await deliver(created(1))).toEqual(outcome(0, 1));
    await restarts.restart();
    expect(await deliver(created(), created(2))).toEqual(outcome(1, 1));
    expect(totals()).toEqual({ events: 3, duplicates: 3, received: 6, audits: 0 });
  });

  test("counts once among a hundred at once", async () => {
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => deliver(created())));
    expect(outcomes.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(1);
    expect(totals()).toEqual({ events: 1, duplicates: 99, received: 100, audits: 0 });
    await restarts.restart();
    expect(totals()).toEqual({ events: 1, duplicates: 99, received: 100, audits: 0 });
  });
});

describe("an event already reported by an audit record", () => {
  test("is a duplicate, and remains one if it is repeated", async () => {
    expect(await stream(audit)).toEqual(outcome(1, 0));
    expect(await deliver(created(400))).toEqual(outcome(0, 1));
    expect(await deliver(created(400))).toEqual(outcome(0, 1));
    expect(totals()).toEqual({ events: 0, duplicates: 2, received: 2, audits: 1 });
  });

  test("is a duplicate after a restart, and after the audit record is repeated", async () => {
    await stream(audit);
    await restarts.restart();
    expect(await deliver(created(400))).toEqual(outcome(0, 1));
    expect(await stream(audit)).toEqual(outcome(0, 1));
    await restarts.restart();
    expect(await deliver(created(400), created(500))).toEqual(outcome(0, 2));
    expect(totals()).toEqual({ events: 0, duplicates: 3, received: 3, audits: 1 });
  });

  test("is a duplicate in the same turn, by order of arrival", async () => {
    const outcomes = await Promise.all([stream(audit), deliver(created(400))]);
    expect(outcomes).toEqual([outcome(1, 0), outcome(0, 1)]);
  });

  test("is judged once: a dropped event stays dropped when the fact is forgotten", async () => {
    restarts.remove();
    restarts = new Restarts(["webhook.dedup_audit_events=true", "dedup.webhook_window=6h"]);
    await stream(audit);
    restarts.now += 5 * hourMs;
    expect(await deliver(created(400))).toEqual(outcome(0, 1));
    restarts.now += 2 * hourMs;
    restarts.store.journal.maintain();
    expect(await deliver(created(400))).toEqual(outcome(0, 1));
    expect(await deliver(created(500))).toEqual(outcome(1, 0));
  });

  test.each([
    [-1000, 0],
    [-1001, 1],
    [-1, 0],
    [0, 0],
    [999, 0],
    [1000, 0],
    [1001, 1],
  ])("%d ms from it is accepted: %d", async (millis, accepted) => {
    await stream(audit);
    expect(await deliver(created(millis))).toEqual(outcome(accepted, 1 - accepted));
  });

  test("is accepted if the node or the kind differs, or if the change failed", async () => {
    await stream(audit);
    const failed = { error: "no", target: { id: "n", name: "db-1", type: "NODE" } };
    await stream(auditValue({ ...audit, eventGroupID: "group-2", ...failed }));
    const others = [
      created(0, { data: { deviceName: "alice-phone.tail1234.ts.net" } }),
      created(0, { type: "nodeDeleted" }),
      created(0, { data: { deviceName: "db-1" } }),
    ];
    expect(await deliver(...others)).toEqual(outcome(3, 0));
  });

  test("does not affect the rest of its delivery", async () => {
    await stream(audit);
    expect(await deliver(created(0), created(5000), { type: "test" })).toEqual(outcome(2, 1));
    const counted = { events: 2, duplicates: 1, received: 3, audits: 1 };
    expect(totals()).toEqual(counted);
    await restarts.restart();
    expect(totals()).toEqual(counted);
  });

  test("is accepted if facts are not compared", async () => {
    restarts.remove();
    restarts = new Restarts(["webhook.dedup_audit_events=false"]);
    await stream(audit);
    expect(await deliver(created())).toEqual(outcome(1, 0));
  });
});

test("an audit record is never dropped: an earlier event is kept as well", async () => {
  expect(await deliver(created())).toEqual(outcome(1, 0));
  expect(await stream(audit)).toEqual(outcome(1, 0));
  await restarts.restart();
  expect(totals()).toEqual({ events: 1, duplicates: 0, received: 1, audits: 1 });
  expect(await deliver(created())).toEqual(outcome(0, 1));
});
