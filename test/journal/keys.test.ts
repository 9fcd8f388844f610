/** Tests the table of seen keys: nothing is lost, whatever the keys have in common. */
import { describe, expect, test } from "bun:test";
import { createRandom } from "../../src/demo/random.ts";
import { keyBits, KeyTable } from "../../src/journal/keys.ts";
import { freedBy } from "../support/freed.ts";
import { keyInWindow, keyOf } from "./support.ts";

const stream = (key: Uint32Array): Uint32Array => key.with(3, ((key[3] as number) | keyBits.stream) >>> 0);

function randomKeys(count: number): Uint32Array {
  const keys = new Uint32Array(count * 4);
  for (let at = 0; at < keys.length; at += 16_384)
    crypto.getRandomValues(keys.subarray(at, Math.min(at + 16_384, keys.length)));
  for (let at = 3; at < keys.length; at += 4) keys[at] = (((keys[at] as number) & ~0xff) | keyBits.stream) >>> 0;
  return keys;
}

describe("a table of keys", () => {
  test("behaves as a map does, through 200,000 random changes", () => {
    const random = createRandom(11);
    const table = new KeyTable();
    const held = new Map<number, { bits: number; counters: number }>();
    for (let change = 0; change < 200_000; change++) {
      const n = random.below(20_000);
      const counters = random.below(3);
      const key = Uint32Array.of(
        n % 7,
        n >>> 5,
        Math.imul(n, 0x9e3779b1) >>> 0,
        ((counters << 8) | keyBits.stream) >>> 0,
      );
      const known = held.get(n);
      if (random.chance(0.6)) {
        expect(table.heldWord(key, 0)).toBe(known === undefined ? 0 : (known.counters << 8) | known.bits);
        expect(table.add(key, 0)).toBe(known?.bits ?? 0);
        if (known === undefined) held.set(n, { bits: keyBits.stream, counters });
        else known.bits |= keyBits.rewritten;
      } else {
        table.remove(key, 0);
        if (known !== undefined && (known.bits & keyBits.rewritten) !== 0) known.bits &= ~keyBits.rewritten;
        else held.delete(n);
      }
    }
    expect(table.size).toBe(held.size);
    for (let n = 0; n < 20_000; n++) {
      const word = table.heldWord(Uint32Array.of(n % 7, n >>> 5, Math.imul(n, 0x9e3779b1) >>> 0, 0), 0);
      const known = held.get(n);
      expect(word).toBe(known === undefined ? 0 : (known.counters << 8) | known.bits);
    }
  });

  test("keeps 500,000 keys of one window apart, at the size of any others", () => {
    const count = 500_000;
    const keys = randomKeys(count);
    for (let at = 0; at < keys.length; at += 4) {
      keys[at] = 7;
      keys[at + 1] = ((9 << 16) | ((keys[at + 1] as number) & 0xffff)) >>> 0;
    }
    const table = new KeyTable();
    for (let key = 0; key < count; key++) table.add(keys, key * 4);
    expect(table.size).toBe(count);
    let known = 0;
    for (let key = 0; key < count; key++) if (table.heldWord(keys, key * 4) === keys[key * 4 + 3]) known++;
    expect(known).toBe(count);
    expect(table.byteLength / count).toBeLessThan(25);
  });

  test("takes at most 25 bytes per key, even if the room was reserved at once", () => {
    const count = 400_000;
    const keys = randomKeys(count);
    const [grown, reserved] = [new KeyTable(), new KeyTable()];
    reserved.reserve(count);
    for (let key = 0; key < count; key++) {
      grown.add(keys, key * 4);
      reserved.add(keys, key * 4);
    }
    for (const table of [grown, reserved]) {
      expect(table.size).toBe(count);
      expect(table.byteLength / count).toBeLessThan(25);
    }
  });

  test("undoes what a transaction added, newest first", () => {
    const table = new KeyTable();
    const key = stream(keyOf(1, 5));
    const poll = keyOf(1, 5).with(3, ((5 << 8) | keyBits.poll) >>> 0);
    expect(table.add(key, 0)).toBe(0);
    expect(table.add(poll, 0)).toBe(keyBits.stream);
    table.restore(poll, 0, keyBits.stream);
    expect(table.heldWord(key, 0)).toBe((5 << 8) | keyBits.stream);
    table.restore(key, 0, 0);
    expect(table.size).toBe(0);
  });

  test("detects other entries of a known window, as long as one of its keys is held", () => {
    const table = new KeyTable("with windows");
    table.add(stream(keyInWindow(0xffff_fff1, 1)), 0);
    expect(table.holdsWindow(keyInWindow(0xffff_fff1, 2), 0)).toBe(true);
    expect(table.holdsWindow(keyInWindow(0xffff_fff2, 2), 0)).toBe(false);
    table.remove(keyInWindow(0xffff_fff1, 1), 0);
    expect(table.holdsWindow(keyInWindow(0xffff_fff1, 2), 0)).toBe(false);
  });

  test("frees the sub-tables that it outgrows", async () => {
    const table = new KeyTable();
    table.reserve(100_000);
    const outgrown = table.byteLength;
    const freed = await freedBy(() => table.reserve(300_000));
    expect(freed.reduce((sum, bytes) => sum + bytes, 0)).toBe(outgrown);
    expect(table.byteLength).toBeGreaterThan(outgrown);
  });

  test("does not grow while as many keys are removed as added", () => {
    const [count, rounds] = [20_000, 10];
    const table = new KeyTable();
    const keys = randomKeys(count * rounds);
    for (let key = 0; key < count * rounds; key++) {
      table.add(keys, key * 4);
      if (key >= count) table.remove(keys, (key - count) * 4);
    }
    expect(table.size).toBe(count);
    // Sub-tables differ in the most keys they have had.
    expect(table.byteLength / count).toBeLessThan(40);
  });
});
