/** What may leave the journal, when, and what happens when there is no room. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/index.ts";
import { startOfJournal } from "../../src/journal/types.ts";
import {
  appendOf,
  createState,
  hourMs,
  keyOf,
  mebibyte,
  partOfNumbers,
  storedNumbers,
  type TestState,
} from "../support/journal.ts";

let state: TestState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

/** Text that does not compress. */
const padding = (bytes: number): string => randomBytes(bytes * 0.75).toString("base64");

async function fill(journal: Journal, from = 0): Promise<number> {
  for (let n = from; ; n++) {
    try {
      await journal.append(appendOf([partOfNumbers([n], padding(64 * 1024))]));
    } catch (error) {
      expect(error).toBeInstanceOf(Unavailable);
      return n - from;
    }
  }
}

function deliverTo(journal: Journal, seq: number): void {
  journal.progress({
    cursor: { ...startOfJournal, seq, records: { delivered: seq - 1, deadLettered: 0 } },
    setAside: [],
  });
}

const measureTo = (journal: Journal, measuredSeq: number): void =>
  journal.writeSnapshot({ measuredSeq, blobs: new Map() });

describe("a row leaves", () => {
  async function journalOfFive(): Promise<Journal> {
    const journal = state.open();
    for (const n of [1, 2, 3, 4, 5]) await journal.append(appendOf([partOfNumbers([n])], { receivedAt: state.now }));
    return journal;
  }

  test("when it is delivered, measured and past retention", async () => {
    const journal = await journalOfFive();
    deliverTo(journal, 4);
    measureTo(journal, 2);
    state.now += hourMs;
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([1, 2, 3, 4, 5]);
    state.now += 1;
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([3, 4, 5]);
    measureTo(journal, 5);
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([4, 5]);
  });

  test("never before it is delivered", async () => {
    const journal = await journalOfFive();
    measureTo(journal, 5);
    state.now += 1000 * hourMs;
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([1, 2, 3, 4, 5]);
  });

  test("never before it is measured", async () => {
    const journal = await journalOfFive();
    deliverTo(journal, 6);
    state.now += 1000 * hourMs;
    journal.maintain();
    measureTo(journal, 0);
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([1, 2, 3, 4, 5]);
  });

  test("never before all of its records are delivered, and its seq is not used again", async () => {
    const journal = await journalOfFive();
    journal.progress({
      cursor: { ...startOfJournal, seq: 5, record: 0, event: 3, records: { delivered: 4, deadLettered: 0 } },
      setAside: [],
    });
    measureTo(journal, 5);
    state.now += 1000 * hourMs;
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([5]);
    expect(journal.pendingRecords).toBe(1);
    deliverTo(journal, 6);
    measureTo(journal, 5);
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([]);
    journal.close();
    const again = state.open();
    expect(again.lastSeq).toBe(5);
    expect((await again.append(appendOf([partOfNumbers([6])]))).lastSeq).toBe(6);
    expect(again.pendingRecords).toBe(1);
  });

  test("apart from its keys, which have an age of their own", async () => {
    const journal = await journalOfFive();
    deliverTo(journal, 6);
    measureTo(journal, 5);
    state.now += 2 * hourMs;
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([]);
    expect(journal.knows("flow", keyOf(1))).toBe(true);
    state.now += 5 * hourMs;
    journal.maintain();
    expect(journal.keyCount("flow")).toBe(0);
    journal.close();
    expect(state.open().keyCount("flow")).toBe(0);
  });
});

test("keys beyond their bound leave, oldest first, whatever their age", async () => {
  const limit = { windowMs: 6 * hourMs, maxKeys: 3 };
  const journal = state.open({ keyLimits: { flow: limit, audit: limit, webhook: limit, quarantined: limit } });
  for (const n of [1, 2, 3, 4, 5]) await journal.append(appendOf([partOfNumbers([n])]));
  journal.maintain();
  expect([1, 2, 3, 4, 5].map((n) => journal.knows("flow", keyOf(n)))).toEqual([false, false, true, true, true]);
});

describe("a full journal", () => {
  const small = { maxBytes: 20 * mebibyte };

  test("refuses a batch whole, says so, and takes it when there is room again", async () => {
    const journal = state.open(small);
    const taken = await fill(journal);
    expect(taken).toBeGreaterThan(10);
    expect(journal.space.usedBytes).toBeLessThanOrEqual(small.maxBytes - 16 * mebibyte);
    const { lastSeq } = journal;
    const large = appendOf([partOfNumbers([1_000_000], padding(256 * 1024))], { samples: ["sample"] });
    await expect(journal.append(large)).rejects.toThrow("the journal is full");
    expect(journal.lastSeq).toBe(lastSeq);
    expect(journal.knows("flow", keyOf(1_000_000))).toBe(false);
    expect(storedNumbers(journal)).toHaveLength(taken);

    measureTo(journal, lastSeq);
    journal.maintain();
    await expect(journal.append(large)).rejects.toThrow("the journal is full");
    deliverTo(journal, lastSeq + 1);
    measureTo(journal, lastSeq);
    for (let n = 0; n < 3; n++) journal.maintain();
    expect(journal.space.isFull).toBe(false);
    expect((await journal.append(large)).accepted).toHaveLength(1);
    expect(journal.pendingRecords).toBe(1);
  }, 20_000);

  test("wants a snapshot when that alone keeps delivered rows from leaving", async () => {
    const journal = state.open({ maxBytes: 24 * mebibyte });
    await journal.append(appendOf([partOfNumbers([0])]));
    deliverTo(journal, 2);
    journal.writeSnapshot({ measuredSeq: 0, blobs: new Map() });
    expect(journal.wantsSnapshot).toBe(false);
    const taken = await fill(journal, 1);
    measureTo(journal, 1);
    expect(journal.wantsSnapshot).toBe(false);
    deliverTo(journal, taken + 1);
    measureTo(journal, 1);
    journal.maintain();
    expect(journal.wantsSnapshot).toBe(true);
    expect(storedNumbers(journal)).toHaveLength(taken);
    measureTo(journal, journal.lastSeq);
    expect(journal.wantsSnapshot).toBe(false);
    journal.maintain();
    expect(storedNumbers(journal).length).toBeLessThan(3);
  });

  test("keeps its reserve free of a group that is too large together", async () => {
    const journal = state.open(small);
    const settled = await Promise.allSettled(
      Array.from({ length: 12 }, (_, n) => journal.append(appendOf([partOfNumbers([n], padding(mebibyte))]))),
    );
    const taken = settled.filter(({ status }) => status === "fulfilled").length;
    expect(taken).toBeGreaterThan(1);
    expect(taken).toBeLessThan(5);
    expect(journal.space.usedBytes).toBeLessThanOrEqual(small.maxBytes - 16 * mebibyte);
    expect(storedNumbers(journal)).toHaveLength(taken);
    journal.writeSnapshot({ measuredSeq: 0, blobs: new Map([["a", padding(8 * mebibyte)]]) });
    expect(journal.readSnapshot().blobs.get("a")).toHaveLength(8 * mebibyte);
  }, 20_000);

  test("counts what is set aside, too", async () => {
    const journal = state.open(small);
    const invalid = Array.from(
      { length: 100 },
      (_, n) =>
        ({ type: "flow", reason: "decode_error", detail: "", text: padding(64 * 1024), key: keyOf(n) }) as const,
    );
    await expect(journal.append(appendOf([], { invalid }))).rejects.toThrow("the journal is full");
    expect((await journal.append(appendOf([], { invalid: invalid.slice(0, 10) }))).tally.quarantined).toEqual([
      { type: "flow", reason: "decode_error", records: 10 },
    ]);
  });

  test("rejects that batch alone for which SQLite itself has no room, and is not damaged by it", async () => {
    const journal = state.open({ maxBytes: 17 * mebibyte });
    /** Admission counts texts; a detail is a sentence, but for this one. */
    const invalid = {
      type: "flow",
      reason: "decode_error",
      detail: padding(18 * mebibyte),
      text: "",
      key: keyOf(9),
    } as const;
    const outcome = await Promise.allSettled([
      journal.append(appendOf([partOfNumbers([1])])),
      journal.append(appendOf([partOfNumbers([2])], { invalid: [invalid] })),
      journal.append(appendOf([partOfNumbers([3])])),
    ]);
    expect(outcome.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(storedNumbers(journal)).toEqual([1, 3]);
    expect(journal.knows("quarantined", keyOf(9))).toBe(false);
    expect(integrity(journal)).toBe("ok");
  }, 20_000);

  test("takes batches beside a report that cannot be committed", async () => {
    const journal = state.open({ maxBytes: 17 * mebibyte });
    const text = padding(26 * mebibyte);
    const cursor = { ...startOfJournal, seq: 2, records: { delivered: 0, deadLettered: 1 } };
    journal.progress({
      cursor,
      setAside: [{ class: "dead_letter", type: "flow", at: 1, source: "stream", reason: "refused", detail: "", text }],
    });
    await journal.append(appendOf([partOfNumbers([1])]));
    await journal.append(appendOf([partOfNumbers([2])]));
    expect(storedNumbers(journal)).toEqual([1, 2]);
    expect(journal.cursor).toEqual(startOfJournal);
    expect(journal.pendingRecords).toBe(2);
  }, 20_000);
});

function integrity(journal: Journal): unknown {
  const database = new DatabaseSync(journal.databasePath, { readOnly: true });
  try {
    return Object.values(database.prepare("PRAGMA integrity_check").get() as object)[0];
  } finally {
    database.close();
  }
}
