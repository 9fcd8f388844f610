/** What is left out of a row comes back as it was written, and nonsense is refused. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeLeftOut, encodeLeftOut, keepsAll } from "../../src/records/left-out.ts";
import { seeded } from "../support/random.ts";

const entries = fc
  .uniqueArray(fc.oneof(fc.nat(300), fc.nat(2_000_000)), { maxLength: 40 })
  .map((list) => list.sort((a, b) => a - b));
const kept = fc.array(fc.oneof(fc.constant(keepsAll), fc.nat(20_000)), { maxLength: 20 });

describe("what is left out of a row", () => {
  test("comes back", () => {
    fc.assert(
      fc.property(entries, fc.option(kept, { nil: undefined }), (list, limits) => {
        const bytes = encodeLeftOut({ entries: list, kept: limits && Uint32Array.from(limits) });
        const hasLimits = limits?.some((count) => count !== keepsAll) ?? false;
        if (list.length === 0 && !hasLimits) {
          expect(bytes).toBeUndefined();
          return;
        }
        const decoded = decodeLeftOut(bytes as Uint8Array);
        expect([...decoded.entries]).toEqual(list);
        expect(decoded.kept && [...decoded.kept]).toEqual(hasLimits ? limits : undefined);
      }),
      seeded(500),
    );
  });

  test("takes a byte an entry where they stand close", () => {
    expect(
      encodeLeftOut({ entries: Uint32Array.from({ length: 1000 }, (_, place) => place * 2) })?.length,
    ).toBeLessThan(1010);
  });

  test("must ascend", () => {
    expect(() => encodeLeftOut({ entries: [3, 3] })).toThrow(RangeError);
  });

  test.each([
    ["nothing", []],
    ["another format", [2, 0, 0]],
    ["a count past its end", [1, 200, 200, 200, 1]],
    ["a number of six bytes", [1, 1, 255, 255, 255, 255, 255, 0, 0]],
    ["a number past 32 bits", [1, 1, 255, 255, 255, 255, 127, 0]],
    ["numbers that add up past 32 bits", [1, 2, 254, 255, 255, 255, 15, 5, 0]],
    ["a torn number", [1, 1, 128]],
    ["no count of records", [1, 1, 5]],
    ["bytes behind its end", [1, 1, 5, 0, 0]],
  ])("is not %s", (_, bytes) => {
    expect(() => decodeLeftOut(Uint8Array.from(bytes))).toThrow(RangeError);
  });

  test("is refused or read, whatever the bytes, and never makes more numbers than bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (noise) => {
        const bytes = Uint8Array.from([1, ...noise]);
        try {
          const decoded = decodeLeftOut(bytes);
          expect(decoded.entries.length + (decoded.kept?.length ?? 0)).toBeLessThan(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      seeded(2000),
    );
  });
});
