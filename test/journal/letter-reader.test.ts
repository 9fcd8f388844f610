/** Dead letters and bounded stretches, read the way that the journal is. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { boundedReader, openLetterReader } from "../../src/journal/letter-reader.ts";
import type { JournalReader } from "../../src/journal/types.ts";
import { appendOf, createState, partOfNumbers, type TestState } from "../support/journal.ts";
import { itemOf, setAside } from "../support/kept-state.ts";

let state: TestState;
let reader: JournalReader | undefined;
beforeEach(() => {
  state = createState();
});
afterEach(() => {
  reader?.close();
  reader = undefined;
  state.remove();
});

const all = { rows: 100, bytes: 1e9 };
const read = (from: number) => reader?.read(from, all).map(({ seq, records, text }) => [seq, records, text]);

test("dead letters are rows of one record each; the others among them are empty", () => {
  const journal = state.open();
  setAside(journal, [
    itemOf({ text: "a" }),
    itemOf({ class: "note", text: "b" }),
    itemOf({ text: "c", type: "audit" }),
    itemOf({ text: "d" }),
  ]);
  reader = openLetterReader(journal.databasePath, { type: "flow" });
  expect(read(1)).toEqual([
    [1, 1, "a"],
    [3, 0, ""],
    [4, 1, "d"],
  ]);
  expect(reader.read(1, { rows: 2, bytes: 1e9 })).toHaveLength(2);
  expect(reader.read(4, all)).toMatchObject([{ type: "flow", source: "stream", acceptedAt: itemOf().at }]);
});

test("rows that were received at other times, as after a jump of the clock, are empty", async () => {
  const journal = state.open();
  for (const [number, receivedAt] of [10, 500, 20, 5, 30].entries()) {
    await journal.append(appendOf([partOfNumbers([number])], { receivedAt }));
  }
  reader = boundedReader(journal.openReader(), { untilSeq: 6, range: { since: 10, until: 30 } });
  expect(read(1)?.map(([seq, records]) => [seq, records])).toEqual([
    [1, 1],
    [2, 0],
    [3, 1],
    [4, 0],
    [5, 1],
  ]);
});

test("a stretch ends where it should, and has an end even where its rows have left", async () => {
  const journal = state.open();
  for (let number = 0; number < 4; number++) await journal.append(appendOf([partOfNumbers([number])]));
  reader = boundedReader(journal.openReader(), { untilSeq: 3 });
  expect(read(1)?.map(([seq]) => seq)).toEqual([1, 2]);
  expect(read(3)).toEqual([]);
  reader.close();
  reader = boundedReader(journal.openReader(), { untilSeq: 9 });
  expect(read(5)).toEqual([[8, 0, ""]]);
});
