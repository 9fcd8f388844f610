/** The journal's contract, first half: what an append accepts, and when who is told. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../src/errors.ts";
import type { Append, Committed } from "../../src/journal/types.ts";
import { appendOf, createState, keyOf, partOfNumbers, storedNumbers, type TestState } from "../support/journal.ts";

let state: TestState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

const acceptedOf = ({ accepted }: Committed): number => accepted.reduce((sum, { records }) => sum + records, 0);
const batch = (...numbers: number[]): Append => appendOf([partOfNumbers(numbers)]);

describe("accepts", () => {
  test("what is new, once", async () => {
    const journal = state.open();
    const first = await journal.append(batch(1, 2, 3));
    const second = await journal.append(batch(1, 2, 3));
    expect([acceptedOf(first), acceptedOf(second)]).toEqual([3, 0]);
    expect(second.tally.duplicates).toEqual({ flow: 3 });
    expect(storedNumbers(journal)).toEqual([1, 2, 3]);
    expect(journal.keyCount("flow")).toBe(3);
  });

  test("the new records of a part, measured again without the known ones", async () => {
    const journal = state.open();
    await journal.append(batch(2, 4));
    const { accepted, tally } = await journal.append(batch(1, 2, 3, 4, 5));
    expect(accepted.map(({ records }) => records)).toEqual([3]);
    expect([...(accepted[0]?.increments.counts.values() ?? [])].map(({ value }) => value)).toEqual([3]);
    expect(tally.duplicates).toEqual({ flow: 2 });
    expect(storedNumbers(journal)).toEqual([2, 4, 1, 3, 5]);
  });

  test("one of two records that are the same in one part, and in two parts", async () => {
    const journal = state.open();
    const { tally } = await journal.append(appendOf([partOfNumbers([1, 1, 2]), partOfNumbers([2, 3])]));
    expect(tally.duplicates).toEqual({ flow: 2 });
    expect(storedNumbers(journal)).toEqual([1, 2, 3]);
  });

  test("one of two batches that are the same in one turn", async () => {
    const journal = state.open();
    const outcomes = await Promise.all([
      journal.append(batch(1, 2)),
      journal.append(batch(1, 2)),
      journal.append(batch(2, 3)),
    ]);
    expect(outcomes.map(acceptedOf)).toEqual([2, 0, 1]);
    expect(storedNumbers(journal)).toEqual([1, 2, 3]);
    expect(state.transactions).toBe(1);
  });

  test("a known record with other counters as a duplicate, and counts the conflict", async () => {
    const journal = state.open();
    await journal.append(batch(1));
    const { tally } = await journal.append(appendOf([partOfNumbers([1], "", [keyOf(1, 9)])]));
    expect(tally).toMatchObject({ duplicates: { flow: 1 }, conflicts: { counters: 1, entries: 0 } });
  });

  test("other entries of a known window, and counts the conflict", async () => {
    const journal = state.open();
    await journal.append(batch(1));
    const outcome = await journal.append(appendOf([partOfNumbers([1], "", [{ ...keyOf(1), low: 2 }])]));
    expect(acceptedOf(outcome)).toBe(1);
    expect(outcome.tally).toMatchObject({ duplicates: {}, conflicts: { counters: 0, entries: 1 } });
  });

  test("a text set aside once, and counts it as a duplicate after that", async () => {
    const journal = state.open();
    const invalid = { type: "flow", reason: "decode_error", detail: "d", text: "{}", key: keyOf(1) } as const;
    const first = await journal.append(appendOf([], { invalid: [invalid, invalid] }));
    const second = await journal.append(appendOf([], { invalid: [invalid] }));
    expect(first.tally).toMatchObject({
      quarantined: [{ type: "flow", reason: "decode_error", records: 1 }],
      duplicates: { flow: 1 },
    });
    expect(second.tally).toMatchObject({ quarantined: [], duplicates: { flow: 1 } });
    expect(acceptedOf(await journal.append(batch(1)))).toBe(1);
  });

  test("a record as a duplicate that was known when its batch was put together, though its key has left since", async () => {
    const limit = { windowMs: 1000, maxKeys: 1000 };
    const journal = state.open({ keyLimits: { flow: limit, audit: limit, webhook: limit, quarantined: limit } });
    await journal.append(batch(1));
    expect(journal.knows("flow", keyOf(1))).toBe(true);
    state.now += 2000;
    journal.maintain();
    expect(journal.knows("flow", keyOf(1))).toBe(false);
    const { tally } = await journal.append(appendOf([], { known: [{ type: "flow", key: keyOf(1) }] }));
    expect(tally.duplicates).toEqual({ flow: 1 });
    expect(acceptedOf(await journal.append(batch(1)))).toBe(1);
  });

  test("a batch of nothing but its tally as a row", async () => {
    const journal = state.open();
    const { lastSeq } = await journal.append(appendOf([], { skipped: { unclassified: 2 }, bytes: 7 }));
    const reader = journal.openReader();
    const [row] = reader.read(1, { rows: 10, bytes: 1000 });
    reader.close();
    expect(row).toMatchObject({
      seq: lastSeq,
      records: 0,
      text: "",
      tally: { bytes: 7, skipped: { unclassified: 2 } },
    });
    expect(row).not.toHaveProperty("type");
  });

  test("several parts as several rows, the tally on the first", async () => {
    const journal = state.open();
    await journal.append(appendOf([partOfNumbers([1]), partOfNumbers([2])], { source: "poll", receivedAt: 77 }));
    const reader = journal.openReader();
    const rows = reader.read(1, { rows: 10, bytes: 1000 });
    reader.close();
    expect(
      rows.map(({ seq, source, acceptedAt, tally }) => ({ seq, source, acceptedAt, hasTally: tally !== undefined })),
    ).toEqual([
      { seq: 1, source: "poll", acceptedAt: 77, hasTally: true },
      { seq: 2, source: "poll", acceptedAt: 77, hasTally: false },
    ]);
  });
});

describe("a key that came another way", () => {
  test("is written again with its batch, once for the batch and once for the turn", async () => {
    const journal = state.open();
    await journal.append({ ...batch(1), source: "poll" });
    await Promise.all([journal.append(appendOf([partOfNumbers([1, 1, 1])])), journal.append(batch(1))]);
    await journal.append(batch(1));
    journal.close();
    const reopened = state.open();
    expect(reopened.keyCount("flow")).toBe(1);
    expect(reopened.knows("flow", keyOf(1))).toBe(true);
    expect(keyRows(state)).toEqual(2);
  });
});

describe("who is told", () => {
  test("hears of commits in the order of seq, before any sender does", async () => {
    const journal = state.open();
    const heard: (number | string)[] = [];
    journal.onCommitted(({ lastSeq }) => heard.push(lastSeq));
    const appends = [batch(1), appendOf([partOfNumbers([2]), partOfNumbers([3])]), batch(4)].map(async (append) => {
      const { lastSeq } = await journal.append(append);
      heard.push(`answer ${lastSeq}`);
    });
    await Promise.all(appends);
    expect(heard).toEqual([1, 3, 4, "answer 1", "answer 3", "answer 4"]);
    expect(journal.lastSeq).toBe(4);
  });

  test("finds the increments of what was accepted, and no others", async () => {
    const journal = state.open();
    let records = 0;
    journal.onCommitted(({ accepted }) => {
      for (const { increments } of accepted) for (const { value } of increments.counts.values()) records += value;
    });
    await Promise.all([journal.append(batch(1, 2)), journal.append(batch(2, 3)), journal.append(batch(3))]);
    expect(records).toBe(3);
  });
});

describe("a group", () => {
  test("shares one commit", async () => {
    const journal = state.open();
    await Promise.all(Array.from({ length: 16 }, (_, n) => journal.append(batch(n))));
    expect(state.transactions).toBe(1);
    await journal.append(batch(16));
    expect(state.transactions).toBe(2);
  });

  test("loses only the one that cannot be written", async () => {
    const journal = state.open();
    const told: number[] = [];
    journal.onCommitted(({ lastSeq }) => told.push(lastSeq));
    const broken = { ...partOfNumbers([2]), records: 1.5 };
    const settled = await Promise.allSettled([
      journal.append(batch(1)),
      journal.append(appendOf([broken], { samples: ["kept?"] })),
      journal.append(batch(3)),
      journal.append(batch(1)),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    const [, rejected] = settled;
    expect(rejected?.status === "rejected" && rejected.reason).toBeInstanceOf(Unavailable);
    expect(storedNumbers(journal)).toEqual([1, 3]);
    expect(told).toHaveLength(3);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(journal.knows("flow", keyOf(2))).toBe(false);
    expect(acceptedOf(await journal.append(batch(2)))).toBe(1);
    expect(journal.pendingRecords).toBe(3);
  });
});

test("after close nothing is taken, and closing again is harmless", async () => {
  const journal = state.open();
  const waiting = journal.append(batch(1));
  journal.close();
  journal.close();
  expect(acceptedOf(await waiting)).toBe(1);
  await expect(journal.append(batch(2))).rejects.toBeInstanceOf(Unavailable);
  journal.progress({ cursor: journal.cursor, setAside: [] });
  expect(storedNumbers(state.open())).toEqual([1]);
});

function keyRows({ path }: TestState): number {
  const database = new DatabaseSync(`${path}/journal.db`, { readOnly: true });
  try {
    return (database.prepare("SELECT COUNT(*) AS rows FROM keys").get() as { rows: number }).rows;
  } finally {
    database.close();
  }
}
