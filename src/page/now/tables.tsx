/** Top pairs, services, and how nodes are reached, as tables. */
import type { JSX } from "preact";
import type { TrafficMap, TrafficPair, TrafficService } from "../../admin/traffic/index.ts";
import { bytes, count, share } from "../format.ts";
import { kinds, kindTitles } from "../kinds.ts";
import { Name, NodeLink } from "../node-link.tsx";
import { Empty } from "../panel.tsx";
import { go } from "../route.ts";
import { type Column, Table } from "../table.tsx";
import { type NodePaths, sumOfPaths } from "./reduce.ts";

const limit = 12;

const pairColumns: readonly Column<TrafficPair>[] = [
  { title: "From", value: ({ from }) => from, cell: ({ from }) => <NodeLink node={from} /> },
  { title: "To", value: ({ to }) => to, cell: ({ to }) => <NodeLink node={to} /> },
  { title: "Sent", align: "right", value: ({ txBytes }) => txBytes, cell: ({ txBytes }) => bytes(txBytes) },
  { title: "Received", align: "right", value: ({ rxBytes }) => rxBytes, cell: ({ rxBytes }) => bytes(rxBytes) },
  { title: "Total", align: "right", value: bytesOfPair, cell: (pair) => bytes(bytesOfPair(pair)) },
  { title: "Entries", align: "right", value: ({ entries }) => entries, cell: ({ entries }) => count(entries) },
  { title: "Kind", value: kindText },
];

export interface PairsTableProps {
  readonly pairs: readonly TrafficPair[];
  readonly others: TrafficMap["others"];
  readonly nodes: readonly string[];
}

export function PairsTable({ pairs, others, nodes }: PairsTableProps): JSX.Element {
  if (pairs.length === 0)
    return <Empty>No traffic in this range{nodes.length > 0 ? " with the chosen nodes" : ""}.</Empty>;
  return (
    <>
      <Table
        caption="Pairs of nodes by traffic"
        columns={pairColumns}
        rows={pairs}
        keyOf={({ from, to }) => `${from}\n${to}`}
        sortedBy="Total"
        limit={limit}
        isChosen={({ from, to }) => nodes.includes(from) && nodes.includes(to)}
        onPoint={({ from, to }) => go({ nodes: [from, to] })}
      />
      {others.entries > 0 && nodes.length === 0 && (
        <p class="note">
          Not in these pairs: {count(others.entries)} entries with {bytes(others.bytes)}.
        </p>
      )}
    </>
  );
}

export function ServicesTable({ services }: Pick<TrafficMap, "services">): JSX.Element {
  const named = services.filter(({ isTransport }) => !isTransport);
  const nameless = services.filter(({ isTransport }) => isTransport);
  const whole = named.reduce((sum, service) => sum + service.bytes, 0);
  const columns: readonly Column<TrafficService>[] = [
    { title: "Service", value: ({ name }) => name, cell: ({ name }) => <Name text={name} /> },
    { title: "Bytes", align: "right", value: (service) => service.bytes, cell: (service) => bytes(service.bytes) },
    { title: "Share", align: "right", cell: (service) => <Share part={service.bytes} whole={whole} /> },
    { title: "Entries", align: "right", value: ({ entries }) => entries, cell: ({ entries }) => count(entries) },
  ];
  return (
    <>
      {named.length === 0 ? (
        <Empty>No traffic of a known service in this range.</Empty>
      ) : (
        <Table
          caption="Services by traffic"
          columns={columns}
          rows={named}
          keyOf={({ name }) => name}
          sortedBy="Bytes"
          limit={limit}
        />
      )}
      {nameless.length > 0 && (
        <p class="note">
          Without a service: {nameless.map(({ name, bytes: amount }) => `${name} ${bytes(amount)}`).join(", ")}. Both
          ends report a connection, and only the one that began it names the service.
        </p>
      )}
    </>
  );
}

const pathColumns: readonly Column<NodePaths>[] = [
  { title: "Node", value: ({ name }) => name, cell: ({ name }) => <NodeLink node={name} /> },
  { title: "Relayed", align: "right", value: ({ relayed }) => relayed, cell: ({ relayed }) => bytes(relayed) },
  { title: "Direct", align: "right", value: ({ direct }) => direct, cell: ({ direct }) => bytes(direct) },
  {
    title: "Share relayed",
    align: "right",
    value: ({ relayed, direct }) => relayed / (relayed + direct),
    cell: ({ relayed, direct }) => <Share part={relayed} whole={relayed + direct} color="--kind-relayed" />,
  },
];

export function PathsTable({ paths }: { readonly paths: readonly NodePaths[] }): JSX.Element {
  if (paths.length === 0) return <Empty>No traffic on the wire in this range.</Empty>;
  const { direct, relayed } = sumOfPaths(paths);
  return (
    <>
      <p>
        <Share part={relayed} whole={relayed + direct} color="--kind-relayed" /> relayed: {bytes(relayed)}, against{" "}
        {bytes(direct)} direct.
      </p>
      <Table
        caption="How nodes are reached"
        columns={pathColumns}
        rows={paths}
        keyOf={({ name }) => name}
        sortedBy="Relayed"
        limit={limit}
      />
    </>
  );
}

interface ShareProps {
  readonly part: number;
  readonly whole: number;
  readonly color?: string;
}

/** A percentage with a proportional bar. */
function Share({ part, whole, color = "--accent" }: ShareProps): JSX.Element {
  return (
    <span class="share">
      <span class="bar" aria-hidden="true">
        <span style={{ width: `${whole > 0 ? (100 * part) / whole : 0}%`, background: `var(${color})` }} />
      </span>
      {share(part, whole)}
    </span>
  );
}

function bytesOfPair({ txBytes, rxBytes }: TrafficPair): number {
  return txBytes + rxBytes;
}

function kindText({ kinds: found }: TrafficPair): string {
  return kinds
    .filter((kind) => found[kind] !== undefined)
    .map((kind) => kindTitles[kind])
    .join(", ");
}
