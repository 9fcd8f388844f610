/** The values of a chart in words: its legend, which also hides series, and the box beside the pointer. */
import type { JSX } from "preact";
import { axisWidth, type ChartSeries } from "./plot.ts";

/** Meaning of values above and below zero, such as `sent` and `received`. */
export type Sides = Readonly<Record<"above" | "below", string>>;

export interface Shown {
  readonly series: readonly ChartSeries[];
  /** Titles of hidden series. */
  readonly hidden: ReadonlySet<string>;
  /** Index into the columns. */
  readonly index: number;
  readonly show: (value: number) => string;
  readonly sides?: Sides;
}

interface LegendProps extends Shown {
  readonly onToggle: (title: string) => void;
}

export function Legend({ onToggle, ...shown }: LegendProps): JSX.Element {
  return (
    <ul class="legend">
      {titlesOf(shown.series).map((title) => (
        <li key={title}>
          <button type="button" aria-pressed={!shown.hidden.has(title)} onClick={() => onToggle(title)}>
            <Swatch {...shown} title={title} />
            {title}
            <Values {...shown} title={title} />
          </button>
        </li>
      ))}
    </ul>
  );
}

interface TipProps extends Shown {
  readonly when: string;
  /** Pixels from the left of the plotting area. */
  readonly left: number;
}

/** Hidden from screen readers, because the legend says the same. */
export function Tip({ when, left, ...shown }: TipProps): JSX.Element {
  const isFar = left > 150;
  const style = { left: `${axisWidth + left + (isFar ? -12 : 12)}px`, transform: isFar ? "translateX(-100%)" : "none" };
  return (
    <div class="tip" style={style} aria-hidden="true">
      {when}
      {titlesOf(shown.series)
        .filter((title) => !shown.hidden.has(title))
        .map((title) => (
          <span key={title}>
            <Swatch {...shown} title={title} />
            {title}
            <Values {...shown} title={title} />
          </span>
        ))}
    </div>
  );
}

/** All values at an index as one sentence. */
export function spokenText({ series, hidden, show, sides }: Shown, when: string, index: number): string {
  const values = series
    .filter(({ title }) => !hidden.has(title))
    .map(
      (one) => `${one.title} ${sides === undefined ? "" : sides[one.side ?? "above"]} ${valueText(one, index, show)}`,
    );
  return `${when}: ${values.join(", ")}`;
}

export function valueText({ values }: ChartSeries, index: number, show: (value: number) => string): string {
  const value = values[index];
  return value === undefined || value === null ? "–" : show(value);
}

interface OfTitle extends Shown {
  readonly title: string;
}

function Swatch({ series, title }: OfTitle): JSX.Element {
  const color = series.find((one) => one.title === title)?.color;
  return <span class="swatch" style={{ background: `var(${color})` }} />;
}

/** One value, or one per side. */
function Values({ series, title, index, show, sides }: OfTitle): JSX.Element {
  const parts = series.filter((one) => one.title === title);
  return (
    <>
      {parts.map((part) => (
        <b key={part.side}>
          {sides !== undefined && (
            <>
              <span aria-hidden="true">{part.side === "below" ? "↓" : "↑"}</span>
              <span class="unseen">{` ${sides[part.side ?? "above"]} `}</span>
            </>
          )}
          {valueText(part, index, show)}
        </b>
      ))}
    </>
  );
}

/** Series with the same title share a legend entry. */
function titlesOf(series: readonly ChartSeries[]): readonly string[] {
  return [...new Set(series.map(({ title }) => title))];
}
