import { expect, test } from "bun:test";
import { createQuiet } from "../../src/lib/quiet.ts";

test("each kind is said once a minute, with how often it was not", () => {
  let now = 0;
  const quiet = createQuiet<"fire" | "flood">(() => now);
  expect(quiet("fire")).toEqual({ untold: 0 });
  expect(quiet("fire")).toBeUndefined();
  expect(quiet("flood")).toEqual({ untold: 0 });
  now = 59_999;
  expect(quiet("fire")).toBeUndefined();
  now = 60_000;
  expect(quiet("fire")).toEqual({ untold: 2 });
  expect(quiet("fire")).toBeUndefined();
});

test("a clock that is set back does not silence anything", () => {
  let now = 1_000_000;
  const quiet = createQuiet<"fire">(() => now);
  quiet("fire");
  now = 0;
  expect(quiet("fire")).toEqual({ untold: 0 });
});
