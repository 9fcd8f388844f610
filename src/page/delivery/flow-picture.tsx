/** What became of every record: as a flow picture, as sums, and as a table. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { CounterState, Status } from "../../admin/status.ts";
import { count, share } from "../format.ts";
import { Table } from "../table.tsx";
import { type Bar, barWidth, pictureOf } from "./flow-geometry.ts";
import { flowOf, meanings, type Sum, sumsOf, verdictOf } from "./sums.ts";

export interface FlowPictureProps {
  readonly conservation: Status["conservation"];
  readonly counters: CounterState;
}

const initialWidth = 720;

/** Below this width, long numbers are shortened; the sums below the picture show them in full. */
const narrowWidth = 460;

export function FlowPicture({ conservation, counters }: FlowPictureProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(initialWidth);
  useEffect(() => {
    if (place.current === null) return undefined;
    const observer = new ResizeObserver(([entry]) =>
      setWidth(Math.max(240, Math.floor(entry?.contentRect.width ?? 0))),
    );
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  const { height, bars, ribbons } = useMemo(() => pictureOf(flowOf(conservation), width), [conservation, width]);
  const sums = sumsOf(conservation);
  const verdict = verdictOf(conservation, counters);
  const isNarrow = width < narrowWidth;
  const isWhole = counters.kind === "current" && !isNarrow;
  const wholes = new Map(sums.flatMap(({ left, right }) => right.map(({ name }) => [name, left[0]?.amount ?? 0])));
  return (
    <div ref={place} class="flow">
      <svg
        class={isNarrow ? "narrow" : undefined}
        width={width}
        height={height}
        role="img"
        aria-label={sums.map(spoken).join("; ")}
      >
        {ribbons.map(({ to, path }) => (
          <path key={to} class={`flow-ribbon ${to}`} d={path} />
        ))}
        {bars.map((bar) => (
          <Labelled key={bar.name} bar={bar} whole={isWhole ? wholes.get(bar.name) : undefined} isNarrow={isNarrow} />
        ))}
      </svg>
      <p class={`verdict ${verdict.kind}`}>
        <span class="mark" aria-hidden="true">
          {marks[verdict.kind]}
        </span>{" "}
        {verdict.text}
      </p>
      {sums.map((sum) => (
        <Equation key={sum.left[0]?.name} sum={sum} />
      ))}
      <details class="values">
        <summary>The same as a table, with what the words mean</summary>
        <Table
          caption="Records by what became of them"
          columns={[
            { title: "Records", cell: ({ name }) => name },
            { title: "Number", align: "right", cell: ({ amount }) => count(amount) },
            { title: "Meaning", cell: ({ name }) => <span class="wrapped">{meanings[name]}</span> },
          ]}
          rows={[...(sums[0].left ?? []), ...sums[0].right, ...sums[1].left.slice(1), ...sums[1].right]}
          keyOf={({ name }) => name}
        />
      </details>
    </div>
  );
}

export const marks = { ok: "✓", warn: "!", bad: "✗" } as const;

interface LabelledProps {
  readonly bar: Bar;
  /** The amount that is 100%; if absent, no share is shown. */
  readonly whole: number | undefined;
  readonly isNarrow: boolean;
}

function Labelled({ bar, whole, isNarrow }: LabelledProps): JSX.Element {
  const { name, amount, x, y, height, labelY } = bar;
  const left = x + barWidth + 6;
  const portion = whole === undefined || amount === 0 ? "" : `  ${share(amount, whole)}`;
  return (
    <g class={amount === 0 ? "flow-none" : undefined}>
      <rect
        class={`flow-bar ${name}`}
        x={x}
        y={height === 0 ? labelY - 8 : y}
        width={barWidth}
        height={height || 16}
        rx={2}
      />
      <text x={left} y={labelY - 4}>
        {name}
      </text>
      <text x={left} y={labelY + 13} class="flow-amount">
        {isNarrow ? short(amount) : count(amount)}
        <tspan class="flow-share">{portion}</tspan>
      </text>
    </g>
  );
}

const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

function short(amount: number): string {
  return amount < 1e7 ? count(amount) : compact.format(amount);
}

function Equation({ sum: { left, right, holds } }: { readonly sum: Sum }): JSX.Element {
  return (
    <p class="equation">
      <Terms of={left} /> <span aria-label={holds ? "equals" : "does not equal"}>{holds ? "=" : "≠"}</span>{" "}
      <Terms of={right} />
    </p>
  );
}

function Terms({ of }: { readonly of: Sum["left"] }): JSX.Element {
  return (
    <>
      {of.map(({ name, amount }, index) => (
        <span key={name}>
          {index > 0 && " + "}
          <span class="term">
            {name} <b>{count(amount)}</b>
          </span>
        </span>
      ))}
    </>
  );
}

function spoken({ left, right, holds }: Sum): string {
  const terms = (of: Sum["left"]): string => of.map(({ name, amount }) => `${name} ${count(amount)}`).join(" plus ");
  return `${terms(left)} ${holds ? "is" : "is not"} ${terms(right)}`;
}
