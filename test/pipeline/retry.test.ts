/** Tests retrying a quarantined record: everything happens in one transaction, or nothing changes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { QuarantineLine } from "../../src/journal/index.ts";
import { createRetry, type RetryRecord } from "../../src/pipeline/index.ts";
import { badFlow, lineOf, markOf, markRows, numberedFlow, quarantine } from "../support/store.ts";
import { Restarts, rowsOf, send, sumsOf } from "./restarts.ts";

let restarts: Restarts;
let retry: RetryRecord;
beforeEach(() => {
  restarts = new Restarts();
  const { pipeline, journal } = restarts.store;
  retry = createRetry(pipeline, journal, () => restarts.now);
});
afterEach(() => restarts.remove());

const ids = async () => (await restarts.store.journal.quarantine.page({}, { limit: 100 })).map(({ id }) => id);
const retried = () => restarts.store.ledger.sum("tailscale2otel.quarantine.retried");

/** Quarantines a record as if an earlier version had not known it. Returns its id. */
async function put(
  members: Partial<QuarantineLine> = {},
  partClass: "invalid" | "sample" = "invalid",
): Promise<string> {
  const [id = ""] = await quarantine(restarts.store, partClass, [lineOf(members)]);
  return id;
}
const putFlow = (number: number) => put({ text: JSON.stringify({ event: numberedFlow(number) }) });

test("a record that is now valid is received, accepted, and no longer quarantined", async () => {
  await send(restarts.store, [{ event: badFlow(1) }]);
  const [invalid = ""] = await ids();
  const id = await putFlow(5);
  expect(await retry(id)).toEqual({ kind: "accepted" });
  expect(sumsOf(restarts.store)).toMatchObject({ received: 2, accepted: 1, quarantined: 1, duplicate: 0, pending: 1 });
  expect(await ids()).toEqual([invalid]);
  expect(retried()).toBe(1);
  const bytes = JSON.stringify({ event: numberedFlow(5) }).length;
  expect(restarts.store.ledger.sum("tailscale2otel.ingest.size")).toBe(1000 + bytes);
});

test("a retry counts the same after a restart without a snapshot", async () => {
  for (const number of [5, 6]) await retry(await putFlow(number));
  for (let start = 0; start < 2; start++) {
    expect(sumsOf(restarts.store)).toMatchObject({ accepted: 2, duplicate: 0, pending: 2 });
    expect(retried()).toBe(2);
    await restarts.restart();
  }
});

test("a record that is invalid again changes nothing, and the reason is given", async () => {
  await send(restarts.store, [{ event: badFlow(1) }]);
  const { journal } = restarts.store;
  const before = { sums: sumsOf(restarts.store), seq: journal.lastSeq, ids: await ids() };
  for (let time = 0; time < 2; time++) {
    const outcome = await retry((await ids())[0] ?? "");
    expect(outcome).toEqual({
      kind: "kept",
      why: expect.stringContaining("it is invalid again (negative_counters): "),
    });
  }
  expect({ sums: sumsOf(restarts.store), seq: journal.lastSeq, ids: await ids() }).toEqual(before);
  expect(retried()).toBe(0);
});

test("a record that is already known is removed too, as a duplicate", async () => {
  await send(restarts.store, [{ event: numberedFlow(5) }]);
  expect(await retry(await putFlow(5))).toEqual({ kind: "duplicate" });
  expect(sumsOf(restarts.store)).toMatchObject({ received: 2, accepted: 1, duplicate: 1 });
  expect([await ids(), retried()]).toEqual([[], 1]);
});

test("a record that was removed in the meantime is not accepted", async () => {
  const id = await putFlow(5);
  restarts.store.journal.quarantine.remove([id]);
  expect(await retry(id)).toEqual({ kind: "missing" });
  expect(sumsOf(restarts.store)).toMatchObject({ received: 0, accepted: 0 });
});

test("two retries of one item are received once", async () => {
  const id = await putFlow(5);
  const [first, second] = await Promise.allSettled([retry(id), retry(id)]);
  expect([first?.status, second?.status].toSorted()).toEqual(["fulfilled", "rejected"]);
  expect(sumsOf(restarts.store)).toMatchObject({ received: 1, accepted: 1 });
  expect(retried()).toBe(1);
});

test("a record keeps the time of its envelope", async () => {
  const audit = { actor: { id: "u1" }, action: "UPDATE", eventGroupID: "g" };
  const text = JSON.stringify({ time: 1_793_610_900.125, event: audit });
  expect(await retry(await put({ type: "audit", text }))).toEqual({ kind: "accepted" });
  const stored = (await rowsOf(restarts.store)).find(({ type }) => type === "audit");
  expect(Buffer.from(stored?.text ?? []).toString()).toBe(text);
});

test("a webhook event can be retried too", async () => {
  const event = { type: "test", timestamp: "2026-11-02T09:15:00Z", tailnet: "example.com" };
  expect(await retry(await put({ type: "webhook", text: JSON.stringify({ event }) }))).toEqual({ kind: "accepted" });
  expect(restarts.store.ledger.sum("tailscale2otel.ingest.records", { signal: "webhook", outcome: "accepted" })).toBe(
    1,
  );
});

test.each([
  [{ text: "x".repeat(70_000) }, "only the first 64 KiB of its text were kept"],
  [{ text: "[1,2" }, "not a stored record, so no retry can accept it; look at it with `quarantine show "],
  [{ text: "{}}" }, "not a stored record, so no retry can accept it; look at it with `quarantine show "],
  [
    { type: "unknown", text: "{}" },
    "not a stored record, so no retry can accept it; look at it with `quarantine show ",
  ],
] as const)("%o cannot be retried", async (members, why) => {
  const id = await put(members);
  expect(await retry(id)).toEqual({ kind: "kept", why: expect.stringContaining(why) });
  expect(await ids()).toEqual([id]);
  expect(sumsOf(restarts.store).received).toBe(0);
});

test("a sample, a note and a dead letter cannot be retried", async () => {
  const sample = await put({ type: "unknown", reason: "unclassified" }, "sample");
  await send(restarts.store, [{ event: numberedFlow(1) }]);
  const seq = restarts.store.journal.lastSeq;
  await markRows(restarts.store, [markOf(seq), markOf(seq, { why: "unmeasured" })]);
  const why = new Map<string, string>();
  for (const id of await ids()) {
    const outcome = await retry(id);
    if (outcome.kind === "kept") why.set(id === sample ? "sample" : id, outcome.why);
  }
  expect([...why.values()].toSorted()).toEqual([
    "a dead letter was accepted already: it can only be exported again",
    "a note is about something that happened: there is no record in it",
    "a sample is a value of an unknown kind: it can be looked at, and was counted as skipped",
  ]);
});
