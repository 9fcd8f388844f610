/** Generates the flow records of one window; every flow is reported by both of its ends, with mirrored counters. */
import { createRandom, type Random } from "./random.ts";
import { maxPhaseMs, nodesOf, type SimulatedNode, type Tailnet } from "./tailnet.ts";
import { type Envelope, envelope, timeText, type trafficArrays, type WireConnection, type WireFlow } from "./wire.ts";

/** Windows are numbered since the epoch; number `n` begins at `n * windowMs`. */
export const windowMs = 5000;

/** A window's records are available this long after it began, so that no time in them is in the future. */
export const windowSettledMs = 2 * windowMs + maxPhaseMs;

/** Returns the records of any window, in any order; they depend only on the tailnet and the window's number. */
export type Traffic = (window: number) => readonly Envelope<WireFlow>[];

export function createTraffic(tailnet: Tailnet): Traffic {
  const conversations = conversationsOf(tailnet);
  const exits = nodesOf(tailnet, "exit");
  const exitUsers = nodesOf(tailnet, "phone", "laptop").filter(({ index }) => index % 3 === 0);
  return (window) => {
    const random = createRandom(tailnet.seed, 4, window);
    const busyness = busynessOf(window);
    const reports: Reports = new Map();
    for (const conversation of conversations)
      if (random.chance(conversation.activity * busyness))
        converse(tailnet.seed, conversation, window, random, reports);
    for (const [index, device] of exitUsers.entries()) {
      const place = index % exits.length;
      const exit = exits[place];
      if (exit !== undefined && random.chance(0.6))
        leave(tailnet.seed, { device, exit, hasDestinations: place % 2 === 0 }, random, reports);
    }
    return [...reports].map(([node, own]) => recordOf(node, own, window, random));
  };
}

/** Waves of 7 and 43 minutes, so that a chart of any range has a shape. At most 1. */
function busynessOf(window: number): number {
  return 0.7 + 0.18 * Math.sin((2 * Math.PI * window) / 84) + 0.12 * Math.sin((2 * Math.PI * window) / 516);
}

/** A pattern of traffic between two nodes, from which each window's traffic is drawn. */
interface Habit {
  /** IANA protocol number; Tailscale reports its own rejection notices as 99. */
  readonly protocol: number;
  /** 0 if the protocol has no ports. */
  readonly port: number;
  /** Number of parallel connections. */
  readonly connections: number;
  /** Probability of traffic in a window. */
  readonly activity: number;
  /** Typical bytes per connection and window that the client sends and receives. */
  readonly request: number;
  readonly response: number;
  readonly overIpv6?: boolean;
  /** The network behind the server, for traffic that a subnet router forwards. */
  readonly subnet?: string;
}

interface Conversation extends Habit {
  readonly client: SimulatedNode;
  readonly server: SimulatedNode;
}

const habit = (port: number, connections: number, activity: number, request: number, response: number): Habit => ({
  protocol: 6,
  port,
  connections,
  activity,
  request,
  response,
});

/** Connects every client with servers of its site: with all of them, or with one that varies by client. */
const habits: readonly (readonly [client: string, server: string, which: "all" | "one", Habit])[] = [
  ["web", "database", "all", habit(5432, 5, 0.95, 9_000, 160_000)],
  ["web", "cache", "all", { ...habit(6379, 3, 0.9, 4_000, 26_000), overIpv6: true }],
  ["worker", "database", "one", habit(5432, 2, 0.8, 60_000, 14_000)],
  ["worker", "storage", "one", habit(443, 1, 0.5, 1_800_000, 9_000)],
  ["database", "storage", "one", habit(873, 1, 0.15, 9_000_000, 40_000)],
  ["monitor", "*", "all", habit(9100, 1, 0.4, 900, 38_000)],
  ["monitor", "*", "all", { ...habit(0, 1, 0.3, 84, 84), protocol: 1 }],
  ["*", "resolver", "one", { ...habit(53, 1, 0.4, 140, 320), protocol: 17 }],
  ["laptop", "web", "one", habit(443, 3, 0.7, 5_000, 120_000)],
  ["laptop", "git", "one", habit(22, 1, 0.25, 7_000, 90_000)],
  ["laptop", "router", "one", { ...habit(443, 1, 0.35, 2_500, 21_000), subnet: "10.20.0." }],
  ["phone", "web", "one", { ...habit(443, 2, 0.3, 2_000, 60_000), overIpv6: true }],
  // Traffic that the policy forbids: the database answers only with a rejection notice.
  ["database", "phone", "one", { ...habit(0, 1, 0.1, 48, 0), protocol: 99 }],
];

/** One client in this many talks to another site. */
const farClients = 5;

function conversationsOf(tailnet: Tailnet): readonly Conversation[] {
  const those = (role: string): readonly SimulatedNode[] =>
    role === "*" ? tailnet.nodes.filter(({ description }) => description.tags !== undefined) : nodesOf(tailnet, role);
  return habits.flatMap(([clients, servers, which, rest]) =>
    those(clients).flatMap((client) => {
      const others = those(servers).filter((server) => server !== client);
      const near = others.filter(({ site }) => site === client.site);
      const reached = near.length === 0 || (which === "one" && client.index % farClients === 0) ? others : near;
      const chosen = which === "all" ? near : reached.slice(client.index % reached.length).slice(0, 1);
      return chosen.map((server) => ({ client, server, ...rest }));
    }),
  );
}

/** The counters of a flow as one of its ends reports them. */
type Counters = readonly [txPkts: number, txBytes: number, rxPkts: number, rxBytes: number];

const mirrored = ([txPkts, txBytes, rxPkts, rxBytes]: Counters): Counters => [rxPkts, rxBytes, txPkts, txBytes];

type TrafficArray = (typeof trafficArrays)[number];

/** What a node reports about one window: one entry per array, protocol and pair of ends. */
interface Report {
  readonly peers: Set<SimulatedNode>;
  readonly entries: Map<string, { readonly array: TrafficArray; readonly ends: Ends; readonly counters: Counters }>;
}

type Ends = readonly [protocol: number, source: string, destination: string];
type Reports = Map<SimulatedNode, Report>;

function report(
  reports: Reports,
  node: SimulatedNode,
  peer: SimulatedNode,
  array: TrafficArray,
  ends: Ends,
  counters: Counters,
): void {
  const { peers, entries } = reports.get(node) ?? { peers: new Set(), entries: new Map() };
  reports.set(node, { peers, entries });
  peers.add(peer);
  const key = `${array} ${ends.join(" ")}`;
  const [txPkts, txBytes, rxPkts, rxBytes] = entries.get(key)?.counters ?? [0, 0, 0, 0];
  const [sent, sentBytes, received, receivedBytes] = counters;
  const sum = [txPkts + sent, txBytes + sentBytes, rxPkts + received, rxBytes + receivedBytes] as const;
  entries.set(key, { array, ends, counters: sum });
}

/** WireGuard, UDP and IP headers around each packet. */
const overheadBytesPerPacket = 60;

/** Reports the same traffic outside the tunnel, at both ends: the peer's overlay address, and the endpoint that packets to it went to. */
function reportPhysical(
  seed: number,
  client: SimulatedNode,
  server: SimulatedNode,
  counters: Counters,
  reports: Reports,
): void {
  const [low, high] = client.index < server.index ? [client, server] : [server, client];
  const isRelayed = createRandom(seed, 6, low.index, high.index).chance(0.15);
  const ends = (peer: SimulatedNode): Ends => [0, endpoint(peer.ipv4, 0), isRelayed ? high.relay : peer.publicEndpoint];
  const [txPkts, txBytes, rxPkts, rxBytes] = counters;
  const outer: Counters = [
    txPkts,
    txBytes + txPkts * overheadBytesPerPacket,
    rxPkts,
    rxBytes + rxPkts * overheadBytesPerPacket,
  ];
  report(reports, client, server, "physicalTraffic", ends(server), outer);
  report(reports, server, client, "physicalTraffic", ends(client), mirrored(outer));
}

/** Payload of a full packet, and header bytes inside the tunnel per packet. */
const bytesPerPacket = 1180;
const headerBytesPerPacket = 40;

/** A connection keeps its client port for this many windows. */
const connectionWindows = 24;

function converse(seed: number, talk: Conversation, window: number, random: Random, reports: Reports): void {
  const { client, server, protocol, port, subnet, overIpv6 = false } = talk;
  const ownAddress = overIpv6 ? server.ipv6 : server.ipv4;
  const destination = endpoint(subnet === undefined ? ownAddress : `${subnet}${15 + (client.index % 5)}`, port);
  const array = subnet === undefined ? "virtualTraffic" : "subnetTraffic";
  const lifetime = Math.floor((window + client.index) / connectionWindows);
  const ports = createRandom(seed, 5, client.index, server.index, port, lifetime);
  for (let open = 0; open < talk.connections; open++) {
    const counters = exchange(talk, random);
    const source = endpoint(overIpv6 ? client.ipv6 : client.ipv4, port === 0 ? 0 : 32_768 + ports.below(28_000));
    report(reports, client, server, array, [protocol, source, destination], counters);
    report(reports, server, client, array, [protocol, destination, source], mirrored(counters));
    reportPhysical(seed, client, server, counters, reports);
  }
}

interface Leaving {
  readonly device: SimulatedNode;
  readonly exit: SimulatedNode;
  /** True if the exit node logs destinations. */
  readonly hasDestinations: boolean;
}

/** Only the exit node reports exit traffic. Without destination logging, each direction is a separate entry. */
function leave(seed: number, { device, exit, hasDestinations }: Leaving, random: Random, reports: Reports): void {
  const counters = exchange({ request: 12_000, response: 260_000 }, random);
  const [txPkts, txBytes, rxPkts, rxBytes] = counters;
  if (hasDestinations) {
    const source = endpoint(device.ipv4, 40_000 + random.below(20_000));
    report(reports, exit, device, "exitTraffic", [6, source, `203.0.113.${1 + random.below(200)}:443`], counters);
  } else {
    const overlay = endpoint(device.ipv4, 0);
    report(reports, exit, device, "exitTraffic", [0, overlay, ""], [txPkts, txBytes, 0, 0]);
    report(reports, exit, device, "exitTraffic", [0, "", overlay], [0, 0, rxPkts, rxBytes]);
  }
  reportPhysical(seed, device, exit, counters, reports);
}

function recordOf(node: SimulatedNode, { peers, entries }: Report, window: number, random: Random): Envelope<WireFlow> {
  const startMs = window * windowMs + node.phaseMs;
  const nanoseconds = random.below(1_000_000);
  const recordedMs = startMs + windowMs + 1000 + random.below(2500);
  const arrays = Map.groupBy(entries.values(), ({ array }) => array)
    .entries()
    .map(([array, list]) => [array, list.map(({ ends, counters }) => connection(ends, counters))] as const);
  const flow: WireFlow = {
    nodeId: node.description.nodeId,
    start: timeText(startMs, nanoseconds),
    end: timeText(startMs + windowMs, nanoseconds),
    srcNode: node.description,
    dstNodes: [...peers].map(({ description }) => description),
    ...Object.fromEntries(arrays),
  };
  return envelope(flow, [recordedMs + 400, recordedMs, random.below(1_000_000)]);
}

/** A connection's counters in one window as the client counts them; unanswered traffic has no receive side. */
function exchange({ request, response }: Pick<Habit, "request" | "response">, random: Random): Counters {
  const sent = random.around(request);
  const received = response === 0 ? 0 : random.around(response);
  const packets = Math.ceil(sent / bytesPerPacket) + Math.ceil(received / bytesPerPacket);
  const txPkts = Math.ceil(packets * 0.55);
  const rxPkts = received === 0 ? 0 : Math.ceil(packets * 0.6);
  return [txPkts, sent + txPkts * headerBytesPerPacket, rxPkts, received + rxPkts * headerBytesPerPacket];
}

function connection([proto, src, dst]: Ends, [txPkts, txBytes, rxPkts, rxBytes]: Counters): WireConnection {
  const members = Object.entries({ proto, src, dst, txPkts, txBytes, rxPkts, rxBytes });
  return Object.fromEntries(members.filter(([, value]) => value !== 0 && value !== ""));
}

function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
