/** Stacks series on top of each other, separately above and below zero. */

export interface StackedSeries {
  readonly values: readonly (number | null)[];
  /** `below`: drawn downwards from zero, like received traffic below sent. */
  readonly side?: "above" | "below";
}

/** Indexes of two series with a fill between them; the first is further from zero. */
export type StackedBand = readonly [outer: number, inner: number];

/** The height at which each series is drawn. Hidden ones are excluded from the sum and not drawn. */
export function stacked(
  series: readonly StackedSeries[],
  length: number,
  isHidden: (index: number) => boolean,
): (number | null)[][] {
  const sums = { above: new Float64Array(length), below: new Float64Array(length) };
  return series.map(({ values, side = "above" }, index) => {
    const sum = sums[side];
    const sign = side === "below" ? -1 : 1;
    return Array.from({ length }, (_, at) => {
      const value = values[at];
      if (isHidden(index) || value === undefined || value === null) return null;
      return (sum[at] = (sum[at] as number) + sign * value);
    });
  });
}

/** Fills each series down to the previous visible one on its side; the first one, filled down to zero, needs no band. */
export function bandsOf(series: readonly StackedSeries[], isHidden: (index: number) => boolean): StackedBand[] {
  const last: { above?: number; below?: number } = {};
  return series.flatMap(({ side = "above" }, index): StackedBand[] => {
    if (isHidden(index)) return [];
    const inner = last[side];
    last[side] = index;
    return inner === undefined ? [] : [[index, inner]];
  });
}

/** Indexes of values without neighbors, through which no line can be drawn. */
export function alone(values: ArrayLike<number | null | undefined>): number[] {
  const isGap = (at: number): boolean => typeof values[at] !== "number";
  return Array.from(values, (_, at) => at).filter((at) => !isGap(at) && isGap(at - 1) && isGap(at + 1));
}
