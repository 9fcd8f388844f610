/** Tests changing space: nothing acknowledged is lost, refusals have a reason, and deletion keeps up with appends. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { createRandom, type Random } from "../../src/demo/random.ts";
import { Unavailable } from "../../src/errors.ts";
import { captureConnection } from "../support/captured.ts";
import type { LogCursor } from "../../src/journal/index.ts";
import { openSqliteJournal } from "../../src/journal/sqlite/index.ts";
import { createState, type SqliteState } from "./sqlite-state.ts";
import {
  acceptedIn,
  appendNumbers,
  appendOf,
  configOf,
  cursorAt,
  depsOf,
  finishAll,
  hourMs,
  keyOf,
  markOn,
  mebibyte,
  numbersIn,
  partOf,
  settle,
} from "./support.ts";

let state: SqliteState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

function noise(random: Random, length: number): string {
  return Array.from({ length: length / 6 }, () => random.below(2 ** 31).toString(36)).join("");
}

test("a limit of SQLite's own that comes and goes at 600 random moments loses nothing that was acknowledged", async () => {
  const random = createRandom(7);
  const { journal, database } = captureConnection(() => state.open());
  const { page_count: unlimited } = database.prepare("PRAGMA max_page_count").get() as { page_count?: number };
  const acknowledged: number[] = [];
  let refused = 0;
  let failedSnapshots = 0;
  let blob = "";
  let next = 1;
  for (let moment = 0; moment < 600; moment++) {
    if (random.chance(0.7)) {
      const { page_count: pages } = database.prepare("PRAGMA page_count").get() as { page_count: number };
      database.exec(`PRAGMA max_page_count = ${pages + random.below(6)}`);
    }
    const batches = Array.from({ length: 1 + random.below(3) }, () => [next++, next++]);
    const parts = batches.map((numbers) => partOf(numbers, { padding: noise(random, random.below(12_000)) }));
    const answers = await Promise.allSettled(parts.map((part) => journal.append(appendOf([part]), () => undefined)));
    for (const [place, answer] of answers.entries()) {
      const numbers = batches[place] as number[];
      if (answer.status === "fulfilled") {
        acknowledged.push(...numbers);
        continue;
      }
      refused++;
      expect(answer.reason).toBeInstanceOf(Unavailable);
      for (const n of numbers) expect(journal.knows("flow", keyOf(n), 0)).toBe(false);
    }
    if (random.chance(0.2)) {
      const wanted = noise(random, random.below(40_000));
      try {
        journal.writeSnapshot({
          measuredSeq: journal.lastSeq,
          blobs: new Map([["a", new TextEncoder().encode(wanted)]]),
        });
        blob = wanted;
      } catch (error) {
        expect(error).toBeInstanceOf(Unavailable);
        failedSnapshots++;
      }
      expect(new TextDecoder().decode(journal.readSnapshot().blobs.get("a"))).toBe(blob);
    }
    database.exec(`PRAGMA max_page_count = ${unlimited ?? 2 ** 30}`);
  }
  expect(refused).toBeGreaterThan(100);
  expect(failedSnapshots).toBeGreaterThan(10);
  expect(journal.pendingRecords).toBe(acknowledged.length);
  expect(await numbersIn(journal)).toEqual(acknowledged);
  journal.close();
  const again = state.open();
  expect(await numbersIn(again)).toEqual(acknowledged);
  expect(again.keyCount("flow")).toBe(acknowledged.length);
}, 120_000);

test("a failing write is the reason for refusals until one succeeds", async () => {
  const { journal, database } = captureConnection(() => state.open());
  database.exec("PRAGMA query_only = 1");
  const failure = await appendNumbers(journal, [1]).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Unavailable);
  expect(journal.space.refusal).toContain("the last write failed");
  database.exec("PRAGMA query_only = 0");
  journal.maintain();
  expect(journal.space.refusal).toBeUndefined();
  expect(acceptedIn(await appendNumbers(journal, [1]))).toBe(1);
  expect(journal.lastSeq).toBe(1);
});

describe("a small journal whose rows are delivered at once", () => {
  test("never fills, however small the rows are", async () => {
    const journal = state.open({ maxBytes: 32 * mebibyte, retentionMs: 24 * hourMs });
    const random = createRandom(1);
    for (let round = 0; round < 300; round++) {
      const batches = Array.from({ length: 100 }, (_, n) =>
        journal.append(appendOf([partOf([round * 100 + n], { padding: noise(random, 1200) })]), () => undefined),
      );
      for (const answer of await Promise.all(batches)) expect(acceptedIn(answer)).toBe(1);
      if (journal.wantsSnapshot || round % 20 === 0) await finishAll(journal);
      if (round % 4 === 0) journal.maintain();
    }
    expect(journal.lastSeq).toBe(30_000);
    expect((await numbersIn(journal)).length).toBeLessThan(30_000);
    expect(journal.space.refusal).toBeUndefined();
  }, 120_000);

  test("keeps accepting even if a backend has refused everything it holds", async () => {
    const journal = state.open({ maxBytes: 32 * mebibyte });
    const random = createRandom(2);
    for (let n = 0; n < 1500; n++) {
      const part = partOf([n], { padding: noise(random, 48_000) });
      await journal.append(appendOf([part]), () => undefined);
      journal.progress({ cursor: cursorAt(n + 2, 0, n + 1), marks: [markOn(n + 1)] });
      if (n % 50 !== 49) continue;
      journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map() });
      for (let call = 0; call < 10; call++) journal.maintain();
      expect(journal.space.refusal).toBeUndefined();
    }
    expect(journal.pendingRecords).toBe(0);
    expect(journal.quarantine.evicted[0]?.items).toBeGreaterThan(300);
  }, 120_000);
});

test("a full journal whose rows are all refused accepts the marks, the cursor and a snapshot, and then appends again", async () => {
  const journal = state.open({ maxBytes: 32 * mebibyte });
  let rows = 0;
  for (; ; rows++) {
    const padding = crypto.getRandomValues(new Uint8Array(64 * 1024)).toHex();
    const part = partOf([rows], { padding });
    const appended = journal.append(appendOf([part], { receivedAt: state.now }), () => undefined);
    if (!(await appended.then(() => true).catch(() => false))) break;
  }
  expect(journal.space.refusal).toContain("the journal is full");
  const marks = Array.from({ length: rows }, (_, row) => markOn(row + 1, { message: "x".repeat(1000) }));
  journal.progress({ cursor: cursorAt(rows + 1, 0, rows), marks });
  await settle(journal);
  const snapshot = crypto.getRandomValues(new Uint8Array(64 * 1024)).toHex();
  const blobs = new Map(Array.from({ length: 32 }, (_, blob) => [`b${blob}`, Buffer.from(snapshot)] as const));
  journal.writeSnapshot({ measuredSeq: rows, blobs });
  expect([journal.pendingRecords, journal.cursor.seq]).toEqual([0, rows + 1]);
  journal.maintain();
  expect(acceptedIn(await appendNumbers(journal, [rows + 1]))).toBe(1);
});

test("a journal that shrinks frees its pages, and does not mistake that for interference", async () => {
  const journal = state.open({ retentionMs: 0 });
  const random = createRandom(9);
  const size = (): number => statSync(journal.location).size;
  for (let n = 0; n < 400; n++)
    await journal.append(appendOf([partOf([n], { padding: noise(random, 48_000) })]), () => undefined);
  await finishAll(journal);
  state.now += hourMs;
  const full = size();
  for (let call = 0; call < 200; call++) {
    journal.maintain();
    await appendNumbers(journal, [1000 + call]);
  }
  expect(journal.space.refusal).toBeUndefined();
  expect(state.damages).toBe(0);
  expect(size()).toBeLessThan(full / 2);
}, 120_000);

test("a mark that a retry has not reached yet is not evicted for lack of space", async () => {
  const journal = state.open({ maxBytes: 32 * mebibyte });
  const random = createRandom(4);
  const marked = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++)
      await journal.append(appendOf([partOf([n], { padding: noise(random, 48_000) })]), () => undefined);
    const marks = Array.from({ length: to - from }, (_, n) => markOn(from + n + 1));
    journal.progress({ cursor: cursorAt(to + 1, 0, to), marks });
    journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map() });
    state.now += 2 * hourMs;
    for (let call = 0; call < 20; call++) journal.maintain();
  };
  await marked(0, 100);
  const plan = await journal.planRetry({}, 1);
  journal.beginRedelivery(plan);
  await marked(100, 420);
  const left = (await journal.quarantine.page({ class: "dead_letter" }, { limit: 1000 })).map(({ id }) =>
    Number(id.slice(1)),
  );
  expect(left.filter((id) => id < plan.untilSeq)).toHaveLength(100);
  expect(left.length).toBeLessThan(420);
});

test("no statement scans all marks: quarantining is as fast beside 100,000 dead letters", async () => {
  const { database, statements } = captureConnection(() => state.open());
  const ofMarks = [...statements].filter((sql) => /\b(FROM|JOIN) mark\b/.test(sql));
  expect(ofMarks.length).toBeGreaterThan(5);
  for (const sql of ofMarks) {
    const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[];
    const steps = plan.map(({ detail }) => detail).filter((detail) => detail.includes("mark"));
    expect(steps).not.toBeEmpty();
    for (const step of steps) expect(`${step} of ${sql}`).toMatch(/^SEARCH mark USING .*\(.*\) of /);
    // There are few notes.
    if (!sql.includes("class = 'note'")) expect(JSON.stringify(plan)).not.toContain("TEMP B-TREE");
  }
});

test("keys of small batches share rows, so that a start reads few", async () => {
  const { journal, database } = captureConnection(() => state.open());
  for (let n = 0; n < 400; n++) {
    const part = partOf([n], { keysAt: state.now + n * 2000 });
    await journal.append(appendOf([part]), () => undefined);
  }
  const { rows } = database.prepare("SELECT COUNT(*) AS rows FROM keys").get() as { rows: number };
  expect(rows).toBeGreaterThan(10);
  expect(rows).toBeLessThan(20);
});

test("an eviction that fails to be committed is not reported, and is repeated later", async () => {
  const { clock } = depsOf(state);
  let isFailing = false;
  let calls = 0;
  const moved: LogCursor[] = [];
  const config = configOf({ path: state.path, maxBytes: 32 * mebibyte });
  const journal = openSqliteJournal(config, {
    ...depsOf(state),
    ballastBytes: 0,
    clock() {
      if (isFailing && journal.destinations[0]?.evicted !== 0) throw new Error("a bug of ours");
      return clock();
    },
    // In this mode, each look at the clock is a second later, so that maintenance has no time to evict.
    steady: () => (state.steady === undefined ? 0 : calls++ * 1000),
  });
  const lake = { name: "lake", types: ["flow"] as const, isRequired: false };
  await journal.useDestinations([lake], (_, cursor) => void moved.push(cursor));
  const random = createRandom(3);
  for (let n = 0; journal.space.usedBytes < 15 * mebibyte; n++)
    await journal.append(appendOf([partOf([n], { padding: noise(random, 600_000) })]), () => undefined);
  await finishAll(journal);
  isFailing = true;
  expect(() => journal.maintain()).toThrow("a bug of ours");
  isFailing = false;
  state.steady = 0;
  await journal.maintain();
  expect([journal.destinations[0]?.evicted, moved]).toEqual([0, []]);
  state.steady = undefined;
  await journal.maintain();
  expect(journal.destinations[0]?.evicted).toBeGreaterThan(0);
  expect(moved).toHaveLength(1);
  void journal.close();
});

test("appends that arrive at once are accepted only while there is room", async () => {
  const journal = state.open({ maxBytes: 32 * mebibyte });
  const padding = crypto.getRandomValues(new Uint8Array(64 * 1024)).toHex();
  const answers = await Promise.allSettled(
    Array.from({ length: 700 }, (_, n) => journal.append(appendOf([partOf([n], { padding })]), () => undefined)),
  );
  const accepted = answers.filter(({ status }) => status === "fulfilled").length;
  expect(accepted).toBeGreaterThan(100);
  expect(journal.pendingRecords).toBe(accepted);
  expect(journal.space.usedBytes).toBeLessThan(journal.space.limitBytes);
});

test("no row is deleted while a replay of it is being planned", async () => {
  const journal = state.open();
  const records = 5000;
  await Promise.all(Array.from({ length: records }, (_, n) => appendNumbers(journal, [n], { receivedAt: state.now })));
  await finishAll(journal);
  const planning = journal.planReplay({ since: state.now, until: state.now }, 1);
  state.now += 2 * hourMs;
  await journal.maintain();
  const plan = await planning;
  expect(plan.total).toBe(records);
  expect(await numbersIn(journal)).toHaveLength(records);
  await journal.maintain();
  expect(await numbersIn(journal)).toEqual([]);
});

test("what was delivered of an evicted row is not counted as evicted", async () => {
  const journal = state.open({ maxBytes: 32 * mebibyte });
  const lake = { name: "lake", types: ["flow"] as const, isRequired: false };
  await journal.useDestinations([lake], () => undefined);
  const random = createRandom(5);
  for (let n = 0; journal.space.usedBytes < 15 * mebibyte; n += 2)
    await journal.append(appendOf([partOf([n, n + 1], { padding: noise(random, 300_000) })]), () => undefined);
  journal.progress({ cursor: { ...cursorAt(1, 1), record: 1 }, marks: [] }, "lake");
  await finishAll(journal);
  await journal.maintain();
  const [account] = journal.destinations;
  const { cursor, evicted, pending } = account as NonNullable<typeof account>;
  expect([evicted, pending]).toEqual([2 * (cursor.seq - 1) - 1, 2 * (journal.lastSeq - cursor.seq + 1)]);
  expect(evicted).toBeGreaterThan(1);
});
