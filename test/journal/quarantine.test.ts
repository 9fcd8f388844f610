/** What is set aside is bounded, but for what was accepted and could not be delivered. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { unpackText } from "../../src/journal/pack.ts";
import { Quarantine } from "../../src/journal/quarantine.ts";
import { prepareDatabase } from "../../src/journal/schema.ts";
import type { QuarantineItem } from "../../src/journal/types.ts";
import { mebibyte } from "../support/journal.ts";

let directory: string;
let database: DatabaseSync;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "quarantine-test-"));
  database = new DatabaseSync(join(directory, "journal.db"));
  prepareDatabase(database, { durability: "normal", maxBytes: 512 * mebibyte, createdAt: 1 });
});
afterEach(() => {
  database.close();
  rmSync(directory, { recursive: true });
});

const item = (members: Partial<QuarantineItem>): QuarantineItem => ({
  class: "invalid",
  type: "flow",
  at: 1,
  source: "stream",
  reason: "decode_error",
  detail: "",
  text: "text",
  ...members,
});

function rows(): { class: string; detail: string; text: string }[] {
  return (
    database.prepare("SELECT class, detail, text FROM quarantine ORDER BY id").all() as {
      class: string;
      detail: string;
      text: Uint8Array;
    }[]
  ).map((row) => ({ ...row, text: unpackText(row.text) }));
}

test("a text that was never accepted is cut, one that was is kept whole", () => {
  const quarantine = new Quarantine(database);
  const text = "x".repeat(100_000);
  for (const kind of ["invalid", "sample", "note", "dead_letter"] as const) quarantine.add(item({ class: kind, text }));
  expect(rows().map((row) => [row.class, row.text.length])).toEqual([
    ["invalid", 65_536],
    ["sample", 65_536],
    ["note", 65_536],
    ["dead_letter", 100_000],
  ]);
});

test("beyond 64 MiB the oldest leave, dead letters never, also after a restart", () => {
  const text = randomBytes(48 * 1024).toString("base64");
  const first = new Quarantine(database);
  first.add(item({ class: "dead_letter", detail: "letter" }));
  for (let n = 0; n < 1000; n++) first.add(item({ detail: String(n), text }));
  expect(first.evicted).toEqual([]);
  const second = new Quarantine(database);
  for (let n = 1000; n < 1500; n++) second.add(item({ detail: String(n), text }));
  const details = rows().map(({ detail }) => detail);
  const left = 1500 + 1 - details.length;
  expect(left).toBeGreaterThan(50);
  expect(second.evicted).toEqual([{ class: "invalid", reason: item({}).reason, items: left }]);
  expect(details[0]).toBe("letter");
  expect(details.slice(1)).toEqual(Array.from({ length: details.length - 1 }, (_, n) => String(n + left)));
  const { bytes } = database.prepare("SELECT SUM(bytes) AS bytes FROM quarantine WHERE class = 'invalid'").get() as {
    bytes: number;
  };
  expect(bytes).toBeLessThanOrEqual(64 * mebibyte);
  expect(bytes).toBeGreaterThan(63 * mebibyte);
}, 20_000);
