/** Tests RFC 3339 times: to the nanosecond, with offsets, and undefined for anything else. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { hrTimeOfMillis, millisOfHrTime, representable } from "../../src/lib/clock.ts";
import { formatRfc3339, parseRfc3339, zeroTime } from "../../src/lib/rfc3339.ts";
import { seeded } from "../support/random.ts";

const seconds = Date.UTC(2026, 10, 2, 9, 15, 7) / 1000;

describe("reads", () => {
  test.each([
    ["2026-11-02T09:15:07Z", [seconds, 0]],
    ["2026-11-02T09:15:07.204000111Z", [seconds, 204_000_111]],
    ["2026-11-02T09:15:07.5Z", [seconds, 500_000_000]],
    ["2026-11-02T09:15:07.000000001Z", [seconds, 1]],
    ["2026-11-02T09:15:07.1234567899Z", [seconds, 123_456_789]],
    ["2026-11-02t09:15:07z", [seconds, 0]],
    ["2026-11-02 09:15:07Z", [seconds, 0]],
    ["2026-11-02T11:15:07+02:00", [seconds, 0]],
    ["2026-11-02T03:45:07.25-05:30", [seconds, 250_000_000]],
    ["2026-11-02T09:15:07-00:00", [seconds, 0]],
    ["1970-01-01T00:00:00Z", [0, 0]],
    ["1969-12-31T23:59:59.9Z", [-1, 900_000_000]],
    ["2016-12-31T23:59:60Z", [Date.UTC(2017, 0, 1) / 1000, 0]],
    ["2024-02-29T00:00:00Z", [Date.UTC(2024, 1, 29) / 1000, 0]],
    ["2000-02-29T00:00:00Z", [Date.UTC(2000, 1, 29) / 1000, 0]],
    [zeroTime, [-62_135_596_800, 0]],
    ["0000-01-01T00:00:00Z", [-62_167_219_200, 0]],
    ["9999-12-31T23:59:59Z", [253_402_300_799, 0]],
  ] satisfies [string, [number, number]][])("%s", (text, time) => {
    expect(parseRfc3339(text)).toEqual(time);
  });
});

describe("finds no time in", () => {
  test.each([
    "",
    "now",
    "2026-11-02",
    "2026-11-02T09:15:07",
    "2026-11-02T09:15Z",
    "2026-11-02T09:15:07.Z",
    "2026-11-02T09:15:07,5Z",
    "2026-11-02_09:15:07Z",
    "2026/11/02T09:15:07Z",
    "2026-11-02T09.15.07Z",
    "2026-11-02T09:15:07Z ",
    " 2026-11-02T09:15:07Z",
    "2026-11-02T09:15:07ZZ",
    "2026-11-02T09:15:07+02",
    "2026-11-02T09:15:07+0200",
    "2026-11-02T09:15:07+24:00",
    "2026-11-02T09:15:07+02:60",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-11-00T00:00:00Z",
    "2026-11-31T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2026-11-02T24:00:00Z",
    "2026-11-02T09:60:00Z",
    "2026-11-02T09:15:61Z",
    "-026-11-02T09:15:07Z",
    "２０２６-11-02T09:15:07Z",
    "2026-11-02T09:15:07\u0000Z",
    "9999-12-31T23:59:59-00:01",
    "0000-01-01T00:00:00+00:01",
  ])("%j", (text) => {
    expect(parseRfc3339(text)).toBeUndefined();
  });
});

describe("writes", () => {
  test.each([
    [[seconds, 0], "2026-11-02T09:15:07Z"],
    [[seconds, 204_000_111], "2026-11-02T09:15:07.204000111Z"],
    [[seconds, 500_000_000], "2026-11-02T09:15:07.5Z"],
    [[-62_135_596_800, 0], zeroTime],
  ] satisfies [[number, number], string][])("%p", (time, text) => {
    expect(formatRfc3339(time)).toBe(text);
  });

  test("what it reads back as the same instant, over the whole range", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -62_167_219_200, max: 253_402_300_799 }),
        fc.nat(999_999_999),
        (whole, nanoseconds) => {
          expect(parseRfc3339(formatRfc3339([whole, nanoseconds]))).toEqual([whole, nanoseconds]);
        },
      ),
      seeded(1000),
    );
  });
});

test("reads every day as the platform's calendar does", () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date("0000-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true }),
      (date) => {
        const [whole, nanoseconds] = parseRfc3339(date.toISOString()) ?? [Number.NaN, 0];
        expect(whole * 1000 + nanoseconds / 1e6).toBe(date.getTime());
      },
    ),
    seeded(1000),
  );
});

describe("the clock's times", () => {
  test.each([
    [0, [0, 0]],
    [1500, [1, 500_000_000]],
    [0.0015, [0, 2_000]],
    [999.9999, [1, 0]],
    [-1, [-1, 999_000_000]],
  ] satisfies [number, [number, number]][])("%p ms", (millis, time) => {
    expect(hrTimeOfMillis(millis)).toEqual(time);
  });

  test("are converted back to milliseconds", () => {
    expect(millisOfHrTime([1_793_610_907, 204_000_000])).toBe(1_793_610_907_204);
  });

  test("can be represented in nanoseconds from 1970 to 2262", () => {
    expect(
      [
        [-1, 999_999_999],
        [0, 0],
        [9_223_372_035, 0],
        [9_223_372_036, 0],
      ].map((time) => representable(time as [number, number]) !== undefined),
    ).toEqual([false, true, true, false]);
  });
});
