/** Tests deleting, truncating, replacing or writing to the files of a running journal: nothing that was answered is lost. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/index.ts";
import { createState, type SqliteState } from "./sqlite-state.ts";
import { acceptedIn, appendNumbers, keyOf, numbersIn } from "./support.ts";

let state: SqliteState;
let database: string;
let log: string;
let index: string;
beforeEach(() => {
  state = createState();
  database = join(state.path, "journal.db");
  log = `${database}-wal`;
  index = `${database}-shm`;
});
afterEach(() => state.remove());

const numbers = Array.from({ length: 40 }, (_, n) => n);

async function filled(): Promise<Journal> {
  const journal = state.open();
  for (const n of numbers) {
    await appendNumbers(journal, [n]);
    if (n === 10) copyFileSync(log, `${log}.older`);
  }
  return journal;
}

async function expectStopped(journal: Journal, why: string): Promise<void> {
  const refusal = await appendNumbers(journal, [1000]).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(Unavailable);
  expect((refusal as Error).message).toContain(why);
  expect(journal.space.refusal).toContain(why);
  expect(state.damages).toBe(1);
  expect(state.log.filter((line) => line.startsWith("error"))).toHaveLength(1);
}

async function expectAllThere(): Promise<void> {
  const again = state.open();
  expect(await numbersIn(again)).toEqual(numbers);
  expect(again.pendingRecords).toBe(numbers.length);
  expect(again.loss.rows).toBe(0);
  expect(again.knows("flow", keyOf(7), 0)).toBe(true);
  expect(acceptedIn(await appendNumbers(again, [7, 1001]))).toBe(1);
}

const faults: readonly (readonly [name: string, act: () => void, why: string])[] = [
  ["the write-ahead log is deleted", () => rmSync(log), "-wal is gone"],
  [
    "the write-ahead log is replaced",
    () => {
      rmSync(log);
      writeFileSync(log, "something else");
    },
    "-wal is gone or has been replaced",
  ],
  [
    "the write-ahead log is replaced by an older copy of itself",
    () => renameSync(`${log}.older`, log),
    "-wal is gone or has been replaced",
  ],
  ["the log's index is deleted", () => rmSync(index), "-shm is gone"],
  ["the log's index is truncated to nothing", () => truncateSync(index, 0), "-shm has been truncated"],
  ["the log's index is truncated in its middle", () => truncateSync(index, 9000), "-shm has been truncated"],
  ["the lock is deleted", () => rmSync(join(state.path, "lock.db")), "lock.db is gone"],
  ["the database is deleted", () => rmSync(database), "is gone"],
  ["all files are deleted", () => ["", "-wal", "-shm"].forEach((suffix) => rmSync(`${database}${suffix}`)), "is gone"],
  [
    "the database is replaced by a copy",
    () => {
      copyFileSync(database, `${database}.copy`);
      renameSync(`${database}.copy`, database);
    },
    "has been replaced",
  ],
];

describe("if", () => {
  for (const [name, act, why] of faults) {
    test(`${name}, nothing more is accepted, and the next start has everything`, async () => {
      const journal = await filled();
      act();
      await expectStopped(journal, why);
      journal.close();
      await expectAllThere();
    });

    test(`${name} and the process is killed after detecting it, the next start has everything`, async () => {
      const journal = await filled();
      act();
      await expectStopped(journal, why);
      /** Its files as a kill leaves them, not closed. */
      const copy = `${state.path}-killed`;
      renameSync(state.path, copy);
      journal.close();
      renameSync(copy, state.path);
      await expectAllThere();
    });
  }

  test("the whole directory is deleted, the log says that nothing could be saved, and what to do", async () => {
    const journal = await filled();
    rmSync(state.path, { recursive: true });
    await expectStopped(journal, "is gone");
    const line = state.log.find((one) => one.startsWith("error")) as string;
    expect(line).toContain("Stop the other process, then restart this one");
    expect(line).toContain('"saved":"nothing, because no copy could be written: there is no such file');
    expect(line).toContain('"lost":"records that were accepted but not delivered');
    expect(line).toContain(`"remedy":"put the files back in ${state.path}`);
  });

  test("the write-ahead log is deleted, the log says what was saved and where, in separate fields", async () => {
    const journal = await filled();
    rmSync(log);
    await expectStopped(journal, "-wal is gone");
    const line = state.log.find((one) => one.startsWith("error")) as string;
    expect(line).toContain(`"saved":"what could still be read, in ${join(state.path, "rescued.db")}`);
    expect(line).toContain(`"rows":${numbers.length}`);
  });

  test("a link replaces the database, nothing more is accepted, and nothing is missing once the file is back", async () => {
    const journal = await filled();
    renameSync(database, `${database}.moved`);
    symlinkSync(`${database}.moved`, database);
    await expectStopped(journal, "has been replaced");
    journal.close();
    rmSync(database);
    renameSync(`${database}.moved`, database);
    await expectAllThere();
  });

  test("the log's index is truncated, a reader refuses to read on instead of ending the process", async () => {
    const journal = await filled();
    const reader = journal.openReader();
    expect(reader.read(1, { rows: 1, bytes: 1 })).toHaveLength(1);
    truncateSync(index, 0);
    expect(() => reader.read(1, { rows: 1, bytes: 1 })).toThrow("-shm has been truncated");
    await expectStopped(journal, "-shm has been truncated");
    expect(reader.read(1, { rows: 100, bytes: 1e6 })).toHaveLength(numbers.length);
    reader.close();
    journal.close();
    await expectAllThere();
  });

  test("the write-ahead log is truncated, what can no longer be read is counted as lost, and the rest is kept", async () => {
    const journal = await filled();
    truncateSync(log, Math.floor(statSync(log).size / 2));
    await expectStopped(journal, "-wal has been truncated");
    journal.close();
    const again = state.open();
    const left = await numbersIn(again);
    expect(left.every((n) => numbers.includes(n))).toBe(true);
    expect(left.length + again.loss.rows).toBe(numbers.length);
    expect(acceptedIn(await appendNumbers(again, [2000]))).toBe(1);
  });

  test("the database is truncated, the next start has everything", async () => {
    const journal = await filled();
    journal.close();
    const second = state.open();
    await appendNumbers(second, [40]);
    second.maintain();
    truncateSync(database, statSync(database).size - 4096);
    await expectStopped(second, "has been truncated");
    second.close();
    const again = state.open();
    expect((await numbersIn(again)).length + again.loss.rows).toBe(41);
  });

  test("another process writes to the database, nothing more is accepted, and nothing is set aside", async () => {
    const journal = await filled();
    const other = new DatabaseSync(database);
    other.exec("INSERT INTO state (name, crc, value) VALUES ('from somewhere else', 0, x'00')");
    other.close();
    await expectStopped(journal, "another process writes");
    journal.close();
    await expectAllThere();
    expect(existsSync(join(state.path, "rescued.db"))).toBe(false);
  });
});

describe("if the process was killed, and before the next start", () => {
  /** Leaves the files as a kill does, not closed. Only the first 20 rows are in the database itself and its copy. */
  async function killed(): Promise<void> {
    const journal = state.open();
    for (const n of numbers.slice(0, 20)) await appendNumbers(journal, [n]);
    journal.close();
    copyFileSync(database, `${database}.older`);
    const second = state.open();
    for (const n of numbers.slice(20)) await appendNumbers(second, [n]);
    cpSync(state.path, `${state.path}-killed`, { recursive: true });
    second.close();
    rmSync(state.path, { recursive: true });
    renameSync(`${state.path}-killed`, state.path);
  }

  const errors = (): string[] => state.log.filter((line) => line.startsWith("error"));

  const losses: readonly (readonly [name: string, act: () => void])[] = [
    ["the write-ahead log is deleted", () => rmSync(log)],
    ["the write-ahead log is truncated", () => truncateSync(log, 0)],
    ["the write-ahead log is cut in half", () => truncateSync(log, Math.floor(statSync(log).size / 2))],
    [
      "an older database takes the place of both",
      () => {
        rmSync(log);
        renameSync(`${database}.older`, database);
      },
    ],
    [
      "all files of the database are deleted",
      () => ["", "-wal", "-shm"].forEach((suffix) => rmSync(database + suffix)),
    ],
  ];
  for (const [name, act] of losses) {
    test(`${name}, the start reports how many rows are lost, and their numbers are not used again`, async () => {
      await killed();
      act();
      const journal = state.open();
      const left = await numbersIn(journal);
      const lost = numbers.length - left.length;
      expect(left).toEqual(numbers.slice(0, left.length));
      expect(lost).toBeGreaterThan(0);
      expect([journal.loss.rows, journal.lastSeq]).toEqual([lost, numbers.length]);
      expect(errors()).toHaveLength(1);
      expect(errors()[0]).toContain(`"lost_rows":${lost},"last_row":${left.length}`);
      expect((await appendNumbers(journal, [1001])).lastSeq).toBe(numbers.length + 1);
      journal.close();
      expect(state.open().loss.rows).toBe(lost);
      expect(errors()).toHaveLength(1);
    });
  }

  test("nothing changes, everything is kept and nothing is reported lost", async () => {
    await killed();
    await expectAllThere();
    expect(errors()).toEqual([]);
  });

  test("the note of the last row is missing or unreadable, everything is kept and nothing is reported lost", async () => {
    await killed();
    const lastRow = join(state.path, "last-row");
    for (const act of [() => rmSync(lastRow), () => writeFileSync(lastRow, "0000000000000099 00000000\n")]) {
      act();
      const journal = state.open();
      expect([await numbersIn(journal), journal.loss.rows]).toEqual([numbers, 0]);
      journal.close();
    }
    expect(errors()).toEqual([]);
  });
});

test("appends are refused while the files cannot be checked", async () => {
  const journal = state.open();
  await appendNumbers(journal, [1]);
  const elsewhere = `${state.path}.elsewhere`;
  renameSync(state.path, elsewhere);
  symlinkSync(state.path, state.path);
  const refusal = await appendNumbers(journal, [2]).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(Unavailable);
  expect((refusal as Error).message).toContain("the journal's files cannot be checked: ");
  expect(journal.space.refusal).toBe((refusal as Error).message);
  rmSync(state.path);
  renameSync(elsewhere, state.path);
  expect(acceptedIn(await appendNumbers(journal, [2]))).toBe(1);
  expect([journal.space.refusal, state.damages]).toEqual([undefined, 0]);
});
