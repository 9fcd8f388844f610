/** `Retry-After` in both forms, within bounds. */
import { expect, test } from "bun:test";
import { parseRetryAfter } from "../../src/lib/retry-after.ts";

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
