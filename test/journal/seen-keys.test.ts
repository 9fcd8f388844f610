/** Rows of keys come, are written again, and leave as a whole. */
import { describe, expect, test } from "bun:test";
import { sourceBits } from "../../src/journal/key-table.ts";
import { keyClasses, type KeyLimits, type KeyRow, SeenKeys, StagedKeys } from "../../src/journal/seen-keys.ts";
import type { SeenKey } from "../../src/records/identity.ts";
import { keyOf } from "../support/journal.ts";

function seenKeys(flow: Partial<KeyLimits> = {}): SeenKeys {
  const limits = { windowMs: 1000, maxKeys: 1000 };
  return new SeenKeys({ flow: { ...limits, ...flow }, audit: limits, webhook: limits, quarantined: limits });
}

const rowOf = (id: number, at: number, keys: number): KeyRow => ({ id, at, keys });
const ids = (rows: readonly KeyRow[]): number[] => rows.map(({ id }) => id);

function addRow(seen: SeenKeys, row: KeyRow, keys: readonly SeenKey[], bit = 1): KeyRow {
  seen.addRow(
    "flow",
    row,
    keys,
    keys.map(() => bit),
  );
  return row;
}

describe("rows leave", () => {
  test("when they are older than the window, to the millisecond", () => {
    const seen = seenKeys();
    addRow(seen, rowOf(1, 5000, 1), [keyOf(1)]);
    addRow(seen, rowOf(2, 6000, 1), [keyOf(2)]);
    expect(ids(seen.leaving("flow", 6000, 10))).toEqual([]);
    expect(ids(seen.leaving("flow", 6001, 10))).toEqual([1]);
    expect(ids(seen.leaving("flow", 7001, 10))).toEqual([1, 2]);
    expect(ids(seen.leaving("flow", 7001, 1))).toEqual([1]);
  });

  test("when they are old, past younger ones that stay", () => {
    const seen = seenKeys();
    addRow(seen, rowOf(1, 9000, 1), [keyOf(1)]);
    addRow(seen, rowOf(2, 5000, 1), [keyOf(2)]);
    expect(ids(seen.leaving("flow", 6001, 10))).toEqual([2]);
  });

  test("when there are too many keys, oldest first, and no more than needed", () => {
    const seen = seenKeys({ maxKeys: 5 });
    addRow(seen, rowOf(1, 5000, 3), [keyOf(1), keyOf(2), keyOf(3)]);
    addRow(seen, rowOf(2, 5000, 2), [keyOf(4), keyOf(5)]);
    expect(ids(seen.leaving("flow", 5000, 10))).toEqual([]);
    addRow(seen, rowOf(3, 5000, 1), [keyOf(6)]);
    expect(ids(seen.leaving("flow", 5000, 10))).toEqual([1]);
  });

  test("of their own class alone", () => {
    const seen = seenKeys({ maxKeys: 0 });
    addRow(seen, rowOf(1, 5000, 1), [keyOf(1)]);
    expect(keyClasses.map((keyClass) => ids(seen.leaving(keyClass, 5000, 10)))).toEqual([[1], [], [], []]);
    expect(seen.probe("audit", keyOf(1))).toBe("new");
  });

  test("and their keys are new again", () => {
    const seen = seenKeys();
    const row = addRow(seen, rowOf(1, 5000, 2), [keyOf(1), keyOf(2)]);
    addRow(seen, rowOf(2, 5000, 1), [keyOf(3)]);
    seen.removeRow("flow", row, [keyOf(1), keyOf(2)]);
    expect([1, 2, 3].map((n) => seen.probe("flow", keyOf(n)))).toEqual(["new", "new", "known"]);
    expect(seen.size("flow")).toBe(1);
    expect(ids(seen.leaving("flow", 9000, 10))).toEqual([2]);
  });
});

describe("a key that two rows hold", () => {
  test.each([
    ["the first", [0, 1]],
    ["the second", [1, 0]],
  ])("stays until both are gone, when %s leaves first", (_, order) => {
    const seen = seenKeys();
    const rows = [addRow(seen, rowOf(1, 5000, 1), [keyOf(1)], 1), addRow(seen, rowOf(2, 6000, 1), [keyOf(1)], 2)];
    expect(seen.size("flow")).toBe(1);
    seen.removeRow("flow", rows[order[0] as number] as KeyRow, [keyOf(1)]);
    expect(seen.probe("flow", keyOf(1))).toBe("known");
    seen.removeRow("flow", rows[order[1] as number] as KeyRow, [keyOf(1)]);
    expect(seen.probe("flow", keyOf(1))).toBe("new");
  });
});

describe("what a turn stages", () => {
  test("is known to the turn alone", () => {
    const seen = seenKeys();
    const staged = new StagedKeys(seen);
    staged.stage("flow", keyOf(1), sourceBits.stream);
    expect(staged.probe("flow", keyOf(1))).toBe("known");
    expect(staged.probe("flow", keyOf(1, 5))).toBe("known_counters");
    expect(staged.probe("audit", keyOf(1))).toBe("new");
    expect(seen.probe("flow", keyOf(1))).toBe("new");
  });

  test("has come from elsewhere only where this way is not among those that brought it", () => {
    const seen = seenKeys();
    addRow(seen, rowOf(1, 5000, 1), [keyOf(1)], 2);
    const staged = new StagedKeys(seen);
    staged.stage("flow", keyOf(2), sourceBits.poll);
    expect([1, 2, 3].map((n) => staged.isKnownFromElsewhere("flow", keyOf(n), "stream"))).toEqual([true, true, false]);
    expect([1, 2].map((n) => staged.isKnownFromElsewhere("flow", keyOf(n), "poll"))).toEqual([false, false]);
    staged.stage("flow", keyOf(1), sourceBits.stream);
    expect(staged.isKnownFromElsewhere("flow", keyOf(1), "stream")).toBe(false);
  });

  test("a window with other entries only where identities have windows", () => {
    const seen = seenKeys();
    const staged = new StagedKeys(seen);
    const other = { ...keyOf(1), low: 2 };
    for (const keyClass of keyClasses) staged.stage(keyClass, { ...keyOf(1), low: 1 }, sourceBits.stream);
    expect(keyClasses.map((keyClass) => staged.probe(keyClass, other))).toEqual(["new_entries", "new", "new", "new"]);
  });
});
