/** Tests text limited in bytes or columns, and patterns for names. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { foldLines } from "../../src/lib/fold.ts";
import { columnsOf, cutColumns, cutText, editDistance, globMatcher, nearest } from "../../src/lib/text.ts";
import { seeded } from "../support/random.ts";

const mark = "…[truncated]";
const sizeOf = (text: string): number => Buffer.byteLength(text);

test("leaves a text unchanged that just fits", () => {
  expect(cutText("a".repeat(4096), 4096)).toBe("a".repeat(4096));
  expect(cutText("é".repeat(2048), 4096)).toBe("é".repeat(2048));
});

test("cuts a text that is one byte too long, and marks it", () => {
  const cut = cutText("a".repeat(4097), 4096);
  expect(cut).toBe(`${"a".repeat(4096 - sizeOf(mark))}${mark}`);
  expect(sizeOf(cut)).toBe(4096);
});

test("never cuts a character in half", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", minLength: 20, maxLength: 200 }),
      fc.integer({ min: 20, max: 100 }),
      (text, maxBytes) => {
        const cut = cutText(text, maxBytes);
        expect(sizeOf(cut)).toBeLessThanOrEqual(maxBytes);
        if (cut === text) return;
        const kept = cut.slice(0, -mark.length);
        expect(cut).toBe(kept + mark);
        expect(text.startsWith(kept)).toBe(true);
        expect(kept.isWellFormed()).toBe(true);
        expect(sizeOf(kept)).toBeGreaterThan(maxBytes - sizeOf(mark) - 4);
      },
    ),
    seeded(500),
  );
});

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

test("a very long word is processed quickly and suggests nothing", () => {
  expect(nearest("x".repeat(1_000_000), keys)).toBeUndefined();
});

test.each([
  ["", "abc", 3],
  ["abc", "abc", 0],
  ["abc", "acb", 1],
  ["kitten", "sitting", 3],
])("from %j to %j the distance is %d", (from, to, distance) => {
  expect(editDistance(from, to)).toBe(distance);
});

test("the distance is symmetric, at least the difference in length, and at most the longer length", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(text, text, (left, right) => {
      const distance = editDistance(left, right);
      expect(distance).toBe(editDistance(right, left));
      expect(distance).toBeGreaterThanOrEqual(Math.abs(left.length - right.length));
      expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length));
      expect(distance === 0).toBe(left === right);
    }),
    seeded(),
  );
});

describe("columns of a terminal", () => {
  test.each([
    ["abc", 3],
    ["東京", 4],
    ["é", 1],
    ["e\u0301", 1],
    ["🙂", 2],
    ["", 0],
  ])("%s takes %d columns", (text, columns) => {
    expect(columnsOf(text)).toBe(columns);
  });

  test.each([
    ["abcdef", 6, "abcdef"],
    ["abcdef", 5, "abcd…"],
    ["東京都", 6, "東京都"],
    ["東京都", 5, "東京…"],
    ["東京都", 4, "東…"],
    ["abc", 1, "…"],
    ["abc", 0, ""],
    ["", 0, ""],
  ])("%s cut to %d is %s", (text, columns, cut) => {
    expect(cutColumns(text, columns)).toBe(cut);
  });
});

test.each([
  ["web", "web", true],
  ["WEB", "web", true],
  ["web", "web2", false],
  ["web*", "web2", true],
  ["*web*", "my-web-2", true],
  ["w?b", "wib", true],
  ["w?b", "wb", false],
  ["*", "", true],
  ["a*b*c", "aXbXbXc", true],
  ["a*b*c", "aXbXb", false],
  ["", "", true],
  [".*", "web", false],
])("the pattern %s against %s: %p", (pattern, text, isMatch) => {
  expect(globMatcher(pattern)(text)).toBe(isMatch);
});

describe("a line wider than the terminal", () => {
  test.each([
    ["breaks at a space", "one two three four", "one two\nthree four"],
    ["keeps its margin", "  one two three", "  one two\n  three"],
    ["goes on below its last column", "--x  one two three", "--x  one\n     two\n     three"],
    ["goes below its last column if that is far to the right", "   --long  one two", "  --long\n      one\n      two"],
    ["keeps a word that is too long", "http://long.example.com x", "http://long.example.com\nx"],
    ["does not count colors", "\u001b[1mone two\u001b[22m is", "\u001b[1mone two\u001b[22m is"],
  ])("%s", (_, text, folded) => {
    const lines = (of: string) => of.split("\n").map((line) => line.trimEnd());
    expect(lines(foldLines(text, 10))).toEqual(lines(folded));
  });

  test("is unchanged if the width is unknown", () => {
    expect(foldLines("one  two three")).toBe("one  two three");
  });
});
