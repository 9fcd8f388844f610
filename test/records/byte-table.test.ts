/** Tests the cache of byte strings: it stays within its limits, and frees the memory it has outgrown. */
import { expect, test } from "bun:test";
import { ByteTable } from "../../src/records/byte-table.ts";
import { freedBy } from "../support/freed.ts";

const limits = { entries: 100, bytes: 100_000, bytesOfOne: 10_000 };

/** Adds a string of that many equal bytes. */
function add(table: ByteTable<number>, byte: number, length: number): void {
  const bytes = new DataView(new Uint8Array(length).fill(byte).buffer);
  table.add(table.hash(bytes, 0, length), bytes, 0, length, byte);
}

function has(table: ByteTable<number>, byte: number, length: number): boolean {
  const bytes = new DataView(new Uint8Array(length).fill(byte).buffer);
  return table.find(table.hash(bytes, 0, length), bytes, 0, length) >= 0;
}

test("frees each buffer that it outgrows", async () => {
  const table = new ByteTable<number>(limits);
  const freed = await freedBy(() => {
    for (let byte = 1; byte <= 10; byte++) add(table, byte, 10_000);
  });
  expect(freed).toEqual([16, 32, 64].map((kibibytes) => kibibytes * 1024));
  expect(table.size).toBe(10);
});

test("stores no string longer than its limit", () => {
  const table = new ByteTable<number>(limits);
  add(table, 1, 10_001);
  add(table, 2, 10_000);
  expect([has(table, 1, 10_001), has(table, 2, 10_000)]).toEqual([false, true]);
});

test.each([
  ["bytes", 10, 10_000],
  ["entries", 100, 8],
])("is emptied before it exceeds its limit of %s", (_, most, length) => {
  const table = new ByteTable<number>(limits);
  for (let byte = 1; byte <= most; byte++) add(table, byte, length);
  expect(table.size).toBe(most);
  add(table, most + 1, length);
  expect(table.size).toBe(1);
  expect([has(table, 1, length), has(table, most + 1, length)]).toEqual([false, true]);
});
