/** Traffic of the last hour as charts: all nodes live, or the chosen ones by minute. */
import type { JSX } from "preact";
import type { Traffic } from "../../admin/traffic/index.ts";
import { get } from "../api.ts";
import { Chart } from "../chart.tsx";
import { frequency, rate } from "../format.ts";
import { byteSeries, byteSides, entrySeries, type Kind, kinds, pathKinds, trafficKinds, wireNote } from "../kinds.ts";
import { samples, serverNow } from "../live.ts";
import { Empty, Panel } from "../panel.tsx";
import { usePolled } from "../poll.ts";
import { keptSeconds, type Samples, samplesOf } from "../samples.ts";

export function LiveCharts(): JSX.Element {
  return (
    <Charts
      columns={samples.value.columns}
      note="Last hour: by minute, and every 5 seconds since the program started"
    />
  );
}

const pollMs = 10_000;

export function FilteredCharts({ nodes }: { readonly nodes: readonly string[] }): JSX.Element {
  const { data, error, isLoading } = usePolled(
    async (signal) => {
      const until = Math.round(serverNow());
      const since = until - keptSeconds * 1000;
      const traffic = await get<Traffic>("/api/v1/traffic", { since, until, node: nodes }, signal);
      return { columns: samplesOf(traffic, undefined, until), isPartial: traffic.isPartial };
    },
    pollMs,
    nodes.join("\n"),
  );
  const part = data?.isPartial === true ? ", of the busiest pairs only: each minute keeps a limited number" : "";
  const note = isLoading ? "Loading…" : `Last hour by minute, of the chosen nodes${part}`;
  return <Charts columns={data?.columns} note={note} error={error} />;
}

interface ChartsProps {
  readonly columns: Samples | undefined;
  readonly note: string;
  readonly error?: string | undefined;
}

function Charts({ columns, note, error }: ChartsProps): JSX.Element {
  return (
    <>
      <Panel title="Bytes per second" note={`${note}. Sent above, received below.`} error={error}>
        <KindChart columns={columns} title="Bytes per second, sent and received" of={trafficKinds} sums="bytes" />
      </Panel>
      <Panel title="Connection entries per second" note={`${note}. ${wireNote}`}>
        <KindChart columns={columns} title="Connection entries per second by kind" of={kinds} sums="entries" />
      </Panel>
    </>
  );
}

/** How packets travel, shown beside the shares of nodes. */
export function PathChart(): JSX.Element {
  return (
    <KindChart
      columns={samples.value.columns}
      title="Bytes per second on the wire by path"
      of={pathKinds}
      sums="bytes"
    />
  );
}

interface KindChartProps {
  readonly columns: Samples | undefined;
  readonly title: string;
  readonly of: readonly Kind[];
  readonly sums: "bytes" | "entries";
}

function KindChart({ columns, title, of, sums }: KindChartProps): JSX.Element {
  if (columns === undefined) return <Empty>Loading…</Empty>;
  if (columns.at.length === 0)
    return <Empty>Nothing yet. Numbers appear within seconds after the first flow logs.</Empty>;
  const { at, series } = columns;
  const isEntries = sums === "entries";
  const shown = isEntries ? entrySeries(of, series) : byteSeries(of, series);
  const unit = isEntries ? { show: frequency } : { show: rate, sides: byteSides };
  return <Chart title={title} at={at} series={shown} height={170} {...unit} />;
}
