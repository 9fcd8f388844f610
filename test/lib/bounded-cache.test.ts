/** A memo that cannot grow without end. */
import { expect, test } from "bun:test";
import { BoundedCache } from "../../src/lib/bounded-cache.ts";

test("computes once while a key stays", () => {
  let computed = 0;
  const cache = new BoundedCache<string, { readonly key: string }>(2, (key) => {
    computed++;
    return { key };
  });
  const first = cache.get("a");
  expect(cache.get("a")).toBe(first);
  expect(computed).toBe(1);
});

test("starts anew when it is full", () => {
  let computed = 0;
  const cache = new BoundedCache<number, number>(2, (key) => {
    computed++;
    return key * 2;
  });
  expect([cache.get(1), cache.get(2)]).toEqual([2, 4]);
  expect(cache.resets).toBe(0);
  expect(cache.get(3)).toBe(6);
  expect(cache.resets).toBe(1);
  expect(cache.get(1)).toBe(2);
  expect(computed).toBe(4);
});
