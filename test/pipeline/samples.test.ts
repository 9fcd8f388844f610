/** Of values of unknown kinds a few are kept, whatever is sent. */
import { expect, test } from "bun:test";
import { createSamples } from "../../src/pipeline/samples.ts";

test("three of a kind, told by member names and not by what they hold", () => {
  const samples = createSamples();
  const wants = ['{"a":1,"b":"x"}', '{"a":2,"b":"y\\"z"}', '{"a":-3.5e1,"b":null}', '{"a":4,"b":true}'].map((text) =>
    samples.wants(text),
  );
  expect(wants).toEqual([true, true, true, false]);
  expect(samples.wants('{"b":1,"a":1}')).toBe(true);
});

test("64 kinds and no more", () => {
  const samples = createSamples();
  const wanted = Array.from({ length: 1000 }, (_, n) => samples.wants(`{"kind${n}":1}`)).filter(Boolean);
  expect(wanted).toHaveLength(64);
  expect(samples.wants('{"kind0":2}')).toBe(true);
});

test("a text that looks like nothing is judged by its first characters alone", () => {
  const samples = createSamples();
  const long = `"${"\\".repeat(1_000_000)}`;
  expect(Array.from({ length: 4 }, () => samples.wants(long))).toEqual([true, true, true, false]);
});
