/** A reader gives committed rows in order, within the limits it is given. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Journal } from "../../src/journal/index.ts";
import type { JournalReader } from "../../src/journal/types.ts";
import { appendOf, createState, partOfNumbers, type TestState } from "../support/journal.ts";

let state: TestState;
let journal: Journal;
let reader: JournalReader;
beforeEach(async () => {
  state = createState();
  journal = state.open();
  for (const n of [1, 2, 3, 4, 5]) await journal.append(appendOf([partOfNumbers([n], "x".repeat(1000))]));
  reader = journal.openReader();
});
afterEach(() => {
  reader.close();
  state.remove();
});

const seqs = (from: number, limit: { rows: number; bytes: number }): number[] =>
  reader.read(from, limit).map(({ seq }) => seq);
const plenty = { rows: 100, bytes: 1_000_000 };

test("from a place on, in order", () => {
  expect(seqs(1, plenty)).toEqual([1, 2, 3, 4, 5]);
  expect(seqs(4, plenty)).toEqual([4, 5]);
  expect(seqs(6, plenty)).toEqual([]);
});

test("no more rows than asked for, and none after the bytes are reached", () => {
  expect(seqs(1, { rows: 2, bytes: 1_000_000 })).toEqual([1, 2]);
  expect(seqs(1, { rows: 100, bytes: 1 })).toEqual([1]);
  expect(seqs(1, { rows: 100, bytes: 2500 })).toEqual([1, 2, 3]);
});

test("over a gap that retention has left", () => {
  journal.writeSnapshot({ measuredSeq: 5, blobs: new Map() });
  journal.progress({ cursor: { ...journal.cursor, seq: 4, records: { delivered: 3, deadLettered: 0 } }, setAside: [] });
  journal.writeSnapshot({ measuredSeq: 5, blobs: new Map() });
  state.now += 10_000_000;
  journal.maintain();
  expect(seqs(1, plenty)).toEqual([4, 5]);
});

test("what is committed later, without being opened again", async () => {
  expect(seqs(6, plenty)).toEqual([]);
  await journal.append(appendOf([partOfNumbers([6])], { source: "poll", receivedAt: 9 }));
  expect(reader.read(6, plenty)).toMatchObject([
    {
      seq: 6,
      source: "poll",
      acceptedAt: 9,
      type: "flow",
      records: 1,
      text: '{"event":{"n":6,"padding":""}}',
      damage: undefined,
    },
  ]);
});
