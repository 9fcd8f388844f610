/** The series of one metric: what they gain is in them, or in what has ended. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SeriesTable } from "../../src/ledger/series-table.ts";
import { seeded } from "../support/random.ts";

const added = fc.record({
  set: fc.constantFrom("a", "b", "c", "d"),
  direction: fc.constantFrom("transmit", "receive", undefined),
  value: fc.oneof(fc.nat(9), fc.integer({ min: 2 ** 51, max: Number.MAX_SAFE_INTEGER })),
});

const attributesOf = (set: string, direction: string | undefined): Record<string, string> => ({
  ...(direction === undefined ? {} : { "network.io.direction": direction }),
  set,
});

describe("sums", () => {
  test("stay exact past 2^53-1, retirement, overflow and a restart", () => {
    let ended = 0n;
    fc.assert(
      fc.property(
        fc.array(fc.array(added, { maxLength: 5 }), { maxLength: 10 }),
        fc.integer({ min: 1, max: 5 }),
        (folds, maxSeries) => {
          const options = { maxSeries, idleFolds: 2 };
          let table = new SeriesTable(options);
          let total = 0n;
          folds.forEach((gains, place) => {
            for (const { set, direction, value } of gains) {
              table.add(attributesOf(set, direction), value, { fold: place, startAt: place });
              total += BigInt(value);
            }
            table.retire(place);
            const again = new SeriesTable(options);
            again.restore(table.serialize());
            expect(again.view()).toEqual(table.view());
            table = again;
            const living = table.view();
            expect(living.reduce((sum, { value }) => sum + BigInt(value), table.retired)).toBe(total);
            for (const { value } of living) expect(Number.isSafeInteger(value)).toBe(true);
            expect(living.length).toBeLessThanOrEqual(maxSeries + 3);
            ended += table.retired;
          });
        },
      ),
      seeded(),
    );
    expect(ended).toBeGreaterThan(0n);
  });
});

test("what was viewed does not change by adding more", () => {
  const table = new SeriesTable({ maxSeries: 5, idleFolds: undefined });
  table.add({ set: "a" }, 1, { fold: 1, startAt: 0 });
  const view = table.view();
  table.add({ set: "a" }, 1, { fold: 2, startAt: 1 });
  expect(view).toEqual([{ attributes: { set: "a" }, value: 1, startAt: 0 }]);
});

test("a text of another version is refused", () => {
  const table = new SeriesTable({ maxSeries: 5, idleFolds: undefined });
  expect(() => table.restore('{"version":2,"retired":"0","series":[]}')).toThrow("unknown version 2");
  expect(() => table.restore("{")).toThrow();
});
