/** The contract of every journal about further destinations. Called like `journalContract`. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { DestinationRule, Journal, LogCursor, NewMark } from "../../src/journal/index.ts";
import { startOfJournal } from "../../src/journal/index.ts";
import type { RecordType } from "../../src/records/types.ts";
import {
  appendOf,
  cursorAt,
  finishAll,
  hourMs,
  markOn,
  mebibyte,
  partOf,
  rowsIn,
  settle,
  type TestState,
} from "./support.ts";

const all: readonly RecordType[] = ["flow", "audit", "webhook"];
const noise = (length: number): string => randomBytes(length / 2).toString("hex");
const finish = async (journal: Journal): Promise<void> => {
  await finishAll(journal);
  for (let call = 0; call < 20; call++) await journal.maintain();
};
const noMove = (): void => undefined;

function rule(name: string, more: Partial<DestinationRule> = {}): DestinationRule {
  return { name, types: all, isRequired: true, ...more };
}

export function destinationsContract(create: () => TestState): void {
  let state: TestState;
  beforeEach(() => {
    state = create();
  });
  afterEach(() => state.remove());

  let last = 0;
  const append = async (journal: Journal, type: RecordType, records: number, bytes = 0): Promise<void> => {
    const numbers = Array.from({ length: records }, () => ++last);
    await journal.append(appendOf([partOf(numbers, { type, padding: noise(bytes) })]), noMove);
  };
  const accountOf = (journal: Journal, name: string) => {
    const found = journal.destinations.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no destination ${name}`);
    const { delivered, deadLettered } = found.cursor.records;
    expect(found.accepted).toBe(delivered + found.pending + deadLettered + found.evicted);
    return { accepted: found.accepted, delivered, deadLettered, pending: found.pending, evicted: found.evicted };
  };
  const report = async (
    journal: Journal,
    name: string,
    cursor: LogCursor,
    marks: readonly NewMark[] = [],
  ): Promise<void> => {
    journal.progress({ cursor, marks }, name);
    await settle(journal);
  };

  const seqsIn = async (journal: Journal): Promise<readonly number[]> => (await rowsIn(journal)).map(({ seq }) => seq);

  describe("a further destination", () => {
    test("begins after the last row, and counts the records of its types from there on", async () => {
      const journal = await state.open();
      await append(journal, "audit", 3);
      await journal.useDestinations([rule("lake"), rule("audits", { types: ["audit"] })], noMove);
      await append(journal, "flow", 5);
      await append(journal, "audit", 2);
      expect(journal.destinations.map(({ cursor }) => cursor.seq)).toEqual([2, 2]);
      expect(accountOf(journal, "lake")).toMatchObject({ accepted: 7, pending: 7 });
      expect(accountOf(journal, "audits")).toMatchObject({ accepted: 2, pending: 2 });
      expect(journal.pendingRecords).toBe(10);
    });

    test("keeps its position and its account over a restart, separate from all others", async () => {
      const journal = await state.open();
      const rules = [rule("lake"), rule("audits", { types: ["audit"] })];
      await journal.useDestinations(rules, noMove);
      await append(journal, "flow", 5);
      await append(journal, "audit", 2);
      await report(journal, "lake", { ...cursorAt(2, 5), seq: 2 });
      await append(journal, "audit", 1);
      const before = ["lake", "audits"].map((name) => accountOf(journal, name));
      expect(before).toEqual([
        { accepted: 8, delivered: 5, deadLettered: 0, pending: 3, evicted: 0 },
        { accepted: 3, delivered: 0, deadLettered: 0, pending: 3, evicted: 0 },
      ]);
      expect(journal.cursor).toEqual(startOfJournal);
      await journal.close();
      const again = await state.open();
      expect(["lake", "audits"].map((name) => accountOf(again, name))).toEqual(before);
      await again.useDestinations(rules, noMove);
      expect(["lake", "audits"].map((name) => accountOf(again, name))).toEqual(before);
    });

    test("retains exactly the rows that it has not received", async () => {
      const journal = await state.open({ retentionMs: 0 });
      await journal.useDestinations([rule("lake")], noMove);
      for (let n = 0; n < 4; n++) await append(journal, "flow", 1);
      journal.progress({ cursor: cursorAt(5, 4), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 4, blobs: new Map() });
      await report(journal, "lake", cursorAt(3, 2));
      state.now += 48 * hourMs;
      await finish(journal);
      const held = await seqsIn(journal);
      expect(held.slice(-2)).toEqual([3, 4]);
      expect(state.leavesByDay || held.length === 2).toBe(true);
      await report(journal, "lake", cursorAt(5, 4));
      await finish(journal);
      expect(await seqsIn(journal)).toEqual([]);
    });

    test("that is removed is returned with its account and retains nothing; if it comes back, it is new", async () => {
      const journal = await state.open({ retentionMs: 0 });
      await journal.useDestinations([rule("lake"), rule("other")], noMove);
      await append(journal, "flow", 3);
      const [removed, ...others] = await journal.useDestinations([rule("other")], noMove);
      expect(others).toEqual([]);
      expect(removed).toMatchObject({ name: "lake", pending: 3 });
      expect(journal.destinations.map(({ name }) => name)).toEqual(["other"]);
      await journal.useDestinations([rule("lake")], noMove);
      expect(accountOf(journal, "lake")).toMatchObject({ accepted: 0, pending: 0 });
      journal.progress({ cursor: cursorAt(2, 3), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 1, blobs: new Map() });
      state.now += 48 * hourMs;
      await finish(journal);
      expect(await seqsIn(journal)).toEqual([]);
    });

    test("of the last run retains its rows even before it is configured again", async () => {
      const journal = await state.open({ retentionMs: 0 });
      await journal.useDestinations([rule("lake")], noMove);
      await append(journal, "flow", 3);
      journal.progress({ cursor: cursorAt(2, 3), marks: [] });
      await journal.writeSnapshot({ measuredSeq: 1, blobs: new Map() });
      await journal.close();
      state.now += 48 * hourMs;
      const again = await state.open({ retentionMs: 0 });
      await finish(again);
      expect(await seqsIn(again)).toHaveLength(1);
    });

    test("with changed types recounts what is before its position", async () => {
      const journal = await state.open();
      await journal.useDestinations([rule("lake", { types: ["audit"] })], noMove);
      await append(journal, "audit", 2);
      await append(journal, "flow", 5);
      await append(journal, "audit", 4);
      await report(journal, "lake", { ...cursorAt(3, 3), record: 1 });
      expect(accountOf(journal, "lake")).toMatchObject({ accepted: 6, delivered: 3, pending: 3 });
      await journal.useDestinations([rule("lake", { types: ["flow", "audit"] })], noMove);
      expect(accountOf(journal, "lake")).toMatchObject({ accepted: 6, delivered: 3, pending: 3 });
      await journal.useDestinations([rule("lake", { types: ["flow"] })], noMove);
      expect(accountOf(journal, "lake")).toMatchObject({ accepted: 3, delivered: 3, pending: 0 });
      await append(journal, "flow", 7);
      expect(accountOf(journal, "lake")).toMatchObject({ accepted: 10, pending: 7 });
    });

    test("begins its counts anew with the series, but pending records stay pending, even if reports still count from before", async () => {
      const journal = await state.open();
      await journal.useDestinations([rule("lake")], noMove);
      await append(journal, "flow", 4);
      await report(journal, "lake", { ...cursorAt(1, 3), record: 3 });
      await journal.beginSeriesAnew(777);
      expect(journal.destinations[0]?.since).toBe(777);
      expect(accountOf(journal, "lake")).toMatchObject({ delivered: 3, pending: 1, accepted: 4 });
      await append(journal, "flow", 2);
      await report(journal, "lake", cursorAt(3, 6));
      expect(accountOf(journal, "lake")).toMatchObject({ delivered: 6, pending: 0, accepted: 6 });
    });

    test("has its own dead letters, replay and retry", async () => {
      const journal = await state.open();
      await journal.useDestinations([rule("lake", { types: ["flow"] })], noMove);
      await append(journal, "audit", 2);
      await append(journal, "flow", 3);
      journal.progress({ cursor: cursorAt(2, 1, 1), marks: [markOn(1)] });
      await report(journal, "lake", cursorAt(3, 2, 1), [markOn(2)]);
      const items = async (destination: string) =>
        (await journal.quarantine.page({ destination }, { limit: 9 })).map(({ seq, destination: of }) => [seq, of]);
      expect(await items("primary")).toEqual([[1, undefined]]);
      expect(await items("lake")).toEqual([[2, "lake"]]);
      const retry = await journal.planRetry({ destination: "lake" }, 5);
      expect(retry).toMatchObject({ destination: "lake", total: 1 });
      await journal.beginRedelivery(retry);
      expect(await journal.planRetry({}, 6)).toMatchObject({ total: 1, cursor: { seq: 1 } });
      const replay = await journal.planReplay({ since: 0, until: state.now }, 7, "lake");
      expect(replay).toMatchObject({ destination: "lake", total: 3, untilSeq: 3 });
      await journal.beginRedelivery(replay);
      expect(journal.redelivery("replay")).toBeUndefined();
      expect(journal.redelivery("replay", "lake")).toEqual(replay);
      const taken = {
        name: "retry",
        destination: "lake",
        id: 5,
        cursor: cursorAt(3, 1),
        taken: [2],
        isOver: true,
      } as const;
      journal.progress({ redelivered: [taken] }, "lake");
      await settle(journal);
      expect(await items("lake")).toEqual([]);
      expect(await items("primary")).toHaveLength(1);
      expect(await journal.cancelRedelivery("replay", "primary")).toBe(false);
      expect(await journal.cancelRedelivery("replay", "lake")).toBe(true);
    });
  });

  describe("a journal that a further destination fills", () => {
    /** Appends rows that the primary destination gets at once. Returns true if an append was refused within that many rows. */
    async function isFull(journal: Journal, rows: number): Promise<boolean> {
      for (let row = 0; row < rows; row++) {
        const isRefused = await append(journal, "flow", 1, 400_000).then(
          () => false,
          () => true,
        );
        if (isRefused) return true;
        const cursor = cursorAt(journal.lastSeq + 1, journal.lastSeq);
        journal.progress({ cursor, marks: [] });
        if (journal.destinations.length > 1) journal.progress({ cursor, marks: [] }, "other");
        await journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map() });
        await journal.maintain();
      }
      return false;
    }

    test("refuses appends if that destination is required", async () => {
      const journal = await state.open({ maxBytes: 32 * mebibyte });
      await journal.useDestinations([rule("lake")], noMove);
      expect(await isFull(journal, 200)).toBe(true);
      expect(journal.space.refusal).toEndWith("; the destination lake is furthest behind");
      const { pending } = accountOf(journal, "lake");
      await report(journal, "lake", cursorAt(journal.lastSeq + 1, pending));
      await finish(journal);
      expect(journal.space.refusal).toBeUndefined();
    });

    test("evicts the oldest records of one that is not required, and reports its new position", async () => {
      const moved: LogCursor[] = [];
      const journal = await state.open({ maxBytes: 32 * mebibyte });
      await journal.useDestinations([rule("lake", { isRequired: false }), rule("other")], (name, cursor) => {
        expect(name).toBe("lake");
        moved.push(cursor);
      });
      expect(await isFull(journal, 200)).toBe(false);
      const account = accountOf(journal, "lake");
      expect(account).toMatchObject({ accepted: 200, delivered: 0 });
      expect(account.evicted).toBeGreaterThan(100);
      expect(account.pending).toBeGreaterThan(10);
      expect(accountOf(journal, "other")).toMatchObject({ delivered: 200, evicted: 0 });
      expect(moved.at(-1)).toEqual({ ...startOfJournal, seq: account.evicted + 1 });
      await journal.close();
      const again = await state.open({ maxBytes: 32 * mebibyte });
      expect(accountOf(again, "lake")).toEqual(account);
      await again.useDestinations([rule("lake", { isRequired: false })], noMove);
      await report(again, "lake", cursorAt(201, account.pending));
      expect(accountOf(again, "lake")).toMatchObject({ delivered: account.pending, pending: 0 });
    });
  });
}
