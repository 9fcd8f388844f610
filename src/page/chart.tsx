/** A chart of values over time, with a legend that hides series, values under the pointer, and a table of the same values. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { dateTime, time } from "./format.ts";
import { Legend, type Sides, spokenText, Tip, valueText } from "./legend.tsx";
import { type ChartSeries, columnsOf, createPlot, fillBands } from "./plot.ts";
import { type Column, Table } from "./table.tsx";
import { scheme } from "./theme.ts";

export { type ChartSeries } from "./plot.ts";

export interface ChartProps {
  /** Describes the chart to screen readers. */
  readonly title: string;
  /** Epoch seconds, ascending. The array may be extended in place. */
  readonly at: readonly number[];
  readonly series: readonly ChartSeries[];
  /** Meaning of values above and below zero, such as `sent` and `received`. Series with the same title share a legend entry. */
  readonly sides?: Sides;
  readonly height?: number;
  /** Formats a value with its unit. */
  readonly show: (value: number) => string;
  /** Receives the range dragged over, in epoch milliseconds; without it, no range can be selected. */
  readonly onSelect?: (since: number, until: number) => void;
}

interface Pointed {
  readonly index: number;
  readonly left: number;
}

export function Chart({ title, at, series, sides, height = 200, show, onSelect }: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [pointed, setPointed] = useState<Pointed>();
  const [isInside, setInside] = useState(false);
  const [spoken, setSpoken] = useState<number>();
  const select = useRef(onSelect);
  select.current = onSelect;
  const names = series.map((one) => `${one.title} ${one.side}`).join("\n");

  useEffect(() => {
    if (place.current === null) return undefined;
    const onPoint = (index: number | undefined, left: number): void =>
      setPointed(index === undefined || left < 0 ? undefined : { index, left });
    const chosen = onSelect && ((since: number, until: number) => select.current?.(since, until));
    const made = createPlot(place.current, { series, height, show, onPoint, onSelect: chosen }, [[]]);
    plot.current = made;
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) made.setSize({ width: Math.max(100, Math.floor(entry.contentRect.width)), height });
    });
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [names, height]);

  // Redraws at most once per frame, and never while the page is hidden.
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      if (plot.current === null) return;
      fillBands(plot.current, series, hidden);
      plot.current.setData(columnsOf(at, series, hidden));
    });
    return () => cancelAnimationFrame(frame);
  }, [series, at, at.length, at.at(-1), hidden, height, scheme.value]);

  const toggle = (name: string): void => {
    const next = new Set(hidden);
    if (!next.delete(name)) next.add(name);
    setHidden(next);
  };
  const index = pointed?.index ?? at.length - 1;
  const when = at[index] === undefined ? "" : time(at[index] * 1000);
  const point = (key: string): void => {
    const step = steps(at.length)[key];
    if (step === undefined || plot.current === null || at.length === 0) return;
    const next = Math.min(at.length - 1, Math.max(0, index + step));
    plot.current.setCursor({ left: plot.current.valToPos(at[next] as number, "x"), top: 0 });
    setSpoken(next);
  };
  const leave = (): void => {
    setInside(false);
    setSpoken(undefined);
    plot.current?.setCursor({ left: -10, top: -10 });
  };
  const shown = { series, hidden, index, show, ...(sides && { sides }) };
  return (
    <figure class="chart">
      <div class="plot-place" onMouseEnter={() => setInside(true)} onMouseLeave={() => setInside(false)}>
        <div
          ref={place}
          class="plot"
          role="img"
          aria-label={`${title}. Arrow keys move through the values; the same values are in the table below.`}
          tabIndex={0}
          onKeyDown={(event) => {
            if (!(event.key in steps(0))) return;
            event.preventDefault();
            setInside(true);
            point(event.key);
          }}
          onBlur={leave}
        />
        {isInside && pointed !== undefined && <Tip {...shown} when={when} left={pointed.left} />}
      </div>
      <p class="unseen" role="status">
        {spoken !== undefined && spokenText(shown, time((at[spoken] ?? 0) * 1000), spoken)}
      </p>
      <figcaption>
        <span class="when">{pointed === undefined ? "Latest" : when}</span>
        <Legend {...shown} onToggle={toggle} />
      </figcaption>
      <Values title={title} at={at} series={series} {...(sides && { sides })} show={show} />
    </figure>
  );
}

/** How far each key moves the cursor. */
function steps(length: number): Readonly<Partial<Record<string, number>>> {
  return { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12, Home: -length, End: length };
}

/** Nobody reads a longer table. */
const maxRows = 60;

/** The values as a table, built only while it is open. */
function Values({ title, at, series, sides, show }: Omit<ChartProps, "height" | "onSelect">): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const step = Math.max(1, Math.ceil(at.length / maxRows));
  const rows = isOpen ? at.flatMap((_, index) => ((at.length - 1 - index) % step === 0 ? [index] : [])).reverse() : [];
  const columns: readonly Column<number>[] = [
    { title: "Time", cell: (index) => dateTime((at[index] ?? 0) * 1000) },
    ...series.map((one): Column<number> => ({
      title: sides === undefined ? one.title : `${one.title} ${sides[one.side ?? "above"]}`,
      align: "right",
      cell: (index) => valueText(one, index, show),
    })),
  ];
  return (
    <details class="values" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>Values as a table</summary>
      {isOpen && (
        <Table caption={title} columns={columns} rows={rows} keyOf={(index) => at[index] ?? 0} limit={maxRows} />
      )}
    </details>
  );
}
