/** The journal's contract, second half: what is there again after the process has gone, and what must not be opened. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/index.ts";
import { seal } from "../../src/journal/pack.ts";
import { type LogCursor, type QuarantineItem, startOfJournal } from "../../src/journal/types.ts";
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

const cursorAt = (seq: number, record: number, delivered: number, deadLettered = 0): LogCursor => ({
  ...startOfJournal,
  seq,
  record,
  records: { delivered, deadLettered },
});

function reopen(journal: Journal): Journal {
  journal.close();
  return state.open();
}

function query(sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(join(state.path, "journal.db"));
  try {
    return database.prepare(sql).all() as Record<string, unknown>[];
  } finally {
    database.close();
  }
}

describe("is there again", () => {
  test("records, keys, identity and the last seq", async () => {
    const journal = state.open();
    const { identity } = journal;
    await journal.append(appendOf([partOfNumbers([1, 2])]));
    await journal.append(
      appendOf([], { invalid: [{ type: "flow", reason: "decode_error", detail: "", text: "{", key: keyOf(9) }] }),
    );
    const again = reopen(journal);
    expect(again.identity).toEqual(identity);
    expect(again.lastSeq).toBe(2);
    expect(storedNumbers(again)).toEqual([1, 2]);
    expect([1, 2, 3].map((n) => again.knows("flow", keyOf(n)))).toEqual([true, true, false]);
    expect(again.knows("quarantined", keyOf(9))).toBe(true);
    const { tally } = await again.append(appendOf([partOfNumbers([2, 3])]));
    expect(tally.duplicates).toEqual({ flow: 1 });
    expect(again.lastSeq).toBe(3);
  });

  test("the cursor, dead letters with it, and what is pending from the middle of a row", async () => {
    const journal = state.open();
    await journal.append(appendOf([partOfNumbers([1, 2, 3])]));
    await journal.append(appendOf([partOfNumbers([4, 5])]));
    await journal.append(appendOf([partOfNumbers([6])]));
    expect(journal.pendingRecords).toBe(6);
    const letter: QuarantineItem = {
      class: "dead_letter",
      type: "flow",
      seq: 1,
      at: 1,
      source: "stream",
      reason: "refused",
      detail: "400",
      text: "x".repeat(100_000),
    };
    journal.progress({ cursor: cursorAt(1, 1, 1), setAside: [] });
    journal.progress({ cursor: cursorAt(2, 1, 3, 1), setAside: [letter] });
    const again = reopen(journal);
    expect(again.cursor).toEqual(cursorAt(2, 1, 3, 1));
    expect(again.pendingRecords).toBe(2);
    await again.append(appendOf([partOfNumbers([7])]));
    expect(again.pendingRecords).toBe(3);
    const done = reopen(again);
    expect(done.pendingRecords).toBe(3);
    done.progress({ cursor: cursorAt(5, 0, 6, 1), setAside: [] });
    expect(reopen(done).pendingRecords).toBe(0);
    expect(query("SELECT class, seq, reason FROM quarantine")).toEqual([
      { class: "dead_letter", seq: 1, reason: "refused" },
    ]);
  });

  test("a position that was reported, though no append came to share its commit", async () => {
    const journal = state.open();
    await journal.append(appendOf([partOfNumbers([1])]));
    journal.progress({ cursor: cursorAt(2, 0, 1), setAside: [] });
    expect(journal.pendingRecords).toBe(1);
    while (journal.pendingRecords > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(query("SELECT value FROM cursor WHERE name = 'logs'")).toEqual([
      { value: seal(JSON.stringify(cursorAt(2, 0, 1))) },
    ]);
  });

  test("the snapshot, where metrics that are not named keep their blob", () => {
    const journal = state.open();
    expect(journal.readSnapshot()).toEqual({ measuredSeq: 0, blobs: new Map() });
    journal.writeSnapshot({
      measuredSeq: 3,
      blobs: new Map([
        ["a", "one"],
        ["b", "ü".repeat(10_000)],
      ]),
    });
    journal.writeSnapshot({ measuredSeq: 4, blobs: new Map([["a", "two"]]) });
    expect(reopen(journal).readSnapshot()).toEqual({
      measuredSeq: 4,
      blobs: new Map([
        ["a", "two"],
        ["b", "ü".repeat(10_000)],
      ]),
    });
  });

  test("but for what is damaged, which is said", async () => {
    const journal = state.open();
    await journal.append(appendOf([partOfNumbers([1])]));
    await journal.append(appendOf([partOfNumbers([2])]));
    journal.writeSnapshot({
      measuredSeq: 2,
      blobs: new Map([
        ["a", "one"],
        ["b", "two"],
      ]),
    });
    journal.close();
    state.now += hourMs;
    query("UPDATE journal SET body = x'00' WHERE seq = 1 RETURNING seq");
    query("UPDATE keys SET packed = x'00' WHERE seq = 2 RETURNING seq");
    query("UPDATE ledger SET packed = x'00' WHERE metric = 'a' RETURNING metric");
    const again = state.open();
    expect([1, 2].map((n) => again.knows("flow", keyOf(n)))).toEqual([true, false]);
    expect(again.readSnapshot()).toEqual({ measuredSeq: 2, blobs: new Map() });
    expect(again.identity.createdAt).toBe(state.now);
    expect(state.warnings).toHaveLength(2);
    const reader = again.openReader();
    const rows = reader.read(1, { rows: 10, bytes: 1000 });
    reader.close();
    expect(rows.map(({ damage, text }) => [damage === undefined, text === ""])).toEqual([
      [false, true],
      [true, false],
    ]);
  });
});

describe("is not opened", () => {
  test("twice", async () => {
    const journal = state.open();
    expect(() => state.open()).toThrow(Unavailable);
    expect(() => state.open()).toThrow(
      `another process uses the state directory ${state.path}: stop it, or give this one its own state.path`,
    );
    await journal.append(appendOf([partOfNumbers([1])]));
    expect(storedNumbers(reopen(journal))).toEqual([1]);
  });

  test("by a second process, until the first is gone", async () => {
    const journal = state.open();
    expect(await openElsewhere()).toContain("another process uses the state directory");
    journal.close();
    expect(await openElsewhere()).toBe("opened");
  });

  test("when a newer program wrote it, and is left as it was", async () => {
    const journal = state.open();
    await journal.append(appendOf([partOfNumbers([1])]));
    journal.close();
    query(`UPDATE meta SET value = '${seal("2")}' WHERE name = 'schema' RETURNING name`);
    query("PRAGMA user_version = 2");
    expect(() => state.open()).toThrow("written by a newer version (schema 2, this program knows 1)");
    query("PRAGMA user_version = 1");
    expect(storedNumbers(state.open())).toEqual([1]);
  });

  test("where its directory cannot be made", () => {
    const file = join(dirname(state.path), "file");
    writeFileSync(file, "");
    expect(() => state.open({ path: join(file, "state") })).toThrow(
      "set state.path to a directory that this user may write",
    );
  });
});

test("keeps what it holds from other users: 0700 and 0600", async () => {
  const journal = state.open();
  await journal.append(appendOf([partOfNumbers([1])]));
  journal.openReader().close();
  expect(statSync(state.path).mode & 0o777).toBe(0o700);
  const modes = readdirSync(state.path).map((name) => [
    name,
    (statSync(join(state.path, name)).mode & 0o777).toString(8),
  ]);
  expect(modes.toSorted()).toEqual([
    ["journal.db", "600"],
    ["journal.db-shm", "600"],
    ["journal.db-wal", "600"],
    ["lock.db", "600"],
    ["lock.db-journal", "600"],
  ]);
});

test("leaves nothing behind when it is to live in memory", async () => {
  const journal = state.open({ path: ":memory:" });
  await journal.append(appendOf([partOfNumbers([1])]));
  expect(storedNumbers(journal)).toEqual([1]);
  const directory = dirname(journal.databasePath);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  expect(existsSync(join(directory, "journal.db"))).toBe(true);
  journal.close();
  expect(existsSync(directory)).toBe(false);
});

test("two journals in memory know nothing of each other", async () => {
  const [one, other] = [state.open({ path: ":memory:" }), state.open({ path: ":memory:" })];
  await one.append(appendOf([partOfNumbers([1])]));
  expect(other.knows("flow", keyOf(1))).toBe(false);
});

/** What a process of its own says about opening the journal. */
async function openElsewhere(): Promise<string> {
  const entry = new URL("./open-entry.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, entry, state.path], { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  await child.exited;
  return text.trim();
}
