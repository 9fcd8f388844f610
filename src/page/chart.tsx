/** A chart of values over time, with a legend that hides series, values under the pointer, and the same as a table. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { dateTime, time } from "./format.ts";
import { type ChartSeries, columnsOf, createPlot, fillBands } from "./plot.ts";
import { type Column, Table } from "./table.tsx";
import { scheme } from "./theme.ts";

export { type ChartSeries } from "./plot.ts";

export interface ChartProps {
  /** What it shows, for those who cannot see it. */
  readonly title: string;
  /** Epoch seconds, ascending. The array may be the same one with more in it. */
  readonly at: readonly number[];
  readonly series: readonly ChartSeries[];
  readonly layout?: "stacked" | "lines";
  /** What it means to be above and below zero, such as `sent` and `received`. Two series of one title are one in the legend. */
  readonly sides?: Readonly<Record<"above" | "below", string>>;
  readonly height?: number;
  /** Writes a value with its unit. */
  readonly show: (value: number) => string;
  /** Epoch milliseconds of a part that was dragged over; without it, nothing can be dragged over. */
  readonly onSelect?: (since: number, until: number) => void;
}

interface Pointed {
  readonly index: number;
  readonly left: number;
}

export function Chart({
  title,
  at,
  series,
  layout = "stacked",
  sides,
  height = 200,
  show,
  onSelect,
}: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [pointed, setPointed] = useState<Pointed>();
  const select = useRef(onSelect);
  select.current = onSelect;
  const names = series.map((one) => `${one.title} ${one.side}`).join("\n");

  useEffect(() => {
    if (place.current === null) return undefined;
    const onPoint = (index: number | undefined, left: number): void =>
      setPointed(index === undefined || left < 0 ? undefined : { index, left });
    const chosen = onSelect && ((since: number, until: number) => select.current?.(since, until));
    const made = createPlot(place.current, { series, layout, height, show, onPoint, onSelect: chosen }, [[]]);
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
  }, [names, layout, height]);

  // At most once a frame, and never while the page is hidden.
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      if (plot.current === null) return;
      fillBands(plot.current, { series, layout }, hidden);
      plot.current.setData(columnsOf(at, { series, layout }, hidden));
    });
    return () => cancelAnimationFrame(frame);
  }, [series, at, at.length, at.at(-1), hidden, layout, height, scheme.value]);

  const toggle = (name: string): void => {
    const next = new Set(hidden);
    if (!next.delete(name)) next.add(name);
    setHidden(next);
  };
  const index = pointed?.index ?? at.length - 1;
  const point = (key: string): void => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -at.length, End: at.length }[key];
    if (step === undefined || plot.current === null || at.length === 0) return;
    const next = Math.min(at.length - 1, Math.max(0, index + step));
    plot.current.setCursor({ left: plot.current.valToPos(at[next] as number, "x"), top: 0 });
  };
  return (
    <figure class="chart">
      <div
        ref={place}
        class="plot"
        role="img"
        aria-label={`${title}. Arrow keys move through the values; the same values are in the table below.`}
        tabIndex={0}
        onKeyDown={(event) => {
          if (!/^(?:Arrow(?:Left|Right)|Home|End)$/.test(event.key)) return;
          event.preventDefault();
          point(event.key);
        }}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      />
      <figcaption>
        <span class="when" aria-live="off">
          {pointed === undefined || at[index] === undefined ? "Latest" : time(at[index] * 1000)}
        </span>
        <ul class="legend">
          {[...Map.groupBy(series, (one) => one.title)].map(([name, parts]) => (
            <li key={name}>
              <button type="button" aria-pressed={!hidden.has(name)} onClick={() => toggle(name)}>
                <span class="swatch" style={{ background: `var(${parts[0]?.color})` }} />
                {name}
                {parts.map((part) => (
                  <b key={part.side}>
                    {sides && <SideMark side={part.side ?? "above"} sides={sides} />}
                    {valueText(part, index, show)}
                  </b>
                ))}
              </button>
            </li>
          ))}
        </ul>
      </figcaption>
      <Values title={title} at={at} series={series} {...(sides && { sides })} show={show} />
    </figure>
  );
}

function SideMark({
  side,
  sides,
}: { readonly side: "above" | "below" } & Required<Pick<ChartProps, "sides">>): JSX.Element {
  return (
    <>
      <span aria-hidden="true">{side === "above" ? "↑" : "↓"}</span>
      <span class="unseen">{` ${sides[side]} `}</span>
    </>
  );
}

function valueText({ values }: ChartSeries, index: number, show: (value: number) => string): string {
  const value = values[index];
  return value === undefined || value === null ? "–" : show(value);
}

/** Rows of the table: more are read by nobody. */
const maxRows = 60;

/** The values as a table, made only while it is open. */
function Values({ title, at, series, sides, show }: Omit<ChartProps, "layout" | "height" | "onSelect">): JSX.Element {
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
