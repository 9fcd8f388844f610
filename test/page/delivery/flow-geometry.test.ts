/** The flow picture: every amount is visible, nothing overlaps, and thickness is proportional to the amounts. */
import { describe, expect, test } from "bun:test";
import { type Bar, type Flow, pictureOf, thicknesses } from "../../../src/page/delivery/flow-geometry.ts";

const branches = (...amounts: number[]) => amounts.map((amount, index) => ({ name: `b${index}`, amount }));

function flow(first: number[], second: number[], extra = 0): Flow {
  const names = ["accepted", "duplicate", "skipped", "quarantined"];
  const ends = ["delivered", "pending", "dead-lettered"];
  return {
    source: { name: "received", amount: first.reduce((sum, amount) => sum + amount, 0) },
    first: first.map((amount, index) => ({ name: names[index] ?? "", amount })),
    extra: { name: "uncounted", amount: extra },
    second: second.map((amount, index) => ({ name: ends[index] ?? "", amount })),
  };
}

describe("thicknesses", () => {
  test("are proportional to the amounts and fill the space", () => {
    expect(thicknesses(branches(50, 25, 25), 100)).toEqual([50, 25, 25]);
  });

  test("are thin but visible for a branch a millionth the size of another", () => {
    const [large = 0, small, none] = thicknesses(branches(1e9, 1, 0), 100);
    expect([large, small, none]).toEqual([97, 3, 0]);
  });

  test("exceed the space rather than vanish, and tolerate invalid amounts", () => {
    expect(thicknesses(branches(1, 1, 1), 3)).toEqual([3, 3, 3].map(() => expect.any(Number)));
    expect(thicknesses(branches(1, 1, 1), 3).every((thickness) => thickness >= 1)).toBe(true);
    expect(thicknesses(branches(5, 1, 1), 2).every((thickness) => thickness > 0)).toBe(true);
    expect(thicknesses(branches(0, 0), 100)).toEqual([0, 0]);
    expect(thicknesses(branches(-5, Number.NaN, 10), 100)).toEqual([0, 0, 100]);
    expect(thicknesses([], 100)).toEqual([]);
  });
});

const cases: readonly (readonly [string, Flow])[] = [
  ["all is well", flow([1000, 0, 0, 0], [1000, 0, 0])],
  ["a branch is a millionth of another", flow([1e9, 1, 3, 2], [1e9 - 2, 1, 1])],
  ["nearly nothing was accepted", flow([1, 1e9, 0, 0], [0, 1, 0])],
  ["some are uncounted", flow([100, 5, 5, 5], [120, 20, 10], 50)],
  ["nothing has come yet", flow([0, 0, 0, 0], [0, 0, 0])],
];

describe.each(cases)("if %s", (_, given) => {
  test.each([260, 720, 2000])("at %d pixels, labels do not overlap and everything is inside", (width) => {
    const { bars, height, ribbons } = pictureOf(given, width);
    const byColumn = Map.groupBy(bars, ({ x }) => x);
    expect(byColumn.size).toBe(3);
    for (const column of byColumn.values())
      for (const [index, bar] of column.entries()) {
        const next = column[index + 1];
        if (next !== undefined) expect(next.labelY - bar.labelY).toBeGreaterThanOrEqual(38);
        expect(bar.y).toBeGreaterThanOrEqual(0);
        expect(bar.y + bar.height).toBeLessThanOrEqual(height);
        expect(bar.labelY + 19).toBeLessThanOrEqual(height);
        expect(bar.x).toBeLessThanOrEqual(width - 60);
      }
    const filled = [...given.first, ...given.second, ...(given.extra.amount > 0 ? [given.extra] : [])];
    expect(ribbons).toHaveLength(filled.filter(({ amount }) => amount > 0).length);
    expect(ribbons.map(({ path }) => path).join("")).not.toMatch(/NaN|Infinity|undefined/);
    for (const { amount, height: thickness } of bars) expect(thickness > 0).toBe(amount > 0);
  });
});

test("an inflow is as thick as the sum of its outflows", () => {
  const { bars } = pictureOf(flow([600, 200, 100, 100], [400, 100, 100]), 720);
  const height = (name: string): number => (bars.find((bar) => bar.name === name) as Bar).height;
  expect(height("received")).toBeCloseTo(
    height("accepted") + height("duplicate") + height("skipped") + height("quarantined"),
  );
  expect(height("accepted")).toBeCloseTo(height("delivered") + height("pending") + height("dead-lettered"));
  expect(height("accepted")).toBeCloseTo(3 * height("duplicate"));
});

test("the label of the last column fits, however narrow the picture", () => {
  for (const width of [260, 360, 720, 3000]) {
    const { bars } = pictureOf(flow([1, 0, 0, 0], [1, 0, 0]), width);
    const last = Math.max(...bars.map(({ x }) => x));
    expect(width - last).toBeGreaterThanOrEqual(Math.min(190, Math.max(100, width * 0.3)));
  }
});
