/** The view *History*: the traffic by minute that the journal still has, and who talked to whom in a chosen part of it. */
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { Traffic, TrafficMap } from "../../admin/traffic/index.ts";
import { get } from "../api.ts";
import { Chart } from "../chart.tsx";
import { offerNodes } from "../filter.tsx";
import { age, dateTime, frequency, rate } from "../format.ts";
import { byteSeries, byteSides, entrySeries, kinds, trafficKinds, wireNote } from "../kinds.ts";
import { overview, serverNow } from "../live.ts";
import { TrafficMapView } from "../map/index.tsx";
import { nodesOf, pairsWith } from "../now/reduce.ts";
import { PairsTable, ServicesTable } from "../now/tables.tsx";
import { Empty, Panel } from "../panel.tsx";
import { usePolled } from "../poll.ts";
import { go, hrefOf, route } from "../route.ts";
import { EventMarks } from "./marks.tsx";
import { type History, historyOf } from "./minutes.ts";
import { RangePicker } from "./picker.tsx";
import { addressOf, fixedSpanOf, type Span, spanFrom, spanOf, spanUpTo, type TimeSpan } from "./span.ts";

const pollMs = 30_000;
const maxPairs = 1000;
const [nonePairs, noneNodes] = [[], []] as const;

interface Answers {
  /** The chosen length up to now, if the range is not fixed. */
  readonly named: Span | undefined;
  readonly span: TimeSpan;
  readonly traffic: Traffic;
  readonly map: TrafficMap;
}

export function HistoryView(): JSX.Element {
  const { nodes } = route.value;
  const fixed = fixedSpanOf(route.value);
  const named = fixed === undefined ? spanOf(route.value) : undefined;
  const { data, error, isLoading } = usePolled<Answers>(
    async (signal) => {
      const until = Math.round(serverNow());
      const span = fixed ?? spanUpTo(until, named ?? "all");
      const [traffic, map] = await Promise.all([
        get<Traffic>("/api/v1/traffic", { ...span, node: nodes }, signal),
        get<TrafficMap>("/api/v1/map", { ...span, limit: maxPairs }, signal),
      ]);
      return { named, span: named === "all" ? spanFrom(traffic.at[0], until) : span, traffic, map };
    },
    pollMs,
    JSON.stringify([fixed ?? named, nodes]),
  );
  useEffect(() => {
    if (data !== undefined) offerNodes(nodesOf(data.map));
  }, [data]);
  const loaded = isLoading ? undefined : data?.span;
  const span = fixed ?? (named === "all" ? loaded : spanUpTo(serverNow(), named ?? "all"));
  const pairs = useMemo(() => pairsWith(data?.map.pairs ?? [], nodes), [data, nodes]);
  const range = data === undefined ? "" : `${dateTime(data.span.since)} to ${dateTime(data.span.until)}. `;
  return (
    <div class="view history">
      <div class="view-head">
        <h1>History</h1>
        <RangePicker span={span} chosen={named} />
      </div>
      <Charts answers={data} error={error} isLoading={isLoading} />
      <Panel
        title="Who talked to whom"
        note={`${range}Choose a node or a line to filter everything.`}
        width="full"
        isLoading={isLoading}
      >
        <TrafficMapView
          isLoading={data === undefined}
          pairs={data?.map.pairs ?? nonePairs}
          nodes={data?.map.nodes ?? noneNodes}
          chosen={nodes}
          onChoose={(chosen) => go({ nodes: chosen })}
        />
      </Panel>
      <div class="panels">
        <Panel title="Top pairs" note="Sent is from the first to the second." width="full">
          {data !== undefined && <PairsTable pairs={pairs} others={data.map.others} nodes={nodes} />}
        </Panel>
        <Panel
          title="Services"
          note={nodes.length === 0 ? undefined : "Of all nodes, because services are not counted per node."}
          width="full"
        >
          {data !== undefined && <ServicesTable services={data.map.services} />}
        </Panel>
      </div>
    </div>
  );
}

interface ChartsProps {
  readonly answers: Answers | undefined;
  readonly error: string | undefined;
  readonly isLoading: boolean;
}

function Charts({ answers, error, isLoading }: ChartsProps): JSX.Element {
  const startedAt = Date.parse(overview.value?.startedAt ?? "");
  const history = useMemo(
    () => answers && historyOf(answers.traffic, answers.span, Number.isNaN(startedAt) ? Infinity : startedAt),
    [answers, startedAt],
  );
  const isEmpty = history !== undefined && history.first === undefined;
  const [bytesSeries, entriesSeries] = useMemo(
    () => (history ? [byteSeries(trafficKinds, history.series), entrySeries(kinds, history.series)] : [[], []]),
    [history],
  );
  const select = (since: number, until: number): void => go({ more: addressOf({ since, until }, serverNow()) });
  const at = history?.at ?? [];
  return (
    <>
      <Panel
        title="Bytes per second"
        note={noteOf(answers, history, isLoading)}
        error={error}
        width="full"
        isLoading={isLoading}
      >
        {isEmpty ? (
          <NothingThen named={answers?.named} />
        ) : (
          <Chart
            title="Bytes per second by kind, sent above and received below"
            at={at}
            series={bytesSeries}
            sides={byteSides}
            show={rate}
            height={220}
            onSelect={select}
          />
        )}
      </Panel>
      <Panel
        title="Audit and webhook events"
        note={
          <>
            On the same time axis. Click a mark to see its events: <span class="mark-key mark-audit" /> audit,{" "}
            <span class="mark-key mark-webhook" /> webhook.
          </>
        }
        actions={<a href={hrefOf({ view: "events" })}>All events</a>}
        width="full"
      >
        {answers !== undefined && <EventMarks traffic={answers.traffic} axis={axisOf(at)} />}
      </Panel>
      <Panel title="Connection entries per second" note={wireNote} width="full">
        {isEmpty ? (
          <NothingThen named={answers?.named} />
        ) : (
          <Chart
            title="Connection entries per second by kind"
            at={at}
            series={entriesSeries}
            show={frequency}
            height={150}
            onSelect={select}
          />
        )}
      </Panel>
    </>
  );
}

/** A chart reaches from its first point to its last. */
function axisOf(at: readonly number[]): TimeSpan {
  return { since: (at[0] ?? 0) * 1000, until: (at.at(-1) ?? 0) * 1000 };
}

function NothingThen({ named }: { readonly named: Span | undefined }): JSX.Element {
  if (named === "all") return <Empty>The journal keeps nothing yet. See Now for what is coming in.</Empty>;
  return <Empty>Nothing was received in this range. Choose another one, or see Now for what is coming in.</Empty>;
}

/** Describes what is shown, how far it reaches, and what is missing. */
function noteOf(answers: Answers | undefined, history: History | undefined, isLoading: boolean): string {
  if (answers === undefined || history === undefined) return isLoading ? "Loading…" : "";
  const { named, traffic, span } = answers;
  const step = history.stepSeconds === 60 ? "By minute" : `In steps of ${age(history.stepSeconds * 1000)}`;
  const { first } = history;
  const notes = [`${step}, sent above and received below. Drag over a part to see only that.`];
  if (named === "all") notes.unshift("All that the journal keeps (state.retention).");
  if (!traffic.isComplete) notes.push("Minutes are being rebuilt from the journal: older ones are still missing.");
  if (first !== undefined && first > span.since + 60_000)
    notes.push(`The first record of this range came at ${dateTime(first)}.`);
  if (history.hasGap)
    notes.push("Where the line is broken, no record was received for minutes: the program may not have run.");
  if (traffic.isPartial) notes.push("Of the chosen nodes, only the busiest pairs of each minute are kept.");
  return notes.join(" ");
}
