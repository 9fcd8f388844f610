/** The geometry of the flow picture: how thick each branch is and where it runs. A branch stays visible even at a millionth of another. */

export interface Branch {
  readonly name: string;
  readonly amount: number;
}

/** Three columns: the source, what it splits into, and what the first of those splits into. */
export interface Flow {
  readonly source: Branch;
  /** They add up to the source. The first one flows on into `second`. */
  readonly first: readonly Branch[];
  /** Flows into the first one in addition to the source; omitted if zero. */
  readonly extra: Branch;
  readonly second: readonly Branch[];
}

export interface Bar extends Branch {
  readonly x: number;
  readonly y: number;
  readonly height: number;
  /** Center of the label; labels never overlap. */
  readonly labelY: number;
}

export interface Ribbon {
  readonly to: string;
  /** An SVG path. */
  readonly path: string;
}

export interface Picture {
  readonly height: number;
  readonly bars: readonly Bar[];
  readonly ribbons: readonly Ribbon[];
}

export const barWidth = 10;

/** Total height of the bars in a column, unless the thinnest ones need more. */
const flowHeight = 130;
const leastThickness = 3;
const labelHeight = 38;

/** Where columns begin, as fractions of the width that the labels of the last column leave; these need a similar width in any picture. */
const columns = [0, 0.5, 1] as const;
const lastLabels = 0.32;
const [minLastLabels, maxLastLabels] = [100, 190];

/** Bars and ribbons for a picture of the given width, in CSS pixels. */
export function pictureOf({ source, first, extra, second }: Flow, width: number): Picture {
  const room = width - Math.max(minLastLabels, Math.min(width * lastLabels, maxLastLabels));
  const x = columns.map((part) => Math.round(part * room)) as [number, number, number];
  const parts = thicknesses([...first, extra], flowHeight);
  const more = parts[first.length] ?? 0;
  const firstHeights = first.map((_, index) => (parts[index] ?? 0) + (index === 0 ? more : 0));
  const onward = firstHeights[0] ?? 0;
  const secondHeights = thicknesses(second, onward);
  const firstBars = column(first, firstHeights, x[1]);
  const secondBars = column(second, secondHeights, x[2]);
  const sources = more > 0 ? [source, extra] : [source];
  const sourceHeight = parts.slice(0, first.length).reduce(sum, 0);
  const sourceBars = column(sources, [sourceHeight, more], x[0]);
  const all = [sourceBars, firstBars, secondBars];
  const height = Math.max(...all.map(bottomOf));
  const bars = all.map((these) => lowered(these, (height - bottomOf(these)) / 2));
  const [left = [], middle = [], right = []] = bars;
  const [root, besides] = left;
  const trunk = middle[0];
  if (root === undefined || trunk === undefined) return { height, bars: bars.flat(), ribbons: [] };
  const intoTrunk =
    besides === undefined ? [] : [ribbon(besides, besides.height, at(trunk, trunk.height - more), more)];
  const shares = secondHeights.map((thickness) => (thickness / (secondHeights.reduce(sum, 0) || 1)) * trunk.height);
  return {
    height,
    bars: bars.flat(),
    ribbons: [
      ...fanned(root, middle, parts, parts),
      ...intoTrunk,
      ...fanned(trunk, right, shares, secondHeights),
    ].filter(({ path }) => path !== ""),
  };
}

/** Thicknesses in proportion to the amounts, with a visible minimum for non-zero branches; their total may exceed `available`. */
export function thicknesses(branches: readonly Branch[], available: number): readonly number[] {
  const amounts = branches.map(({ amount }) => (amount > 0 ? amount : 0));
  const thin = new Set<number>();
  for (;;) {
    const left = available - thin.size * leastThickness;
    const whole = amounts.reduce((total, amount, index) => total + (thin.has(index) ? 0 : amount), 0);
    const size = (amount: number): number => (whole > 0 ? (amount / whole) * left : 0);
    const found = amounts.findIndex((amount, index) => amount > 0 && !thin.has(index) && size(amount) < leastThickness);
    if (found < 0) return amounts.map((amount, index) => (thin.has(index) ? leastThickness : size(amount)));
    thin.add(found);
  }
}

/** Bars stacked vertically, each with room for its label. */
function column(branches: readonly Branch[], heights: readonly number[], x: number): readonly Bar[] {
  let top = 0;
  return branches.map((branch, index) => {
    const height = heights[index] ?? 0;
    const slot = Math.max(height, labelHeight);
    const bar = { ...branch, x, y: top + (slot - height) / 2, height, labelY: top + slot / 2 };
    top += slot + 6;
    return bar;
  });
}

function bottomOf(bars: readonly Bar[]): number {
  const last = bars.at(-1);
  return last === undefined ? 0 : last.labelY + Math.max(last.height, labelHeight) / 2;
}

function lowered(bars: readonly Bar[], by: number): readonly Bar[] {
  return bars.map((bar) => ({ ...bar, y: bar.y + by, labelY: bar.labelY + by }));
}

/** Ribbons from one bar to several, adjacent where they leave it. */
function fanned(
  from: Bar,
  to: readonly Bar[],
  leaving: readonly number[],
  arriving: readonly number[],
): readonly Ribbon[] {
  let left = from.y;
  return to.map((bar, index) => {
    const thickness = leaving[index] ?? 0;
    const made = ribbon({ ...from, y: left }, thickness, bar, arriving[index] ?? 0);
    left += thickness;
    return made;
  });
}

function at(bar: Bar, below: number): Bar {
  return { ...bar, y: bar.y + below };
}

function ribbon(from: Bar, leaving: number, to: Bar, arriving: number): Ribbon {
  if (leaving <= 0 || arriving <= 0) return { to: to.name, path: "" };
  const [x0, x1] = [from.x + barWidth, to.x];
  const middle = (x0 + x1) / 2;
  const [top, end] = [from.y, to.y];
  const curve = (fromY: number, toX: number, toY: number): string =>
    `C${pixel(middle)},${pixel(fromY)} ${pixel(middle)},${pixel(toY)} ${pixel(toX)},${pixel(toY)}`;
  const there = `M${pixel(x0)},${pixel(top)}${curve(top, x1, end)}`;
  const back = `L${pixel(x1)},${pixel(end + arriving)}${curve(end + arriving, x0, top + leaving)}Z`;
  return { to: to.name, path: there + back };
}

function pixel(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function sum(left: number, right: number): number {
  return left + right;
}
