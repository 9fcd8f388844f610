/** Tests that tables filled from the network stay within their limits, and find everything they contain. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { noNumber, NumberTable, PackedTable, TextTable } from "../../src/processors/tables.ts";
import { freedBy } from "../support/freed.ts";
import { seeded } from "../support/random.ts";

const word = fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 0xffff_ffff }));
const keys = fc.uniqueArray(fc.tuple(word, word), { maxLength: 200, selector: ([a, b]) => `${a} ${b}` });

test("numbers are found under their own keys only", () => {
  fc.assert(
    fc.property(keys, ([absent = [7, 7], ...held]) => {
      const table = new NumberTable(128);
      const added = held.filter(([a, b], number) => table.add(a, b, number));
      expect(table.size).toBe(added.length);
      expect(table.size).toBeLessThanOrEqual(128);
      held.forEach((key, number) => {
        expect(table.find(key[0], key[1])).toBe(added.includes(key) ? number : noNumber);
      });
      expect(table.find(absent[0], absent[1])).toBe(noNumber);
      table.clear();
      for (const [a, b] of held) expect(table.find(a, b)).toBe(noNumber);
    }),
    seeded(),
  );
});

test("a key is refused only if almost all of the room is used", () => {
  const table = new NumberTable(8000);
  let added = 0;
  for (let key = 0; key < 20_000; key++) if (table.add(key, key * 3, key)) added++;
  expect(added).toBe(table.size);
  expect(added).toBeGreaterThan(7900);
  expect(added).toBeLessThanOrEqual(8000);
});

test("texts are numbered in order of arrival until there is no room", () => {
  const table = new TextTable(1000);
  const texts = Array.from({ length: 1200 }, (_, place) => `node-${place}`);
  const numbers = texts.map((text) => table.numberOf(text));
  const held = numbers.filter((number) => number !== noNumber);
  expect(held).toEqual(held.map((_, place) => place));
  expect(held.length).toBeGreaterThan(950);
  expect(texts.map((text) => table.numberOf(text))).toEqual(numbers);
  table.clear();
  expect(table.size).toBe(0);
  expect(table.numberOf("node-1199")).toBe(0);
});

test("long texts that differ only at their end are distinguished", () => {
  const table = new TextTable(1000);
  const numbers = Array.from({ length: 500 }, (_, place) => table.numberOf(`${"a".repeat(1000)}${place}`));
  expect(numbers).toEqual(numbers.map((_, place) => place));
});

test("a packed table finds what a map finds, whatever the bits beside the key", () => {
  const keyMask = ~0xff;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 255 }))),
      (steps) => {
        const table = new PackedTable(20, keyMask);
        const model = new Map<string, number>();
        for (const [a, key, rest] of steps) {
          const name = `${a} ${key}`;
          const packed = (key << 8) | rest;
          expect(table.find(a, packed)).toBe(model.get(name) ?? 0);
          if (model.has(name)) continue;
          const hasRoom = model.size < 20;
          expect(table.add(a, packed)).toBe(hasRoom);
          if (hasRoom) model.set(name, packed);
          expect(table.size).toBe(model.size);
        }
        table.clear();
        for (const [a, key] of steps) expect(table.find(a, key << 8)).toBe(0);
      },
    ),
    seeded(),
  );
});

test("a packed table keeps its content while it grows, and distinguishes colliding keys that share a word", () => {
  const side = 223;
  const table = new PackedTable(side * side, ~0xff);
  const pairs = Array.from({ length: side * side }, (_, at) => [at % side, (Math.floor(at / side) + 1) << 8] as const);
  const held = pairs.filter(([a, key]) => table.add(a, key | (a & 0xff)));
  expect(held.length).toBeGreaterThan(pairs.length - 500);
  for (const [a, key] of held) expect(table.find(a, key)).toBe(key | (a & 0xff));
  for (const [a, key] of pairs) expect(table.find(a + side, key)).toBe(0);
});

test("a table frees each array that it outgrows, and its last one when it is freed", async () => {
  const numbers = new NumberTable(4_000);
  const packed = new PackedTable(4_000, ~0xff);
  const outgrown = [256, 512, 1024, 2048, 4096];
  const freed = await freedBy(() => {
    for (let key = 0; key < 2_000; key++) numbers.add(key, key, key);
  });
  expect(freed).toEqual(outgrown.map((slots) => slots * 12));
  const freedPacked = await freedBy(() => {
    for (let key = 1; key <= 2_000; key++) packed.add(key, key << 8);
    packed.free();
  });
  expect(freedPacked).toEqual([...outgrown, 8192].map((slots) => slots * 8));
});
