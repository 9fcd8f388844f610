/** Numbers, times and names as people read them. */
import { describe, expect, test } from "bun:test";
import { age, dateTime, frequency, inLocalTime, rate, share, time } from "../../../src/page/format.ts";

test.each([
  [0, "0 B/s"],
  [0.1234, "0.12 B/s"],
  [12.4, "12 B/s"],
  [999.4, "999 B/s"],
  [1234, "1.23 kB/s"],
  [65_200_000, "65.2 MB/s"],
])("%d bytes per second are %s", (value, text) => {
  expect(rate(value)).toBe(text);
});

test.each([
  [0, "0/s"],
  [0.004, "0.0040/s"],
  [2.55, "2.5/s"],
  [12_345.6, "12,346/s"],
])("%d per second are %s", (value, text) => {
  expect(frequency(value)).toBe(text);
});

test.each([
  [0, 0, "–"],
  [0, 10, "0%"],
  [1, 100_000, "<0.1%"],
  [1, 64, "1.6%"],
  [99_999, 100_000, ">99.9%"],
  [10, 10, "100%"],
  [9960, 10_000, "99.6%"],
  [1, 3, "33%"],
])("%d of %d is %s", (part, whole, text) => {
  expect(share(part, whole)).toBe(text);
});

test.each([
  [-5000, "0 s"],
  [400, "0 s"],
  [59_000, "59 s"],
  [60_000, "1 min"],
  [7_500_000, "2 h 5 min"],
  [3_600_000 + 59_000, "1 h"],
  [90_061_000, "1 d 1 h"],
])("%d ms are %s", (ms, text) => {
  expect(age(ms)).toBe(text);
});

describe("a time", () => {
  const now = new Date(2026, 10, 27, 12, 0, 0).getTime();

  test("of today has no date", () => {
    expect(time(now - 60_000, now)).not.toContain("2026");
    expect(time(new Date(now - 60_000).toISOString(), now)).toContain("59");
  });

  test("of another day has one", () => {
    expect(time(now - 86_400_000, now)).toContain("2026");
  });

  test("that is invalid is a dash", () => {
    expect([time("nonsense"), dateTime("nonsense"), dateTime(Number.NaN)]).toEqual(["–", "–", "–"]);
  });
});

test("times in a message of the program become local times", () => {
  const [from, until] = ["2026-11-27T06:49:38.403Z", "2026-11-27T07:00:00Z"];
  expect(inLocalTime(`failing since ${from}, until ${until}; 12:00 stays`)).toBe(
    `failing since ${time(from)}, until ${time(until)}; 12:00 stays`,
  );
});
