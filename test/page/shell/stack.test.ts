/** Stacked series in a chart. */
import { expect, test } from "bun:test";
import { alone, bandsOf, stacked, type StackedSeries } from "../../../src/page/stack.ts";

const series: readonly StackedSeries[] = [
  { values: [1, 2] },
  { values: [10, null] },
  { values: [5, 6], side: "below" },
  { values: [100], side: "above" },
  { values: [7, 8], side: "below" },
];

const none = () => false;

test("heights add up on each side of zero, and missing values are not drawn", () => {
  expect(stacked(series, 2, none)).toEqual([
    [1, 2],
    [11, null],
    [-5, -6],
    [111, null],
    [-12, -14],
  ]);
});

test("a hidden series is left out of the sum", () => {
  const isHidden = (index: number) => index === 1 || index === 2;
  expect(stacked(series, 1, isHidden)).toEqual([[1], [null], [null], [101], [-7]]);
  expect(bandsOf(series, isHidden)).toEqual([[3, 0]]);
});

test("a filled band lies between a series and the next one toward zero on its side", () => {
  expect(bandsOf(series, none)).toEqual([
    [1, 0],
    [3, 1],
    [4, 2],
  ]);
});

test("values without a neighbor are found, because no line goes through them", () => {
  expect(alone([5])).toEqual([0]);
  expect(alone([null, null, 0])).toEqual([2]);
  expect(alone([1, null, 2, null, 3, 4])).toEqual([0, 2]);
  expect(alone([1, 2, 3])).toEqual([]);
  expect(alone([])).toEqual([]);
});
