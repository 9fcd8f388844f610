/** What was set aside can be paged through, counted by class, and deleted. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Quarantine } from "../../src/journal/quarantine.ts";
import { QuarantineItems } from "../../src/journal/quarantine-items.ts";
import { prepareDatabase } from "../../src/journal/schema.ts";
import { mebibyte } from "../support/journal.ts";
import { itemOf } from "../support/kept-state.ts";

let directory: string;
let database: DatabaseSync;
let quarantine: Quarantine;
let items: QuarantineItems;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "quarantine-items-"));
  database = new DatabaseSync(join(directory, "journal.db"));
  prepareDatabase(database, { durability: "normal", maxBytes: 512 * mebibyte, createdAt: 1 });
  quarantine = new Quarantine(database);
  items = new QuarantineItems(database, quarantine);
});
afterEach(() => {
  database.close();
  rmSync(directory, { recursive: true });
});

/** Items 1 to 6, of all classes. */
function fill(): void {
  quarantine.add(itemOf({ class: "invalid", reason: "decode_error", at: 10 }));
  quarantine.add(itemOf({ class: "invalid", reason: "decode_error", type: "audit", at: 20 }));
  quarantine.add(itemOf({ class: "invalid", reason: "negative_counters", at: 30 }));
  quarantine.add(itemOf({ class: "sample", reason: "unclassified", type: "unknown", at: 40 }));
  quarantine.add(itemOf({ class: "note", reason: "partial_success", at: 50 }));
  quarantine.add(itemOf({ class: "dead_letter", reason: "rejected", at: 60 }));
}

const idsOf = (found: readonly { id: number }[]) => found.map(({ id }) => id);

test("pages go from the newest to the oldest, and leave out what the filter does not match", () => {
  fill();
  expect(idsOf(items.page({}, { limit: 4 }))).toEqual([6, 5, 4, 3]);
  expect(idsOf(items.page({}, { limit: 4, beforeId: 3 }))).toEqual([2, 1]);
  expect(idsOf(items.page({ class: "invalid" }, { limit: 10 }))).toEqual([3, 2, 1]);
  expect(idsOf(items.page({ class: "invalid", reason: "decode_error", type: "flow" }, { limit: 10 }))).toEqual([1]);
  expect(idsOf(items.page({ before: 30 }, { limit: 10 }))).toEqual([2, 1]);
  expect(items.idsAfter({ class: "invalid" }, 1, 1)).toEqual([2]);
});

test("counts are by class and reason, of what the filter matches", () => {
  fill();
  expect(items.counts({})).toEqual([
    { class: "dead_letter", reason: "rejected", items: 1 },
    { class: "invalid", reason: "decode_error", items: 2 },
    { class: "invalid", reason: "negative_counters", items: 1 },
    { class: "note", reason: "partial_success", items: 1 },
    { class: "sample", reason: "unclassified", items: 1 },
  ]);
  expect(items.counts({ type: "audit" })).toEqual([{ class: "invalid", reason: "decode_error", items: 1 }]);
});

test("an item has its text, and says whether that was cut", () => {
  quarantine.add(itemOf({ class: "invalid", text: "short" }));
  quarantine.add(itemOf({ class: "invalid", text: "x".repeat(70_000) }));
  quarantine.add(itemOf({ class: "dead_letter", text: "x".repeat(70_000) }));
  expect(items.read(1)).toEqual({ ...itemOf({ class: "invalid" }), id: 1, text: "short", isCut: false });
  expect(items.read(2)).toMatchObject({ isCut: true });
  expect(items.read(3)).toMatchObject({ isCut: false });
  expect(items.read(3)?.text?.length).toBe(70_000);
  expect(items.read(4)).toBeUndefined();
});

test("a damaged text is none, and its item can be deleted", () => {
  fill();
  database.exec("UPDATE quarantine SET text = x'00' WHERE id = 2");
  expect(items.read(2)).toMatchObject({ text: undefined });
  expect(items.remove([2])).toBe(1);
});

test("deleting says how many were there", () => {
  fill();
  expect(items.remove([1, 2, 77])).toBe(2);
  expect(items.remove([1])).toBe(0);
  expect(idsOf(items.page({}, { limit: 10 }))).toEqual([6, 5, 4, 3]);
});
