import { expect, test } from "bun:test";
import fc from "fast-check";
import { editDistance, nearest } from "../../src/lib/suggest.ts";

const keys = ["streaming.token", "streaming.token_previous", "streaming.path", "otlp.timeout", "state.path"];

test.each([
  ["streaming.tokn", "streaming.token"],
  ["streaming.tkoen", "streaming.token"],
  ["STREAMING.TOKEN", "streaming.token"],
  ["streaming.token_prev", "streaming.token_previous"],
  ["timeout", "otlp.timeout"],
  ["path", undefined],
  ["zzz", undefined],
  ["", undefined],
])("%j suggests %j", (word, key) => {
  expect(nearest(word, keys)).toBe(key);
});

test("a very long word costs little and suggests nothing", () => {
  expect(nearest("x".repeat(1_000_000), keys)).toBeUndefined();
});

test.each([
  ["", "abc", 3],
  ["abc", "abc", 0],
  ["abc", "acb", 1],
  ["kitten", "sitting", 3],
])("from %j to %j it is %d", (from, to, distance) => {
  expect(editDistance(from, to)).toBe(distance);
});

test("the distance is the same both ways, at least the difference in length, and at most the longer text", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(text, text, (left, right) => {
      const distance = editDistance(left, right);
      expect(distance).toBe(editDistance(right, left));
      expect(distance).toBeGreaterThanOrEqual(Math.abs(left.length - right.length));
      expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length));
      expect(distance === 0).toBe(left === right);
    }),
  );
});
