/** Text under a bound of bytes. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { cutText } from "../../src/lib/text.ts";
import { seeded } from "../support/random.ts";

const mark = "…[truncated]";
const sizeOf = (text: string): number => Buffer.byteLength(text);

test("leaves a text alone that just fits", () => {
  expect(cutText("a".repeat(4096), 4096)).toBe("a".repeat(4096));
  expect(cutText("é".repeat(2048), 4096)).toBe("é".repeat(2048));
});

test("cuts one byte over the bound, and says so", () => {
  const cut = cutText("a".repeat(4097), 4096);
  expect(cut).toBe(`${"a".repeat(4096 - sizeOf(mark))}${mark}`);
  expect(sizeOf(cut)).toBe(4096);
});

test("never halves a character", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", minLength: 20, maxLength: 200 }),
      fc.integer({ min: 20, max: 100 }),
      (text, maxBytes) => {
        const cut = cutText(text, maxBytes);
        expect(sizeOf(cut)).toBeLessThanOrEqual(maxBytes);
        if (cut === text) return;
        const kept = cut.slice(0, -mark.length);
        expect(cut).toBe(kept + mark);
        expect(text.startsWith(kept)).toBe(true);
        expect(kept.isWellFormed()).toBe(true);
        expect(sizeOf(kept)).toBeGreaterThan(maxBytes - sizeOf(mark) - 4);
      },
    ),
    seeded(500),
  );
});
