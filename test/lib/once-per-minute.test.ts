import { expect, test } from "bun:test";
import { createOncePerMinute } from "../../src/lib/logger.ts";

test("each kind is logged once a minute, with the number of suppressed lines", () => {
  let now = 0;
  const mayLog = createOncePerMinute<"fire" | "flood">(() => now);
  expect(mayLog("fire")).toEqual({ suppressed: 0 });
  expect(mayLog("fire")).toBeUndefined();
  expect(mayLog("flood")).toEqual({ suppressed: 0 });
  now = 59_999;
  expect(mayLog("fire")).toBeUndefined();
  now = 60_000;
  expect(mayLog("fire")).toEqual({ suppressed: 2 });
  expect(mayLog("fire")).toBeUndefined();
});

test("a clock that is set back suppresses nothing", () => {
  let now = 1_000_000;
  const mayLog = createOncePerMinute<"fire">(() => now);
  mayLog("fire");
  now = 0;
  expect(mayLog("fire")).toEqual({ suppressed: 0 });
});
