/** Waits between tries, and what the log says of an outage. */
import { expect, test } from "bun:test";
import { backoffMs, Outage } from "../../src/export/backoff.ts";
import type { Logger } from "../../src/lib/logger.ts";

test("waits grow from a second to a minute, the upper half at random", () => {
  const longest = [1, 2, 3, 4, 5, 6, 7, 8, 500].map((failures) => backoffMs(failures, undefined, () => 1));
  expect(longest).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  expect(backoffMs(3, undefined, () => 0)).toBe(2_000);
});

test("a wait that was asked for is kept to, but never a hot loop", () => {
  expect(backoffMs(7, 5_000, () => 0)).toBe(5_000);
  expect(backoffMs(1, 5_000, () => 1)).toBe(5_500);
  expect(backoffMs(1, 0, () => 0)).toBe(1_000);
});

test("first failure and recovery are logged, in between a summary every five minutes", () => {
  const lines: string[] = [];
  const say = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const logger: Logger = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  let now = 0;
  const outage = new Outage("logs", { logger, clock: () => now });
  outage.recover();
  for (; now < 1_000_000; now += 10_000) outage.fail(`why at ${now}`);
  expect(outage.trouble).toEqual({ why: "why at 990000", since: 0 });
  outage.recover();
  expect(lines).toEqual([
    "warn logs cannot be delivered; trying until they are",
    "warn logs still cannot be delivered",
    "warn logs still cannot be delivered",
    "warn logs still cannot be delivered",
    "info logs are delivered again",
  ]);
  expect(outage.trouble).toBeUndefined();
});
