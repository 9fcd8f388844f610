import { expect, test } from "bun:test";
import fc from "fast-check";
import { seeded } from "../support/random.ts";
import {
  bytesPattern,
  durationPattern,
  formatBytes,
  formatDuration,
  parseBytes,
  parseDuration,
} from "../../src/lib/units.ts";

test.each([
  ["64MiB", 64 * 1024 * 1024],
  ["64 mib", 64 * 1024 * 1024],
  ["1GiB", 1024 ** 3],
  ["2TiB", 2 * 1024 ** 4],
  ["500kB", 500_000],
  ["1MB", 1_000_000],
  ["12", 12],
  ["12B", 12],
  ["0", 0],
  ["-1", -1],
])("%j is a size", (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
  expect(text).toMatch(new RegExp(bytesPattern));
});

test.each(["", "MiB", "64M", "64K", "1.5MiB", "1 2", "9999999999999999", "9999999TiB", "0x10", "1e3"])(
  "%j is not a size",
  (text) => {
    expect(parseBytes(text)).toBeUndefined();
  },
);

test("a size is written as the shortest exact text, and read back", () => {
  expect(formatBytes(64 * 1024 * 1024)).toBe("64MiB");
  expect(formatBytes(1025)).toBe("1025");
  expect(formatBytes(0)).toBe("0");
  fc.assert(
    fc.property(fc.maxSafeNat(), (bytes) => expect(parseBytes(formatBytes(bytes))).toBe(bytes)),
    seeded(),
  );
});

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
  "%j is not a duration",
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

test("a duration is read back as it was written", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 42 }), (ms) => expect(parseDuration(formatDuration(ms))).toBe(ms)),
    seeded(),
  );
});
