/** A look at the state directory that changes nothing in it. */
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { afterEach, expect, test } from "bun:test";
import { inspectJournal } from "../../src/journal/inspection.ts";
import { appendOf, createState, partOfNumbers, type TestState } from "../support/journal.ts";

let state: TestState | undefined;
afterEach(() => state?.remove());

function newState(): TestState {
  return (state = createState());
}

/** Names, sizes and times of everything in a directory. */
function contents(path: string): string[] {
  return readdirSync(path).map((name) => {
    const { size, mtimeMs, ino } = statSync(join(path, name));
    return `${name} ${size} ${mtimeMs} ${ino}`;
  });
}

test("memory has nothing to look at", () => {
  expect(inspectJournal(":memory:")).toEqual({ kind: "memory" });
});

test("a directory that is not there would be made, and is not", () => {
  const { path } = newState();
  expect(inspectJournal(join(path, "deeper"))).toEqual({ kind: "new" });
  expect(readdirSync(join(path, ".."))).toEqual([]);
  mkdirSync(path);
  expect(inspectJournal(path)).toEqual({ kind: "new" });
  expect(readdirSync(path)).toEqual([]);
});

test("a journal that nobody has is ready, and stays as it was", async () => {
  const { open, path } = newState();
  const journal = open();
  await journal.append(appendOf([partOfNumbers([1, 2])]));
  journal.close();
  const before = contents(path);
  expect(inspectJournal(path)).toEqual({ kind: "ready", bytes: statSync(join(path, "journal.db")).size });
  expect(contents(path)).toEqual(before);
});

test("one that an instance has is in use, and the instance goes on", async () => {
  const { open, path } = newState();
  const journal = open();
  expect(inspectJournal(path)).toEqual({ kind: "in_use" });
  await journal.append(appendOf([partOfNumbers([1])]));
  expect(journal.lastSeq).toBe(1);
});

test("one that is damaged is said to be", () => {
  const { open, path } = newState();
  open().close();
  writeFileSync(
    join(path, "journal.db"),
    "this is no database, but it is as long as the header of one would be, at least",
  );
  expect(inspectJournal(path)).toEqual({ kind: "damaged", reason: "the database's header is damaged" });
});

test("one of a newer program is said to be", () => {
  const { open, path } = newState();
  open().close();
  const database = new DatabaseSync(join(path, "journal.db"));
  database.exec("PRAGMA user_version = 77; PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  expect(inspectJournal(path)).toEqual({ kind: "newer", schema: 77 });
});

test("a file is no directory, and one below a file cannot be made", () => {
  const { path } = newState();
  writeFileSync(path, "");
  expect(inspectJournal(path)).toEqual({ kind: "unusable", reason: `${path} is not a directory` });
  expect(inspectJournal(join(path, "deeper"))).toMatchObject({ kind: "unusable" });
});
