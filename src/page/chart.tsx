/** A chart of values over time. */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

export interface ChartProps {
  /** For those who cannot see it. */
  readonly title: string;
  /** The first column is the time in seconds. */
  readonly data: uPlot.AlignedData;
  readonly series: readonly uPlot.Series[];
}

export function Chart({ title, data, series }: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (place.current === null) return undefined;
    const plot = new uPlot({ width: 600, height: 200, series: [{}, ...series] }, data, place.current);
    return () => plot.destroy();
  }, [data, series]);
  return <div ref={place} role="img" aria-label={title} />;
}
