/** A directory that vanishes, a disk that is read-only, a clock that leaps: nothing that was acknowledged is lost, nothing is counted twice. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { Unavailable } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/index.ts";
import { startOfJournal } from "../../src/journal/types.ts";
import { captureConnection } from "../support/captured.ts";
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

const send = (journal: Journal, ...numbers: number[]) =>
  journal.append(appendOf([partOfNumbers(numbers)], { receivedAt: state.now }));
const snapshot = { measuredSeq: 1, blobs: new Map([["a", "shown"]]) };

async function expectRefusal(journal: Journal, number: number, why: string): Promise<void> {
  const refused = send(journal, number);
  await expect(refused).rejects.toBeInstanceOf(Unavailable);
  await expect(refused).rejects.toThrow(why);
  expect(journal.knows("flow", keyOf(number))).toBe(false);
  expect(() => journal.writeSnapshot(snapshot)).toThrow(Unavailable);
  expect(journal.readSnapshot().blobs.size).toBe(0);
}

describe("a state directory", () => {
  test("that is deleted takes nothing more, since SQLite would write to a file that is gone", async () => {
    const journal = state.open();
    await send(journal, 1);
    rmSync(state.path, { recursive: true });
    await expectRefusal(journal, 2, "is gone or has been replaced");
    expect(journal.space.isFull).toBe(true);
    expect(() => journal.close()).not.toThrow();
    const again = state.open();
    await send(again, 3);
    expect(storedNumbers(again)).toEqual([3]);
  });

  test("that is away for a while is used again when it is back", async () => {
    const journal = state.open();
    await send(journal, 1);
    renameSync(state.path, `${state.path}-away`);
    await expectRefusal(journal, 2, "is gone or has been replaced");
    journal.progress({
      cursor: { ...startOfJournal, seq: 2, records: { delivered: 1, deadLettered: 0 } },
      setAside: [],
    });
    await expectRefusal(journal, 3, "is gone or has been replaced");
    expect(journal.pendingRecords).toBe(1);
    renameSync(`${state.path}-away`, state.path);
    await send(journal, 4);
    while (journal.pendingRecords > 1) await new Promise((resolve) => setTimeout(resolve, 10));
    journal.writeSnapshot(snapshot);
    expect(storedNumbers(journal)).toEqual([1, 4]);
  });

  test("that was replaced by a copy takes nothing more", async () => {
    const journal = state.open();
    await send(journal, 1);
    renameSync(state.path, `${state.path}-old`);
    mkdirSync(state.path);
    cpSync(`${state.path}-old`, state.path, { recursive: true });
    await expectRefusal(journal, 2, "is gone or has been replaced");
  });

  test("that is read-only for a while takes nothing, and then all again", async () => {
    const { journal, database } = captureConnection(() => state.open());
    await send(journal, 1);
    database.exec("PRAGMA query_only = ON");
    await expectRefusal(journal, 2, "the journal cannot be written");
    journal.progress({
      cursor: { ...startOfJournal, seq: 2, records: { delivered: 1, deadLettered: 0 } },
      setAside: [],
    });
    await expectRefusal(journal, 3, "the journal cannot be written");
    expect(() => journal.maintain()).toThrow();
    expect(storedNumbers(journal)).toEqual([1]);
    database.exec("PRAGMA query_only = OFF");
    await send(journal, 2, 3);
    while (journal.pendingRecords > 2) await new Promise((resolve) => setTimeout(resolve, 10));
    journal.writeSnapshot(snapshot);
    journal.maintain();
    expect(storedNumbers(journal)).toEqual([1, 2, 3]);
  });
});

test("a disk that cannot be written is known as such until a write works, without anybody having to send", async () => {
  const { journal, database } = captureConnection(() => state.open());
  await send(journal, 1);
  expect(journal.space.isFull).toBe(false);
  database.exec("PRAGMA query_only = ON");
  await expectRefusal(journal, 2, "the journal cannot be written");
  expect(journal.space.isFull).toBe(true);
  expect(() => journal.maintain()).toThrow();
  expect(journal.space.isFull).toBe(true);
  database.exec("PRAGMA query_only = OFF");
  journal.maintain();
  expect(journal.space.isFull).toBe(false);
});

describe("a clock", () => {
  const isNew = async (journal: Journal, number: number): Promise<boolean> =>
    (await send(journal, number)).accepted.length > 0;

  test("that leaps ahead by a day makes nothing forgotten, not even over a restart", async () => {
    state.steady = 0;
    let journal = state.open();
    expect(await isNew(journal, 1)).toBe(true);
    state.now += 24 * hourMs;
    state.steady += 1000;
    journal.maintain();
    expect(await isNew(journal, 1)).toBe(false);
    expect(await isNew(journal, 2)).toBe(true);
    journal.close();
    journal = state.open();
    state.steady += 60_000;
    journal.maintain();
    expect(await isNew(journal, 1)).toBe(false);
    state.now -= 30 * hourMs;
    journal.maintain();
    expect([await isNew(journal, 1), await isNew(journal, 2)]).toEqual([false, false]);
  });

  test("that is right again after a leap lets keys leave in their time, or somewhat later", async () => {
    state.steady = 0;
    const journal = state.open();
    await send(journal, 1);
    for (let hour = 0; hour < 13; hour++) {
      expect(journal.keyCount("flow")).toBe(hour < 7 ? 1 : journal.keyCount("flow"));
      state.steady += hourMs;
      state.now += hourMs;
      journal.maintain();
    }
    expect(journal.keyCount("flow")).toBe(0);
  });

  test("that leaps back by a day loses nothing, and keys stay", async () => {
    state.steady = 0;
    const journal = state.open();
    await send(journal, 1);
    state.now -= 24 * hourMs;
    for (let hour = 0; hour < 5; hour++) {
      state.steady += hourMs;
      state.now += hourMs;
      journal.maintain();
      expect(await isNew(journal, 1)).toBe(false);
    }
    await send(journal, 2);
    expect(storedNumbers(journal)).toEqual([1, 2]);
  });
});
