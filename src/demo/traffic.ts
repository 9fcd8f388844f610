/** The flow records of one window: every flow is reported by both of its ends, with mirrored counters. */
import { conversationsOf, exitUsesOf } from "./conversations.ts";
import type { Conversation, ExitUse } from "./conversations.ts";
import { createRandom } from "./random.ts";
import type { Random } from "./random.ts";
import type { SimulatedNode, Tailnet } from "./tailnet.ts";
import { maxPhaseMs } from "./tailnet.ts";
import { connection, envelope, mirrored, timeText } from "./wire.ts";
import type { Counters, Envelope, WireConnection, WireFlow } from "./wire.ts";

/** Windows are numbered since the epoch; number `n` begins at `n * windowMs`. */
export const windowMs = 5000;

/** A window's records exist once this much time has passed since it began: nothing they say lies in the future. */
export const windowSettledMs = 2 * windowMs + maxPhaseMs;

/** Gives the records of any window, in any order; the same for the same tailnet and number. */
export type Traffic = (window: number) => readonly Envelope<WireFlow>[];

export function createTraffic(tailnet: Tailnet): Traffic {
  const conversations = conversationsOf(tailnet);
  const exitUses = exitUsesOf(tailnet);
  return (window) => {
    const random = createRandom(tailnet.seed, 4, window);
    const reports = new Map<SimulatedNode, Report>();
    const paths = new Map<string, Path>();
    for (const conversation of conversations) {
      if (random.chance(conversation.activity)) converse(tailnet.seed, conversation, window, random, reports, paths);
    }
    for (const exitUse of exitUses) {
      if (random.chance(exitUse.activity)) leave(exitUse, random, reports, paths);
    }
    for (const path of paths.values()) travel(tailnet.seed, path, reports);
    return [...reports].map(([node, report]) => recordOf(node, report, window, random));
  };
}

/** What one node has to say about one window. */
interface Report {
  readonly peers: Set<SimulatedNode>;
  readonly virtual: WireConnection[];
  readonly subnet: WireConnection[];
  readonly exit: WireConnection[];
  readonly physical: WireConnection[];
}

/** Everything that two nodes exchanged in a window, as the first of them counts it. */
interface Path {
  readonly from: SimulatedNode;
  readonly to: SimulatedNode;
  readonly sums: Counters[];
}

/** WireGuard, UDP and IP headers around each packet. */
const overheadBytesPerPacket = 60;

/** Payload of a full packet, and what the headers inside the tunnel add to every one. */
const bytesPerPacket = 1180;
const headerBytesPerPacket = 40;

/** A connection keeps its client port for this many windows. */
const connectionWindows = 24;

function converse(
  seed: number,
  conversation: Conversation,
  window: number,
  random: Random,
  reports: Map<SimulatedNode, Report>,
  paths: Map<string, Path>,
): void {
  const { client, server, protocol, port, internalAddress } = conversation;
  const clientAddress = conversation.overIpv6 ? client.ipv6 : client.ipv4;
  const serverAddress = internalAddress ?? (conversation.overIpv6 ? server.ipv6 : server.ipv4);
  const traffic = internalAddress === undefined ? "virtual" : "subnet";
  const lifetime = Math.floor((window + client.index) / connectionWindows);
  const ports = createRandom(seed, 5, client.index, server.index, port, lifetime);
  for (let open = 0; open < conversation.connections; open++) {
    const clientPort = port === 0 ? 0 : 32_768 + ports.below(28_000);
    const counters = exchange(conversation.requestBytes, conversation.responseBytes, random);
    const source = endpoint(clientAddress, clientPort);
    const destination = endpoint(serverAddress, port);
    reportOf(reports, client, server)[traffic].push(connection(protocol, source, destination, counters));
    reportOf(reports, server, client)[traffic].push(connection(protocol, destination, source, mirrored(counters)));
    pathOf(paths, client, server).push(counters);
  }
}

/** Exit traffic is told by the exit node alone; without destination logging, each direction is an entry of its own. */
function leave(exitUse: ExitUse, random: Random, reports: Map<SimulatedNode, Report>, paths: Map<string, Path>): void {
  const { device, exit } = exitUse;
  const entries = reportOf(reports, exit, device).exit;
  const sites = exitUse.logsDestinations ? 1 + random.below(4) : 1;
  for (let site = 0; site < sites; site++) {
    const counters = exchange(12_000, 260_000, random);
    if (exitUse.logsDestinations) {
      const isQuic = random.chance(0.4);
      const source = endpoint(device.ipv4, 40_000 + random.below(20_000));
      const destination = isQuic ? `[2001:db8::${1 + random.below(40)}]:443` : `203.0.113.${1 + random.below(200)}:443`;
      entries.push(connection(isQuic ? 17 : 6, source, destination, counters));
    } else {
      const overlay = endpoint(device.ipv4, 0);
      entries.push(connection(0, overlay, "", { ...counters, rxPackets: 0, rxBytes: 0 }));
      entries.push(connection(0, "", overlay, { ...counters, txPackets: 0, txBytes: 0 }));
    }
    pathOf(paths, device, exit).push(counters);
  }
}

/** The physical entries of both ends: the peer's overlay address, and where the packets for it went. */
function travel(seed: number, path: Path, reports: Map<SimulatedNode, Report>): void {
  const { from, to } = path;
  const isRelayed = createRandom(seed, 6, from.index, to.index).chance(0.15);
  const counters = path.sums.map(encapsulated).reduce(sum);
  const relay = `127.3.3.40:${to.derpRegion}`;
  const there = connection(0, endpoint(to.ipv4, 0), isRelayed ? relay : to.publicEndpoint, counters);
  const back = connection(0, endpoint(from.ipv4, 0), isRelayed ? relay : from.publicEndpoint, mirrored(counters));
  reportOf(reports, from, to).physical.push(there);
  reportOf(reports, to, from).physical.push(back);
}

function recordOf(node: SimulatedNode, report: Report, window: number, random: Random): Envelope<WireFlow> {
  const startMs = window * windowMs + node.phaseMs;
  const startNanoseconds = random.below(1_000_000);
  const recordedMs = startMs + windowMs + 1000 + random.below(2500);
  const flow: WireFlow = {
    nodeId: node.description.nodeId,
    start: timeText(startMs, startNanoseconds),
    end: timeText(startMs + windowMs, startNanoseconds),
    srcNode: node.description,
    ...(report.peers.size > 0 && {
      dstNodes: [...report.peers].map((peer) => peer.description),
    }),
    ...(report.virtual.length > 0 && { virtualTraffic: report.virtual }),
    ...(report.subnet.length > 0 && { subnetTraffic: report.subnet }),
    ...(report.exit.length > 0 && { exitTraffic: report.exit }),
    ...(report.physical.length > 0 && { physicalTraffic: report.physical }),
  };
  return envelope(flow, recordedMs + 400, recordedMs, random.below(1_000_000));
}

/** A connection's counters in one window, as its client counts them; what nothing answers has no receive side. */
function exchange(requestBytes: number, responseBytes: number, random: Random): Counters {
  const sent = random.around(requestBytes);
  const received = responseBytes === 0 ? 0 : random.around(responseBytes);
  const dataPackets = Math.ceil(sent / bytesPerPacket) + Math.ceil(received / bytesPerPacket);
  if (received === 0) return { txPackets: dataPackets, txBytes: sent, rxPackets: 0, rxBytes: 0 };
  const txPackets = Math.ceil(dataPackets * 0.55);
  const rxPackets = Math.ceil(dataPackets * 0.6);
  return {
    txPackets,
    txBytes: sent + txPackets * headerBytesPerPacket,
    rxPackets,
    rxBytes: received + rxPackets * headerBytesPerPacket,
  };
}

function encapsulated(counters: Counters): Counters {
  return {
    ...counters,
    txBytes: counters.txBytes + counters.txPackets * overheadBytesPerPacket,
    rxBytes: counters.rxBytes + counters.rxPackets * overheadBytesPerPacket,
  };
}

function sum(left: Counters, right: Counters): Counters {
  return {
    txPackets: left.txPackets + right.txPackets,
    txBytes: left.txBytes + right.txBytes,
    rxPackets: left.rxPackets + right.rxPackets,
    rxBytes: left.rxBytes + right.rxBytes,
  };
}

function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function reportOf(reports: Map<SimulatedNode, Report>, node: SimulatedNode, peer: SimulatedNode): Report {
  let report = reports.get(node);
  if (report === undefined) {
    report = { peers: new Set(), virtual: [], subnet: [], exit: [], physical: [] };
    reports.set(node, report);
  }
  report.peers.add(peer);
  return report;
}

/** The list that a flow's counters belong in; two nodes share one, whoever of them is the client. */
function pathOf(
  paths: Map<string, Path>,
  client: SimulatedNode,
  server: SimulatedNode,
): { push(counters: Counters): void } {
  const known = paths.get(`${server.index} ${client.index}`);
  if (known !== undefined) return { push: (counters) => known.sums.push(mirrored(counters)) };
  const key = `${client.index} ${server.index}`;
  const path = paths.get(key) ?? { from: client, to: server, sums: [] };
  paths.set(key, path);
  return { push: (counters) => path.sums.push(counters) };
}
