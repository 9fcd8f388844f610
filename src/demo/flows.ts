/** The flow records of one window: every flow is reported by both of its ends, with mirrored counters. */
import { createRandom, type Random } from "./random.ts";
import { maxPhaseMs, nodesOf, type SimulatedNode, type Tailnet } from "./tailnet.ts";
import { type Envelope, envelope, timeText, type WireConnection, type WireFlow } from "./wire.ts";

/** Windows are numbered since the epoch; number `n` begins at `n * windowMs`. */
export const windowMs = 5000;

/** A window's records exist once this much time has passed since it began: nothing they say lies in the future. */
export const windowSettledMs = 2 * windowMs + maxPhaseMs;

/** Gives the records of any window, in any order; the same for the same tailnet and number. */
export type Traffic = (window: number) => readonly Envelope<WireFlow>[];

export function createTraffic(tailnet: Tailnet): Traffic {
  const conversations = conversationsOf(tailnet);
  const exits = nodesOf(tailnet, "exit");
  const exitUsers = nodesOf(tailnet, "phone", "laptop").filter(({ index }) => index % 3 === 0);
  return (window) => {
    const random = createRandom(tailnet.seed, 4, window);
    const reports = new Reports();
    for (const conversation of conversations)
      if (random.chance(conversation.activity)) converse(tailnet.seed, conversation, window, random, reports);
    for (const [place, device] of exitUsers.entries()) {
      const exit = exits[place % exits.length];
      // The second exit node logs where the traffic goes.
      if (exit !== undefined && random.chance(0.6)) leave(device, exit, exit !== exits[0], random, reports);
    }
    reports.addPhysical(tailnet.seed);
    return [...reports.byNode].map(([node, report]) => recordOf(node, report, window, random));
  };
}

/** A habit of two nodes, from which each window's traffic is drawn. */
interface Conversation {
  readonly client: SimulatedNode;
  readonly server: SimulatedNode;
  /** IANA number; 99 is how Tailscale reports its own rejection notices. */
  readonly protocol: number;
  /** 0: the protocol has no ports. */
  readonly port: number;
  /** Connections that are open side by side. */
  readonly connections: number;
  /** The probability that it is heard in a window. */
  readonly activity: number;
  /** Typical bytes in a window that the client sends, and that it receives, on each connection. */
  readonly request: number;
  readonly response: number;
  readonly overIpv6?: boolean;
  /** The network behind the server, for traffic that a subnet router passes on. */
  readonly subnet?: string;
}

type Habit = Omit<Conversation, "client" | "server">;
const habit = (port: number, connections: number, activity: number, request: number, response: number): Habit => ({
  protocol: 6,
  port,
  connections,
  activity,
  request,
  response,
});

/** Every client with some of the servers: all, or one that differs from client to client. */
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
  ["laptop", "storage", "one", habit(445, 1, 0.2, 50_000, 700_000)],
  ["laptop", "router", "one", { ...habit(443, 1, 0.35, 2_500, 21_000), subnet: "10.20.0." }],
  ["phone", "web", "one", { ...habit(443, 2, 0.3, 2_000, 60_000), overIpv6: true }],
  // What the policy forbids: the database answers with a rejection notice and nothing else.
  ["database", "phone", "one", { ...habit(0, 1, 0.1, 48, 0), protocol: 99 }],
];

function conversationsOf(tailnet: Tailnet): readonly Conversation[] {
  const those = (role: string): readonly SimulatedNode[] =>
    role === "*" ? tailnet.nodes.filter(({ description }) => description.tags !== undefined) : nodesOf(tailnet, role);
  return habits.flatMap(([clients, servers, which, rest]) =>
    those(clients).flatMap((client) => {
      const others = those(servers).filter((server) => server !== client);
      const chosen = which === "all" ? others : others.filter((_, place) => place === client.index % others.length);
      return chosen.map((server) => ({ client, server, ...rest }));
    }),
  );
}

/** The counters of one end of a flow, as the other end sees them. */
interface Counters {
  readonly txPkts: number;
  readonly txBytes: number;
  readonly rxPkts: number;
  readonly rxBytes: number;
}

interface Report {
  readonly peers: Set<SimulatedNode>;
  readonly entries: Record<"virtual" | "subnet" | "exit" | "physical", WireConnection[]>;
}

/** What every node has to say about one window. */
class Reports {
  readonly byNode = new Map<SimulatedNode, Report>();
  /** Everything that two nodes exchanged, as the one with the lower index counts it. */
  readonly #paths = new Map<SimulatedNode, Map<SimulatedNode, Counters>>();

  of(node: SimulatedNode, peer: SimulatedNode): Report["entries"] {
    let report = this.byNode.get(node);
    if (report === undefined) {
      report = { peers: new Set(), entries: { virtual: [], subnet: [], exit: [], physical: [] } };
      this.byNode.set(node, report);
    }
    report.peers.add(peer);
    return report.entries;
  }

  exchanged(client: SimulatedNode, server: SimulatedNode, counters: Counters): void {
    const [low, high, seen] =
      client.index < server.index ? [client, server, counters] : [server, client, mirrored(counters)];
    const paths = this.#paths.get(low) ?? new Map<SimulatedNode, Counters>();
    const { txPkts, txBytes, rxPkts, rxBytes } = paths.get(high) ?? { txPkts: 0, txBytes: 0, rxPkts: 0, rxBytes: 0 };
    this.#paths.set(low, paths);
    paths.set(high, {
      txPkts: txPkts + seen.txPkts,
      txBytes: txBytes + seen.txBytes + seen.txPkts * overheadBytesPerPacket,
      rxPkts: rxPkts + seen.rxPkts,
      rxBytes: rxBytes + seen.rxBytes + seen.rxPkts * overheadBytesPerPacket,
    });
  }

  /** The peer's overlay address, and where the packets for it went. */
  addPhysical(seed: number): void {
    for (const [from, peers] of this.#paths) {
      for (const [to, counters] of peers) {
        const isRelayed = createRandom(seed, 6, from.index, to.index).chance(0.15);
        const relay = `127.3.3.40:${to.derpRegion}`;
        const way = (peer: SimulatedNode): [string, string] => [
          endpoint(peer.ipv4, 0),
          isRelayed ? relay : peer.publicEndpoint,
        ];
        this.of(from, to).physical.push(connection(0, ...way(to), counters));
        this.of(to, from).physical.push(connection(0, ...way(from), mirrored(counters)));
      }
    }
  }
}

/** WireGuard, UDP and IP headers around each packet. */
const overheadBytesPerPacket = 60;

/** Payload of a full packet, and what the headers inside the tunnel add to every one. */
const bytesPerPacket = 1180;
const headerBytesPerPacket = 40;

/** A connection keeps its client port for this many windows. */
const connectionWindows = 24;

function converse(seed: number, talk: Conversation, window: number, random: Random, reports: Reports): void {
  const { client, server, protocol, port, subnet, overIpv6 = false } = talk;
  const clientAddress = overIpv6 ? client.ipv6 : client.ipv4;
  const ownAddress = overIpv6 ? server.ipv6 : server.ipv4;
  const serverAddress = subnet === undefined ? ownAddress : `${subnet}${15 + (client.index % 5)}`;
  const traffic = subnet === undefined ? "virtual" : "subnet";
  const lifetime = Math.floor((window + client.index) / connectionWindows);
  const ports = createRandom(seed, 5, client.index, server.index, port, lifetime);
  for (let open = 0; open < talk.connections; open++) {
    const counters = exchange(talk, random);
    const source = endpoint(clientAddress, port === 0 ? 0 : 32_768 + ports.below(28_000));
    const destination = endpoint(serverAddress, port);
    reports.of(client, server)[traffic].push(connection(protocol, source, destination, counters));
    reports.of(server, client)[traffic].push(connection(protocol, destination, source, mirrored(counters)));
    reports.exchanged(client, server, counters);
  }
}

/** Exit traffic is reported by the exit node alone; without destination logging, each direction is an entry of its own. */
function leave(
  device: SimulatedNode,
  exit: SimulatedNode,
  logsDestinations: boolean,
  random: Random,
  reports: Reports,
): void {
  const entries = reports.of(exit, device).exit;
  const counters = exchange({ request: 12_000, response: 260_000 }, random);
  const overlay = endpoint(device.ipv4, 0);
  if (logsDestinations) {
    const source = endpoint(device.ipv4, 40_000 + random.below(20_000));
    entries.push(connection(6, source, `203.0.113.${1 + random.below(200)}:443`, counters));
  } else {
    entries.push(connection(0, overlay, "", { ...counters, rxPkts: 0, rxBytes: 0 }));
    entries.push(connection(0, "", overlay, { ...counters, txPkts: 0, txBytes: 0 }));
  }
  reports.exchanged(device, exit, counters);
}

function recordOf(node: SimulatedNode, { peers, entries }: Report, window: number, random: Random): Envelope<WireFlow> {
  const startMs = window * windowMs + node.phaseMs;
  const nanoseconds = random.below(1_000_000);
  const recordedMs = startMs + windowMs + 1000 + random.below(2500);
  const traffic = Object.entries(entries).filter(([, list]) => list.length > 0);
  const flow: WireFlow = {
    nodeId: node.description.nodeId,
    start: timeText(startMs, nanoseconds),
    end: timeText(startMs + windowMs, nanoseconds),
    srcNode: node.description,
    dstNodes: [...peers].map(({ description }) => description),
    ...Object.fromEntries(traffic.map(([name, list]) => [`${name}Traffic`, list])),
  };
  return envelope(flow, [recordedMs + 400, recordedMs, random.below(1_000_000)]);
}

/** A connection's counters in one window, as its client counts them; unanswered traffic has no receive side. */
function exchange({ request, response }: Pick<Conversation, "request" | "response">, random: Random): Counters {
  const sent = random.around(request);
  const received = response === 0 ? 0 : random.around(response);
  const packets = Math.ceil(sent / bytesPerPacket) + Math.ceil(received / bytesPerPacket);
  const txPkts = Math.ceil(packets * 0.55);
  const rxPkts = received === 0 ? 0 : Math.ceil(packets * 0.6);
  return {
    txPkts,
    txBytes: sent + txPkts * headerBytesPerPacket,
    rxPkts,
    rxBytes: received + rxPkts * headerBytesPerPacket,
  };
}

function mirrored({ txPkts, txBytes, rxPkts, rxBytes }: Counters): Counters {
  return { txPkts: rxPkts, txBytes: rxBytes, rxPkts: txPkts, rxBytes: txBytes };
}

function connection(proto: number, src: string, dst: string, counters: Counters): WireConnection {
  const members = Object.entries({ proto, src, dst, ...counters });
  return Object.fromEntries(members.filter(([, value]) => value !== 0 && value !== "")) as WireConnection;
}

function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
