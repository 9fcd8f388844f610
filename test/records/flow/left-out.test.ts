/** Tests that the list of what is left out of a row is read back as written, and that invalid lists are refused. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeLeftOut, encodeLeftOut, keepsAll } from "../../../src/records/flow/rows.ts";
import { seeded } from "../../support/random.ts";

const entries = fc
  .uniqueArray(fc.oneof(fc.nat(300), fc.nat(2_000_000)), { maxLength: 40 })
  .map((list) => list.sort((a, b) => a - b));
const kept = fc.array(fc.oneof(fc.constant(keepsAll), fc.nat(20_000)), { maxLength: 20 });

describe("what is left out of a row", () => {
  test("is read back as written", () => {
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

  test("takes two bytes per entry if they are close together", () => {
    expect(
      encodeLeftOut({ entries: Uint32Array.from({ length: 1000 }, (_, place) => place * 2) })?.length,
    ).toBeLessThan(2050);
  });

  test("must be in ascending order", () => {
    expect(() => encodeLeftOut({ entries: [3, 3] })).toThrow(RangeError);
  });

  test.each([
    ["nothing", ""],
    ["torn", '{"entries":[1,2'],
    ["null", "null"],
    ["no list", '{"entries":5}'],
    ["a text", '{"entries":["5"]}'],
    ["an entry twice", '{"entries":[5,0]}'],
    ["a fraction", '{"entries":[1.5]}'],
    ["numbers that add up past 32 bits", '{"entries":[4294967290,8]}'],
    ["a list of limits that is none", '{"entries":[],"kept":{}}'],
    ["less than nothing kept", '{"entries":[],"kept":[-2]}'],
  ])("is not %s", (_, text) => {
    expect(() => decodeLeftOut(new TextEncoder().encode(text))).toThrow(RangeError);
  });
});
