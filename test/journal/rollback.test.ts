/** Tests that a failed transaction leaves nothing behind, neither in the database nor in memory. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { Unavailable } from "../../src/errors.ts";
import { captureConnection } from "../support/captured.ts";
import { until } from "../support/wait.ts";
import { createState, type SqliteState } from "./sqlite-state.ts";
import {
  acceptedIn,
  appendNumbers,
  appendOf,
  cursorAt,
  finishAll,
  hourMs,
  keyOf,
  markOn,
  numbersIn,
  partOf,
  settle,
} from "./support.ts";

let state: SqliteState;
beforeEach(() => {
  state = createState();
});
afterEach(() => state.remove());

test("keys of a batch that was rolled back are not written with those of the next one", async () => {
  const { journal, database } = captureConnection(() => state.open());
  await appendNumbers(journal, [1]);
  // Keys are written by class, so those of flow records are already written when those of audit records fail.
  database.exec(`CREATE TEMP TRIGGER failing BEFORE INSERT ON main.keys WHEN new.class = 'audit'
    BEGIN SELECT RAISE(ABORT, 'a fault of the disk'); END`);
  const parts = [partOf([2, 3]), partOf([4], { type: "audit" })];
  const refusal = await journal.append(appendOf(parts), () => undefined).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(Unavailable);
  database.exec("DROP TRIGGER failing");
  await appendNumbers(journal, [5]);
  expect(journal.lastSeq).toBe(2);
  journal.close();
  const again = state.open();
  expect([1, 2, 3, 5].map((n) => again.knows("flow", keyOf(n), 0))).toEqual([true, false, false, true]);
  expect(acceptedIn(await again.append(appendOf(parts), () => undefined))).toBe(3);
});

test("a destination's report counts in full even if its commit fails and another one succeeds in between", async () => {
  const { journal, database } = captureConnection(() => state.open());
  await journal.useDestinations([{ name: "lake", types: ["flow"], isRequired: true }], () => undefined);
  await appendNumbers(journal, [1, 2, 3]);
  // A mark is written after the cursor that moves past it.
  database.exec("CREATE TEMP TRIGGER failing BEFORE INSERT ON main.mark BEGIN SELECT RAISE(ABORT, 'a fault'); END");
  journal.progress({ cursor: cursorAt(2, 3), marks: [markOn(1)] }, "lake");
  await appendNumbers(journal, [4]);
  expect(journal.destinations[0]).toMatchObject({ accepted: 4, pending: 4 });
  database.exec("DROP TRIGGER failing");
  await settle(journal);
  expect(journal.destinations[0]).toMatchObject({ accepted: 4, pending: 1, cursor: { records: { delivered: 3 } } });
});

test("a report is committed once commits work again, even if no other follows", async () => {
  const { journal, database } = captureConnection(() => state.open());
  await appendNumbers(journal, [1]);
  database.exec("CREATE TEMP TRIGGER failing BEFORE INSERT ON main.mark BEGIN SELECT RAISE(ABORT, 'a fault'); END");
  journal.progress({ cursor: cursorAt(2, 0, 1), marks: [markOn(1)] });
  await appendNumbers(journal, [2]);
  expect(journal.cursor.seq).toBe(1);
  database.exec("DROP TRIGGER failing");
  await until(() => journal.cursor.seq === 2);
});

test("rows whose deletion was rolled back are deleted the next time", async () => {
  const { journal, database } = captureConnection(() => state.open());
  await appendNumbers(journal, [1, 2]);
  await finishAll(journal);
  state.now += 24 * hourMs;
  database.exec("CREATE TEMP TRIGGER failing BEFORE DELETE ON main.keys BEGIN SELECT RAISE(ABORT, 'a fault'); END");
  expect(() => journal.maintain()).toThrow(Unavailable);
  expect(await numbersIn(journal)).toEqual([1, 2]);
  database.exec("DROP TRIGGER failing");
  await journal.maintain();
  expect(await numbersIn(journal)).toEqual([]);
});
