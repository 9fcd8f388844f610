/** What is sent once more keeps its place over a restart, holds its rows, and lets dead letters go once they are taken. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { DatabaseSync } from "node:sqlite";
import type { Journal } from "../../src/journal/index.ts";
import { beginningAt, type RedeliveryProgress } from "../../src/journal/redelivery.ts";
import type { LogCursor } from "../../src/journal/types.ts";
import { appendOf, createState, hourMs, partOfNumbers, storedNumbers, type TestState } from "../support/journal.ts";
import { itemOf, setAside } from "../support/kept-state.ts";

let state: TestState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

/** Rows 1 to `rows`, an hour apart up to now, of two records each. */
async function fill(journal: Journal, rows: number): Promise<void> {
  for (let row = 0; row < rows; row++) {
    const receivedAt = state.now - (rows - 1 - row) * hourMs;
    await journal.append(appendOf([partOfNumbers([2 * row, 2 * row + 1])], { receivedAt }));
  }
}

function deliverTo(journal: Journal, seq: number): void {
  const records = { delivered: 2 * (seq - 1), deadLettered: 0 };
  journal.progress({ cursor: { ...journal.cursor, seq, records }, setAside: [] });
  journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map() });
}

const until = (hoursAgo: number) => state.now - hoursAgo * hourMs;

const reached = (cursor: Partial<LogCursor>, more: Partial<RedeliveryProgress> = {}): RedeliveryProgress => ({
  name: "replay",
  id: 7,
  cursor: { ...beginningAt(1), ...cursor },
  refused: [],
  ...more,
});

describe("a replay", () => {
  test("is of the delivered rows that were received in the range, both ends included", async () => {
    const journal = state.open();
    await fill(journal, 8);
    deliverTo(journal, 7);
    const { redeliveries } = journal;
    expect(await redeliveries.planReplay({ since: until(4), until: until(3) }, journal.cursor.seq, 7)).toMatchObject({
      seq: 4,
      untilSeq: 6,
      total: 4,
    });
    const late = await redeliveries.planReplay({ since: until(2), until: until(0) }, journal.cursor.seq, 7);
    expect(late).toMatchObject({ seq: 6, untilSeq: 7, total: 2 });
    const none = await redeliveries.planReplay({ since: until(1), until: until(0) }, journal.cursor.seq, 7);
    expect(none.total).toBe(0);
  });

  test("holds its rows against retention, and lets them go behind it and when it is over", async () => {
    const journal = state.open();
    await fill(journal, 4);
    deliverTo(journal, 5);
    const plan = await journal.redeliveries.planReplay({ since: until(2), until: until(0) }, 5, 7);
    journal.redeliveries.begin(plan);
    state.now += 100 * hourMs;
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([2, 3, 4, 5, 6, 7]);
    journal.redeliveries.progress(reached({ seq: 3, records: { delivered: 2, deadLettered: 0 } }));
    journal.maintain();
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([4, 5, 6, 7]);
    journal.redeliveries.progress(reached({ seq: 5, records: { delivered: 6, deadLettered: 0 } }));
    journal.maintain();
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([]);
    expect(journal.redeliveries.running).toEqual([]);
    expect(journal.redeliveries.get("replay")).toMatchObject({ endedAt: state.now, records: { delivered: 6 } });
  });

  test("goes on where it was after a restart, and a cancelled one does not", async () => {
    const journal = state.open();
    await fill(journal, 4);
    deliverTo(journal, 5);
    journal.redeliveries.begin(await journal.redeliveries.planReplay({ since: until(3), until: until(0) }, 5, 7));
    journal.redeliveries.progress(reached({ seq: 2, record: 1, event: 3, records: { delivered: 3, deadLettered: 0 } }));
    journal.close();
    const second = state.open();
    expect(second.redeliveries.running).toMatchObject([
      { name: "replay", id: 7, seq: 2, record: 1, event: 3, records: { delivered: 3 }, untilSeq: 5, total: 8 },
    ]);
    expect(second.redeliveries.cancel("replay", state.now)).toBe(true);
    expect(second.redeliveries.cancel("replay", state.now)).toBe(false);
    second.redeliveries.progress(reached({ seq: 4 }));
    second.close();
    const third = state.open();
    expect(third.redeliveries.running).toEqual([]);
    expect(third.redeliveries.get("replay")).toMatchObject({ seq: 2, isCancelled: true });
  });

  test("does not take what is reported of an earlier one", async () => {
    const journal = state.open();
    await fill(journal, 4);
    deliverTo(journal, 5);
    journal.redeliveries.begin(await journal.redeliveries.planReplay({ since: until(3), until: until(0) }, 5, 8));
    journal.redeliveries.progress(reached({ seq: 5 }));
    journal.maintain();
    expect(journal.redeliveries.running).toMatchObject([{ id: 8, seq: 1 }]);
  });

  test("whose place is damaged is none, and costs nothing else", async () => {
    const journal = state.open();
    await fill(journal, 2);
    deliverTo(journal, 3);
    journal.redeliveries.begin(await journal.redeliveries.planReplay({ since: until(3), until: until(0) }, 3, 7));
    journal.close();
    const database = new DatabaseSync(journal.databasePath);
    database.exec("UPDATE cursor SET value = 'x' || value WHERE name = 'replay'");
    database.close();
    const again = state.open();
    expect(again.redeliveries.get("replay")).toBeUndefined();
    expect(again.cursor.records.delivered).toBe(4);
    expect(storedNumbers(again)).toEqual([0, 1, 2, 3]);
  });
});

describe("a retry of dead letters", () => {
  const letters = (journal: Journal) => journal.quarantine.page({ class: "dead_letter" }, { limit: 10 });
  const left = (journal: Journal) => letters(journal).map(({ id }) => id);

  test("is of those that are meant, and removes those that were taken, not those refused again", () => {
    const journal = state.open();
    setAside(journal, [itemOf(), itemOf({ class: "note" }), itemOf({ reason: "too_large" }), itemOf(), itemOf()]);
    expect(left(journal)).toEqual([5, 4, 3, 1]);
    const plan = journal.redeliveries.planRetry({ reason: "rejected" }, 7);
    expect(plan).toMatchObject({ seq: 1, untilSeq: 6, total: 3 });
    journal.redeliveries.begin(plan);
    journal.redeliveries.progress(reached({ seq: 5 }, { name: "retry", refused: [4] }));
    journal.maintain();
    expect(left(journal)).toEqual([5, 4, 3]);
    expect(journal.redeliveries.running).toHaveLength(1);
    journal.redeliveries.progress(reached({ seq: 6 }, { name: "retry" }));
    journal.maintain();
    expect(left(journal)).toEqual([4, 3]);
    expect(journal.redeliveries.running).toEqual([]);
    expect(journal.quarantine.read(2)?.class).toBe("note");
  });

  test("can name its letters one by one", () => {
    const journal = state.open();
    setAside(journal, [itemOf(), itemOf(), itemOf()]);
    const plan = journal.redeliveries.planRetry({ ids: [3, 1, 99] }, 7);
    expect(plan).toMatchObject({ seq: 1, untilSeq: 4, total: 2 });
    journal.redeliveries.begin(plan);
    journal.redeliveries.progress(reached({ seq: 4 }, { name: "retry" }));
    journal.maintain();
    expect(left(journal)).toEqual([2]);
  });
});
