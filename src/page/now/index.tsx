/** The view *Now*: what is happening in the tailnet at the moment. */
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { AcceptedEvent } from "../../admin/events/index.ts";
import type { TrafficMap } from "../../admin/traffic/index.ts";
import { get } from "../api.ts";
import { wordsOf } from "../events/words.ts";
import { offerNodes } from "../filter.tsx";
import { time } from "../format.ts";
import { overview, recentEvents, serverNow } from "../live.ts";
import { TrafficMapView } from "../map/index.tsx";
import { Name } from "../node-link.tsx";
import { Choice, Empty, Panel } from "../panel.tsx";
import { usePolled } from "../poll.ts";
import { visible } from "../record-text.ts";
import { go, hrefOf, rangeMs, ranges, route } from "../route.ts";
import { FilteredCharts, LiveCharts, PathChart } from "./charts.tsx";
import { Figures } from "./figures.tsx";
import { isAbout, nodesOf, pairsWith, pathsOf, sumOfPaths } from "./reduce.ts";
import { PairsTable, PathsTable, ServicesTable } from "./tables.tsx";

/** Polls faster until the first pairs arrive, because a new user is waiting for them. */
const firstPollMs = 2000;
const pollMs = 10_000;
const maxPairs = 1000;
const nothing = { pairs: [], nodes: [] } as const;

const loading = <Empty>Loading…</Empty>;

const rangeTitles = { "5m": "5 minutes", "1h": "hour", "24h": "24 hours" } as const;

export function NowView(): JSX.Element {
  const { nodes, range } = route.value;
  const [everyMs, setEveryMs] = useState(firstPollMs);
  const { data, error, isLoading } = usePolled(
    async (signal) => {
      const until = Math.round(serverNow());
      return get<TrafficMap>("/api/v1/map", { since: until - rangeMs[range], until, limit: maxPairs }, signal);
    },
    everyMs,
    range,
  );
  useEffect(() => {
    if (data === undefined) return;
    offerNodes(nodesOf(data));
    if (data.pairs.length > 0) setEveryMs(pollMs);
  }, [data]);
  const pairs = useMemo(() => pairsWith(data?.pairs ?? [], nodes), [data, nodes]);
  const paths = useMemo(() => pathsOf(data?.nodes ?? [], nodes), [data, nodes]);
  const isRebuilding = data?.isComplete === false;
  return (
    <div class="view">
      <div class="view-head">
        <h1>Now</h1>
        <Choice
          label="Range of the map and the tables"
          options={ranges}
          chosen={range}
          onChoose={(next) => go({ range: next })}
        />
      </div>
      <Figures paths={data && sumOfPaths(paths)} scope={nodes.length === 0 ? "" : "all nodes, "} />
      {isRebuilding && <p class="note">Minutes are being rebuilt from the journal; sums still grow.</p>}
      <NothingYet />
      {data !== undefined && <Absent nodes={nodes} known={nodesOf(data)} />}
      <div class="now-top">
        <Panel
          title="Who talks to whom"
          note={`Last ${rangeTitles[range]}. Choose a node or a line to filter everything.`}
          error={error}
          isLoading={isLoading}
        >
          <TrafficMapView
            isLoading={data === undefined}
            pairs={(data ?? nothing).pairs}
            nodes={(data ?? nothing).nodes}
            chosen={nodes}
            onChoose={(chosen) => go({ nodes: chosen })}
          />
        </Panel>
        <div class="now-charts">
          {nodes.length === 0 ? <LiveCharts /> : <FilteredCharts nodes={nodes} />}
          <Panel title="Latest events" actions={<a href={hrefOf({ view: "events" })}>All events</a>}>
            <LatestEvents nodes={nodes} />
          </Panel>
        </div>
      </div>
      <div class="now-tables">
        <Panel
          title="Top pairs"
          note={`Last ${rangeTitles[range]}. Sent is from the first to the second.`}
          width="full"
        >
          {data === undefined ? loading : <PairsTable pairs={pairs} others={data.others} nodes={nodes} />}
        </Panel>
        <Panel
          title="Relayed and direct"
          note="Nodes that cannot reach each other directly send their packets through a relay of Tailscale (DERP), which is slower; both are encrypted end to end."
        >
          {nodes.length === 0 && <PathChart />}
          {data === undefined ? loading : <PathsTable paths={paths} />}
        </Panel>
        <Panel
          title="Services"
          note={`Last ${rangeTitles[range]}${nodes.length === 0 ? "" : ", of all nodes: services are not counted per node"}.`}
        >
          {data === undefined ? loading : <ServicesTable services={data.services} />}
        </Panel>
      </div>
    </div>
  );
}

interface AbsentProps {
  readonly nodes: readonly string[];
  readonly known: readonly string[];
}

/** Explains why everything is empty: most often, only part of a name was typed. */
function Absent({ nodes, known }: AbsentProps): JSX.Element {
  return (
    <>
      {nodes
        .filter((node) => !known.includes(node))
        .map((node) => (
          <p key={node} class="note">
            No traffic of <Name text={node} /> in this range. The filter needs the whole name of a node.
          </p>
        ))}
    </>
  );
}

function NothingYet(): JSX.Element | null {
  if (overview.value === undefined || overview.value.entries > 0) return null;
  return (
    <section class="panel full" aria-label="What to do first">
      <Empty>
        No flow logs yet. Point Tailscale's log streaming at this instance: its addresses and what is missing are shown
        at <a href={hrefOf({ view: "delivery" })}>Delivery</a>. To see made-up traffic instead, run{" "}
        <code>tailscale2otel demo</code>.
      </Empty>
    </section>
  );
}

const shownEvents = 10;

/** The latest audit and webhook events. */
function LatestEvents({ nodes }: { readonly nodes: readonly string[] }): JSX.Element {
  const recent = recentEvents.value;
  if (recent === undefined) return <Empty>Loading…</Empty>;
  const events = recent.filter((event) => isAbout(event, nodes)).slice(0, shownEvents);
  if (events.length === 0)
    return <Empty>No changes and no webhook events{nodes.length > 0 ? " about the chosen nodes" : " yet"}.</Empty>;
  return (
    <ul class="latest">
      {events.map((event) => (
        <li key={event.id}>
          <time dateTime={event.time}>{time(event.time)}</time>
          <span class={`badge ${event.severity === "WARN" ? "warn" : ""}`}>{event.type}</span>
          <a href={hrefOf({ view: "events", more: { id: event.id } })}>
            <bdi>{sentenceOf(event)}</bdi>
          </a>
        </li>
      ))}
    </ul>
  );
}

/** Worded as in the view *Events*; the text of a webhook event names everyone involved. */
function sentenceOf(event: AcceptedEvent): string {
  const { actor, what, target } = wordsOf(event);
  if (event.type === "webhook") return visible(what);
  return visible(`${actor === "" ? "" : `${actor} `}${what}${target === "" || target === actor ? "" : `: ${target}`}`);
}
