/** Configures uPlot, with colors from the style sheet and times in the browser's locale. */
import uPlot from "uplot";
import { day, time, timeOfDay } from "./format.ts";
import { alone, bandsOf, stacked, type StackedSeries } from "./stack.ts";
import { colorValue } from "./theme.ts";

export interface ChartSeries extends StackedSeries {
  readonly title: string;
  /** A variable of `style.css`, such as `--kind-virtual`. */
  readonly color: string;
}

export interface PlotOptions {
  readonly series: readonly ChartSeries[];
  readonly height: number;
  /** Formats a value with its unit. */
  readonly show: (value: number) => string;
  /** Receives the index under the pointer and its position; undefined if the pointer has left. */
  readonly onPoint: (index: number | undefined, left: number) => void;
  /** Receives the range dragged over, in epoch milliseconds. */
  readonly onSelect?: ((since: number, until: number) => void) | undefined;
}

/** Creates a plot in `place`, at its width. The caller destroys it. */
export function createPlot(place: HTMLElement, options: PlotOptions, data: uPlot.AlignedData): uPlot {
  const { series, height, show, onPoint, onSelect } = options;
  const plot = new uPlot(
    {
      width: Math.max(place.clientWidth, 100),
      height,
      padding: [8, rightPadding, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        // All charts point at the same time.
        sync: { key: "time" },
        points: { size: 6 },
        drag: { x: onSelect !== undefined, y: false, setScale: false },
      },
      select: { show: onSelect !== undefined, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: true, range: ({ data: [at] }) => spanOf(at) },
        y: { range: (_, least, most) => rangeOf(least, most) },
      },
      axes: [xAxis, yAxisOf(show)],
      series: [{}, ...series.map(drawn)],
      hooks: {
        setCursor: [({ cursor }) => onPoint(cursor.idx ?? undefined, cursor.left ?? 0)],
        setSelect: [
          (self) => {
            const { left, width } = self.select;
            if (width < 3) return;
            onSelect?.(self.posToVal(left, "x") * 1000, self.posToVal(left + width, "x") * 1000);
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
      },
    },
    data,
    place,
  );
  return plot;
}

/** The columns that uPlot draws. */
export function columnsOf(
  at: readonly number[],
  series: readonly ChartSeries[],
  hidden: ReadonlySet<string>,
): uPlot.AlignedData {
  return [[...at], ...stacked(series, at.length, (index) => hidden.has(series[index]?.title ?? ""))];
}

/** Fills between the series that are stacked now. */
export function fillBands(plot: uPlot, series: readonly ChartSeries[], hidden: ReadonlySet<string>): void {
  plot.delBand(null);
  const isHidden = (index: number): boolean => hidden.has(series[index]?.title ?? "");
  for (const [outer, inner] of bandsOf(series, isHidden)) {
    const dir = series[outer]?.side === "below" ? 1 : -1;
    plot.addBand({ series: [outer + 1, inner + 1], dir });
  }
}

/** Pixels left and right of the plotting area. */
export const axisWidth = 72;
export const rightPadding = 26;

const font = "11px system-ui, sans-serif";

const xAxis: uPlot.Axis = {
  font,
  stroke: () => colorValue("--muted"),
  grid: { stroke: () => colorValue("--grid"), width: 1 },
  ticks: { show: false },
  size: 28,
  space: 70,
  values: (_, splits, __, ___, step) =>
    splits.map((at) => (step < 60 ? time(at * 1000) : step < 86_400 ? timeOfDay(at * 1000) : day(at * 1000))),
};

function yAxisOf(show: (value: number) => string): uPlot.Axis {
  return {
    font,
    stroke: () => colorValue("--muted"),
    grid: { stroke: () => colorValue("--grid"), width: 1 },
    ticks: { show: false },
    size: axisWidth,
    space: 32,
    values: (_, splits) => splits.map((value) => show(Math.abs(value))),
  };
}

function drawn({ title, color, side }: ChartSeries): uPlot.Series {
  return {
    label: title,
    stroke: () => colorValue(color),
    width: 1.25,
    // Points only for values that no line can pass through.
    points: { show: false, size: 5, filter: ({ data }, index) => alone(data[index] ?? []) },
    ...(side === "below" && { dash: [4, 2] }),
    fill: () => `${colorValue(color)}59`,
  };
}

/** A few values do not fill the whole width. */
const leastSpanSeconds = 300;

function spanOf(at: ArrayLike<number>): uPlot.Range.MinMax {
  const last = at[at.length - 1] ?? Date.now() / 1000;
  return [Math.min(at[0] ?? last, last - leastSpanSeconds), last];
}

/** Always includes zero; an empty chart still has a range. */
function rangeOf(least: number | null, most: number | null): uPlot.Range.MinMax {
  const [low, high] = [Math.min(0, least ?? 0), Math.max(0, most ?? 0)];
  const room = (high - low) * 0.06;
  return high === low ? [0, 1] : [low === 0 ? 0 : low - room, high === 0 ? 0 : high + room];
}
