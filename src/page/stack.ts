/** Series laid on top of each other, those above zero and those below it apart. */

export interface StackedSeries {
  readonly values: readonly (number | null)[];
  /** `below`: drawn downwards from zero, as what is received beside what is sent. */
  readonly side?: "above" | "below";
}

/** Two series between which is filled, by their number; the first is further from zero. */
export type StackedBand = readonly [outer: number, inner: number];

/** The heights at which each series is drawn. Hidden ones are left out of the sum, and are drawn nowhere. */
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

/** A series is filled down to the one before it on its side that is not hidden; the first one down to zero. */
export function bandsOf(series: readonly StackedSeries[], isHidden: (index: number) => boolean): StackedBand[] {
  const last: { above?: number; below?: number } = {};
  return series.flatMap(({ side = "above" }, index): StackedBand[] => {
    if (isHidden(index)) return [];
    const inner = last[side];
    last[side] = index;
    return inner === undefined ? [] : [[index, inner]];
  });
}

/** The indices of values that have none beside them, through which no line can be drawn. */
export function alone(values: ArrayLike<number | null | undefined>): number[] {
  const isGap = (at: number): boolean => typeof values[at] !== "number";
  return Array.from(values, (_, at) => at).filter((at) => !isGap(at) && isGap(at - 1) && isGap(at + 1));
}
