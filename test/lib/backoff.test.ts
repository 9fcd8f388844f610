/** Tests waits before a retry: exponential with jitter, or as a server requests. */
import { expect, test } from "bun:test";
import { backoffMs, parseRetryAfter } from "../../src/lib/backoff.ts";

test("the wait doubles up to its limit, with the upper half random", () => {
  const backoff = { firstMs: 500, maxMs: 10_000 };
  const waits = (random: () => number) => [1, 2, 3, 6, 1000].map((failures) => backoffMs(failures, backoff, random));
  expect(waits(() => 0)).toEqual([250, 500, 1000, 5000, 5000]);
  expect(waits(() => 1)).toEqual([500, 1000, 2000, 10_000, 10_000]);
});

const now = Date.UTC(2026, 10, 2, 12);
const maxMs = 300_000;

test.each([
  ["7", 7_000],
  [" 7 ", 7_000],
  ["0", 0],
  ["Mon, 02 Nov 2026 12:00:30 GMT", 30_000],
  ["Mon, 02 Nov 2026 11:00:00 GMT", 0],
  ["99999999999999999999", maxMs],
  ["Fri, 31 Dec 2027 00:00:00 GMT", maxMs],
  ["soon", undefined],
  ["-5x", undefined],
  ["", undefined],
  [null, undefined],
])("%p is %p", (header, expected) => {
  expect(parseRetryAfter(header, now, maxMs)).toBe(expected as number);
});
