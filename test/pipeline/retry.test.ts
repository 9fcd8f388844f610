/** A quarantined record that comes in once more: everything about it is in one transaction, or nothing changes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { Unavailable } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/index.ts";
import type { KeptItem } from "../../src/journal/quarantine-items.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { conservationOf } from "../../src/pipeline/conservation.ts";
import { incrementsOf } from "../../src/pipeline/index.ts";
import { recover } from "../../src/pipeline/recover.ts";
import { createRetry, type RetryRecord } from "../../src/pipeline/retry.ts";
import { createState, type TestState } from "../support/journal.ts";
import { badFlow, itemOf, numberedFlow, setAside, take } from "../support/kept-state.ts";

const names = { collapseExternal: true };

let state: TestState;
let journal: Journal;
let ledger: Ledger;
let retry: RetryRecord;
beforeEach(() => {
  state = createState();
  journal = state.open();
  ledger = newLedger();
  journal.onCommitted((committed) => {
    for (const increments of incrementsOf(committed)) ledger.add(increments);
  });
  retry = createRetry(journal, names, { comparesFacts: false }, () => state.now);
});
afterEach(() => state.remove());

function newLedger(): Ledger {
  return new Ledger({ metricsMode: "all", rollupTopN: 10, metricLimit: 1000, hasNodes: true, idleFolds: 10 }, 0);
}

const item = (id: number): KeptItem => journal.quarantine.read(id) as KeptItem;
const ids = () => journal.quarantine.page({}, { limit: 100 }).map(({ id }) => id);
const retried = (of = ledger) => of.sum("tailscale2otel.quarantine.retried");
const sums = () => conservationOf(journal, ledger);

/** As if an earlier program had not known what this one knows. */
function setAsideGood(...numbers: readonly number[]): void {
  const text = (number: number) => JSON.stringify({ event: numberedFlow(number) });
  setAside(
    journal,
    numbers.map((number) => itemOf({ class: "invalid", reason: "decode_error", text: text(number) })),
  );
}

test("one that makes sense by now is received, accepted, and no longer set aside", async () => {
  await take(journal, [badFlow(1)], state.now);
  setAsideGood(5);
  expect(sums()).toMatchObject({ received: 1, accepted: 0, quarantined: 1 });
  expect(await retry(item(2))).toEqual({ kind: "accepted" });
  expect(sums()).toMatchObject({ received: 2, accepted: 1, quarantined: 1, duplicate: 0, pending: 1 });
  expect(ids()).toEqual([1]);
  expect(retried()).toBe(1);
  expect(ledger.sum("tailscale2otel.ingest.size")).toBe(100 + JSON.stringify({ event: numberedFlow(5) }).length);
});

test("what it counts is the same after a restart without a snapshot", async () => {
  setAsideGood(5, 6);
  await retry(item(1));
  await retry(item(2));
  journal.close();
  journal = state.open();
  const again = newLedger();
  recover(journal, again, names, silentLogger);
  for (const metric of ["tailscale2otel.quarantine.retried", "tailscale2otel.ingest.records"] as const) {
    expect(again.sum(metric)).toBe(2);
    expect(ledger.sum(metric)).toBe(2);
  }
});

test("one that is refused again changes nothing at all, and says why", async () => {
  await take(journal, [badFlow(1)], state.now);
  const before = { sums: sums(), seq: journal.lastSeq };
  for (let time = 0; time < 2; time++) {
    expect(await retry(item(1))).toEqual({
      kind: "kept",
      why: "it is refused again (negative_counters): a counter is negative: -1",
    });
  }
  expect({ sums: sums(), seq: journal.lastSeq }).toEqual(before);
  expect(ids()).toEqual([1]);
  expect(retried()).toBe(0);
});

test("one that is known already leaves too, and is a duplicate", async () => {
  await take(journal, [numberedFlow(5)], state.now);
  setAsideGood(5);
  expect(await retry(item(1))).toEqual({ kind: "duplicate" });
  expect(sums()).toMatchObject({ received: 2, accepted: 1, duplicate: 1 });
  expect(ids()).toEqual([]);
  expect(retried()).toBe(1);
});

test("one whose item has left in the meantime is not taken", async () => {
  setAsideGood(5);
  const gone = item(1);
  journal.quarantine.remove([1]);
  await expect(retry(gone)).rejects.toThrow(Unavailable);
  expect(sums()).toMatchObject({ received: 0, accepted: 0 });
});

test("two retries of one item are one receipt", async () => {
  setAsideGood(5);
  const twice = item(1);
  const [first, second] = await Promise.allSettled([retry(twice), retry(twice)]);
  expect([first.status, second.status].toSorted()).toEqual(["fulfilled", "rejected"]);
  expect(sums()).toMatchObject({ received: 1, accepted: 1 });
});

test("one keeps the time that its envelope gave it", async () => {
  const audit = { actor: { id: "u1" }, action: "UPDATE", eventGroupID: "g" };
  const text = JSON.stringify({ time: 1_793_610_900.125, event: audit });
  setAside(journal, [itemOf({ class: "invalid", type: "audit", text })]);
  expect(await retry(item(1))).toEqual({ kind: "accepted" });
  const [row] = journal.openReader().read(1, { rows: 1, bytes: 1 });
  expect(row?.text).toBe(text);
});

test("audit records and webhook events too", async () => {
  const audit = { actor: { id: "u1" }, action: "UPDATE", eventGroupID: "g", eventTime: "2026-11-02T09:15:00Z" };
  const webhook = { type: "test", timestamp: "2026-11-02T09:15:00Z", tailnet: "example.com" };
  setAside(journal, [
    itemOf({ class: "invalid", type: "audit", text: JSON.stringify({ event: audit }) }),
    itemOf({ class: "invalid", type: "webhook", source: "webhook", text: JSON.stringify({ event: webhook }) }),
  ]);
  expect(await retry(item(1))).toEqual({ kind: "accepted" });
  expect(await retry(item(2))).toEqual({ kind: "accepted" });
  expect(ledger.sum("tailscale2otel.ingest.records", { type: "webhook", source: "webhook" })).toBe(1);
});

test.each([
  [{ class: "sample" }, "a sample is a value of an unknown kind: it can be looked at, and was counted as skipped"],
  [{ class: "note" }, "a note tells of something that happened: there is no record in it"],
  [{ class: "dead_letter" }, "a dead letter was accepted already: it can only be exported again"],
  [{ class: "invalid", text: "x".repeat(70_000) }, "only the first 64 KiB of its text were kept"],
  [{ class: "invalid", text: "[1,2" }, "its text is not a stored record"],
  [{ class: "invalid", text: "{}}" }, "its text is not a stored record"],
  [{ class: "invalid", type: "unknown", text: "{}" }, "it is of no known kind"],
] as const)("%o cannot be", async (members, why) => {
  setAside(journal, [itemOf(members)]);
  expect(await retry(item(1))).toEqual({ kind: "kept", why });
  expect(ids()).toEqual([1]);
  expect(sums().received).toBe(0);
});
