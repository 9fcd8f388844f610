import { expect, test } from "bun:test";
import fc from "fast-check";
import { durationPattern, formatDuration, parseDuration } from "../../src/lib/duration.ts";

test.each([
  ["500ms", 500],
  ["30s", 30_000],
  ["5m", 300_000],
  ["24h", 86_400_000],
  ["7d", 604_800_000],
  ["1h30m", 5_400_000],
  ["0", 0],
  ["0s", 0],
  [" 1s ", 1000],
])("%j is a duration", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
  expect(text.trim()).toMatch(new RegExp(durationPattern));
});

test.each(["", "30", "s", "-1s", "1.5h", "1 s", "1w", "1S", "1s2", "99999999999999999d", "999999999999999d"])(
  "%j is none",
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test.each([
  [0, "0s"],
  [1, "1ms"],
  [90_000, "90s"],
  [3_600_000, "1h"],
  [172_800_000, "48h"],
  [604_800_000, "7d"],
])("%d ms is written %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("what is written is read back", () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 42 }), (ms) => expect(parseDuration(formatDuration(ms))).toBe(ms)));
});
