import { expect, test } from "bun:test";
import fc from "fast-check";
import { bytesPattern, formatBytes, parseBytes } from "../../src/lib/bytes.ts";

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
  "%j is none",
  (text) => {
    expect(parseBytes(text)).toBeUndefined();
  },
);

test("the shortest exact text is written, and read back", () => {
  expect(formatBytes(64 * 1024 * 1024)).toBe("64MiB");
  expect(formatBytes(1025)).toBe("1025");
  expect(formatBytes(0)).toBe("0");
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => expect(parseBytes(formatBytes(bytes))).toBe(bytes)));
});
