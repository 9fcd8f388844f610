/** Values without a frame of their own, changed where the structure stays sound: each is found by its seal, and none is believed. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Journal } from "../../src/journal/index.ts";
import { startOfJournal } from "../../src/journal/types.ts";
import {
  appendOf,
  createState,
  hourMs,
  keyOf,
  partOfNumbers,
  storedNumbers,
  type TestState,
} from "../support/journal.ts";

let state: TestState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

/** Four rows: two delivered, three measured. */
async function damaged(sql: string): Promise<{ before: Journal["identity"]; journal: Journal; isSetAside: boolean }> {
  const made = state.open();
  const before = made.identity;
  for (const n of [1, 2, 3, 4]) await made.append(appendOf([partOfNumbers([n])]));
  made.progress({ cursor: { ...startOfJournal, seq: 3, records: { delivered: 2, deadLettered: 0 } }, setAside: [] });
  made.writeSnapshot({ measuredSeq: 3, blobs: new Map([["a", "totals"]]) });
  made.close();
  const database = new DatabaseSync(join(state.path, "journal.db"));
  expect(database.prepare(sql).run().changes).toBe(1);
  database.close();
  state.now += hourMs;
  const journal = state.open();
  const isSetAside = readdirSync(state.path).some((name) => name.startsWith("damaged-"));
  return { before, journal, isSetAside };
}

const pollStep = (readUntil: number) => ({ type: "flow" as const, readUntil, unverifiableSeconds: 0 });

test("the position of delivery: all that is left is delivered again, and its own counters begin anew", async () => {
  const { before, journal, isSetAside } = await damaged(
    `UPDATE cursor SET value = replace(value, '"seq":3', '"seq":4') WHERE name = 'logs'`,
  );
  expect(isSetAside).toBe(true);
  expect(journal.cursor).toEqual(startOfJournal);
  expect(journal.pendingRecords).toBe(4);
  expect(storedNumbers(journal)).toEqual([1, 2, 3, 4]);
  expect(journal.readSnapshot()).toEqual({ measuredSeq: 3, blobs: new Map([["a", "totals"]]) });
  expect(journal.identity).toEqual({ ...before, createdAt: state.now });
  expect([1, 2, 3, 4].every((n) => journal.knows("flow", keyOf(n)))).toBe(true);
});

test("the secret of identities: keys made with another one are of no use", async () => {
  const { before, journal, isSetAside } = await damaged(
    "UPDATE meta SET value = substr(value, 1, 20) || 'x' || substr(value, 22) WHERE name = 'identity_secret'",
  );
  expect(isSetAside).toBe(true);
  expect(journal.identity.identitySecret).not.toBe(before.identitySecret);
  expect(journal.identity).toMatchObject({ instanceId: before.instanceId, createdAt: before.createdAt });
  expect(journal.keyCount("flow")).toBe(0);
  expect(journal.cursor.seq).toBe(3);
  expect(storedNumbers(journal)).toEqual([3, 4]);
  expect(journal.readSnapshot().blobs).toEqual(new Map([["a", "totals"]]));
});

test("the position of a poll: it goes on from when the file was last written, and what it reads again is known", async () => {
  const made = state.open();
  await made.append(appendOf([partOfNumbers([1])], { source: "poll", poll: pollStep(1_793_610_000) }));
  made.movePollCursor({ type: "audit", readUntil: 1_793_610_777 });
  made.close();
  const path = join(state.path, "journal.db");
  const database = new DatabaseSync(path);
  database.exec("UPDATE cursor SET value = replace(value, '1793610000', '1793619999') WHERE name = 'poll.flow'");
  database.close();
  utimesSync(path, 1_793_612_345, 1_793_612_345);
  const journal = state.open();
  expect(journal.pollCursor("flow")).toEqual({ type: "flow", readUntil: 1_793_612_345 });
  expect(journal.pollCursor("audit")).toEqual({ type: "audit", readUntil: 1_793_610_777 });
  expect(journal.knows("flow", keyOf(1))).toBe(true);
  expect(journal.forgotten("flow")).toEqual({ until: 0, streamed: 0 });
});

test("some of the keys: nothing from before is known for certain", async () => {
  const { journal, isSetAside } = await damaged("UPDATE keys SET packed = x'00' WHERE id = 2");
  expect(isSetAside).toBe(false);
  const at = Date.UTC(2026, 10, 2, 9, 15);
  expect(journal.forgotten("flow")).toEqual({ until: at, streamed: at });
  expect(journal.forgotten("audit")).toEqual({ until: 0, streamed: 0 });
  expect([1, 2, 3].map((n) => journal.knows("flow", keyOf(n)))).toEqual([true, false, true]);
});

test("some of the keys in a database that is salvaged, or all of them: the horizon moves to when it was last written", async () => {
  for (const sql of [
    "UPDATE keys SET packed = x'00' WHERE id = 2",
    "UPDATE meta SET value = substr(value, 1, 20) || 'x' || substr(value, 22) WHERE name = 'identity_secret'",
  ]) {
    const made = state.open();
    await made.append(appendOf([partOfNumbers([1])]));
    await made.append(appendOf([partOfNumbers([2])]));
    made.close();
    const path = join(state.path, "journal.db");
    const database = new DatabaseSync(path);
    database.exec(sql);
    database.exec("UPDATE cursor SET value = 'x'");
    database.exec("INSERT INTO cursor (name, value) VALUES ('logs', 'x') ON CONFLICT (name) DO NOTHING");
    database.close();
    utimesSync(path, 1_793_612_345, 1_793_612_345);
    const journal = state.open();
    expect(journal.forgotten("flow")).toEqual({ until: 1_793_612_345_000, streamed: 1_793_612_345_000 });
    expect(journal.forgotten("webhook").until).toBe(1_793_612_345_000);
    journal.close();
    rmSync(state.path, { recursive: true });
  }
});

test("how far the counters have measured: no row is counted twice", async () => {
  const { journal, isSetAside } = await damaged("UPDATE ledger SET packed = x'00' WHERE metric = ''");
  expect(isSetAside).toBe(false);
  expect(journal.readSnapshot()).toEqual({ measuredSeq: 4, blobs: new Map() });
  expect(journal.identity.createdAt).toBe(state.now);
  expect(journal.cursor).toEqual({ ...startOfJournal, seq: 3 });
  expect(journal.pendingRecords).toBe(2);
});

test("the last seq: none is given twice", async () => {
  const { journal, isSetAside } = await damaged("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'journal'");
  expect(isSetAside).toBe(false);
  expect((await journal.append(appendOf([partOfNumbers([5])]))).lastSeq).toBe(5);
  expect(storedNumbers(journal)).toEqual([1, 2, 3, 4, 5]);
});

test("a row's number of records: the row is set aside alone, and neither counted nor delivered", async () => {
  const { journal, isSetAside } = await damaged("UPDATE journal SET records = 2 WHERE seq = 4");
  expect(isSetAside).toBe(false);
  expect(storedNumbers(journal)).toEqual([1, 2, 3]);
});
