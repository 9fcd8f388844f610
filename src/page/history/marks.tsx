/** Audit and webhook events as marks on the time axis of the charts, each a link to its events. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Traffic } from "../../admin/traffic/index.ts";
import { counted, dateTime, timeOfDay } from "../format.ts";
import { Empty } from "../panel.tsx";
import { axisWidth, rightPadding } from "../plot.ts";
import { hrefOf } from "../route.ts";
import { type EventMark, marksOf } from "./minutes.ts";
import type { TimeSpan } from "./span.ts";

export interface EventMarksProps {
  readonly traffic: Traffic;
  /** The range of the charts' time axis. */
  readonly axis: TimeSpan;
}

/** As wide as the plotting area of a chart. */
const asWideAsPlot = { marginLeft: `${axisWidth}px`, marginRight: `${rightPadding}px` };

/** Wide enough for a finger. */
const markPixels = 26;

export function EventMarks({ traffic, axis }: EventMarksProps): JSX.Element {
  const place = useRef<HTMLOListElement>(null);
  const [most, setMost] = useState(24);
  useEffect(() => {
    if (place.current === null) return undefined;
    const observer = new ResizeObserver(([entry]) =>
      setMost(Math.max(4, Math.min(60, Math.floor((entry?.contentRect.width ?? 0) / markPixels)))),
    );
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  const marks = marksOf(traffic, axis, most);
  const highest = Math.max(1, ...marks.map(sumOf));
  return (
    <>
      <ol class="event-marks" ref={place} aria-label="Events by time" style={asWideAsPlot}>
        {marks.map((mark) => (
          <Mark key={mark.since} mark={mark} axis={axis} share={sumOf(mark) / highest} />
        ))}
      </ol>
      {marks.length === 0 && <Empty>No audit or webhook events in this range.</Empty>}
    </>
  );
}

interface MarkProps {
  readonly mark: EventMark;
  readonly axis: TimeSpan;
  readonly share: number;
}

function Mark({ mark, axis, share }: MarkProps): JSX.Element {
  const { since, until, audit, webhook } = mark;
  const whole = axis.until - axis.since;
  const [left, right] = [Math.max(since, axis.since), Math.min(until, axis.until)];
  const percent = (ms: number): string => `${(100 * ms) / whole}%`;
  const label = `${dateTime(since)} to ${timeOfDay(until)}: ${counted(audit, "audit event")}, ${counted(webhook, "webhook event")}`;
  const more = { since: String(since), until: String(until) };
  return (
    <li style={{ left: percent(left - axis.since), width: percent(right - left) }}>
      <a href={hrefOf({ view: "events", more })} title={label} aria-label={label}>
        <span class="mark-bar" style={{ height: `${Math.round(25 + 75 * share)}%` }}>
          <span class="mark-audit" style={{ flexGrow: audit }} />
          <span class="mark-webhook" style={{ flexGrow: webhook }} />
        </span>
      </a>
    </li>
  );
}

function sumOf({ audit, webhook }: EventMark): number {
  return audit + webhook;
}
