/** Who talks to whom in the simulated tailnet: the standing habits that each window's traffic is drawn from. */
import { createRandom } from "./random.ts";
import type { Random } from "./random.ts";
import { nodesOf } from "./tailnet.ts";
import type { SimulatedNode, Tailnet } from "./tailnet.ts";

/** IANA protocol numbers; 99 is how Tailscale reports its own rejection notices. */
export const protocols = { icmp: 1, tcp: 6, udp: 17, tsmp: 99 } as const;

export interface Conversation {
  readonly client: SimulatedNode;
  readonly server: SimulatedNode;
  /** The host behind the server, for traffic that a subnet router passes on. */
  readonly internalAddress: string | undefined;
  readonly protocol: number;
  /** 0: the protocol has no ports. */
  readonly port: number;
  /** Connections that are open side by side. */
  readonly connections: number;
  /** The probability that it is heard in a window. */
  readonly activity: number;
  /** Typical bytes that the client sends in a window, on each connection. */
  readonly requestBytes: number;
  /** Typical bytes that it receives; 0 where nothing answers. */
  readonly responseBytes: number;
  readonly overIpv6: boolean;
}

/** A device whose internet traffic leaves through an exit node. */
export interface ExitUse {
  readonly device: SimulatedNode;
  readonly exit: SimulatedNode;
  readonly activity: number;
  /** Whether the exit node logs where the traffic goes. */
  readonly logsDestinations: boolean;
}

/** Every standing conversation; the same for the same tailnet. */
export function conversationsOf(tailnet: Tailnet): readonly Conversation[] {
  const random = createRandom(tailnet.seed, 2);
  return [...betweenServers(tailnet), ...ofMonitoring(tailnet), ...ofPeople(tailnet, random)];
}

export function exitUsesOf(tailnet: Tailnet): readonly ExitUse[] {
  const random = createRandom(tailnet.seed, 3);
  const exits = nodesOf(tailnet, "exit");
  const devices = [...nodesOf(tailnet, "phone"), ...nodesOf(tailnet, "laptop")];
  return devices
    .filter((device) => random.chance(device.role === "phone" ? 0.6 : 0.25))
    .map((device) => {
      const exit = random.pick(exits);
      return { device, exit, activity: 0.6, logsDestinations: exit === exits[1] };
    });
}

function betweenServers(tailnet: Tailnet): Conversation[] {
  const [primary, replica, archive] = nodesOf(tailnet, "database");
  const [storage] = nodesOf(tailnet, "storage");
  const conversations: Conversation[] = [];
  for (const web of nodesOf(tailnet, "web")) {
    for (const database of [primary, replica]) {
      conversations.push(
        talk(web, database, 5432, { connections: 5, activity: 0.95, request: 9_000, response: 160_000 }),
      );
    }
    for (const cache of nodesOf(tailnet, "cache")) {
      conversations.push(
        talk(web, cache, 6379, { connections: 3, activity: 0.9, request: 4_000, response: 26_000, overIpv6: true }),
      );
    }
  }
  for (const worker of nodesOf(tailnet, "worker")) {
    conversations.push(
      talk(worker, primary, 5432, { connections: 2, activity: 0.8, request: 60_000, response: 14_000 }),
    );
    conversations.push(talk(worker, storage, 443, { activity: 0.5, request: 1_800_000, response: 9_000 }));
  }
  conversations.push(talk(replica, primary, 5432, { activity: 1, request: 3_000, response: 420_000 }));
  conversations.push(talk(archive, primary, 5432, { activity: 1, request: 3_000, response: 410_000 }));
  conversations.push(talk(primary, storage, 873, { activity: 0.15, request: 9_000_000, response: 40_000 }));
  return conversations;
}

function ofMonitoring(tailnet: Tailnet): Conversation[] {
  const [monitor] = nodesOf(tailnet, "monitor");
  const [resolver] = nodesOf(tailnet, "resolver");
  const conversations: Conversation[] = [];
  for (const node of tailnet.nodes) {
    if (node !== resolver) {
      const lookups = { protocol: protocols.udp, activity: 0.4, request: 140, response: 320 };
      conversations.push(talk(node, resolver, 53, lookups));
    }
    if (node.owner !== undefined || node === monitor) continue;
    conversations.push(talk(monitor, node, 9100, { activity: 0.4, request: 900, response: 38_000 }));
    conversations.push(talk(monitor, node, 0, { protocol: protocols.icmp, activity: 0.3, request: 84, response: 84 }));
  }
  return conversations;
}

function ofPeople(tailnet: Tailnet, random: Random): Conversation[] {
  const webs = nodesOf(tailnet, "web");
  const [git] = nodesOf(tailnet, "git");
  const [storage] = nodesOf(tailnet, "storage");
  const [headquarters, laboratory] = nodesOf(tailnet, "router");
  const [primary] = nodesOf(tailnet, "database");
  const laptops = nodesOf(tailnet, "laptop");
  const conversations: Conversation[] = [];
  for (const [position, laptop] of laptops.entries()) {
    conversations.push(
      talk(laptop, random.pick(webs), 443, { connections: 3, activity: 0.7, request: 5_000, response: 120_000 }),
    );
    conversations.push(talk(laptop, git, 22, { activity: 0.25, request: 7_000, response: 90_000 }));
    conversations.push(talk(laptop, storage, 445, { activity: 0.2, request: 50_000, response: 700_000 }));
    const toOffice = {
      activity: 0.35,
      request: 2_500,
      response: 21_000,
      internalAddress: `10.20.0.${15 + (position % 5)}`,
    };
    conversations.push(talk(laptop, headquarters, random.pick([22, 443, 3389]), toOffice));
    const toLaboratory = {
      activity: 0.15,
      request: 900,
      response: 15_000,
      internalAddress: `10.30.4.${7 + (position % 3)}`,
    };
    conversations.push(talk(laptop, laboratory, 80, toLaboratory));
  }
  for (const phone of nodesOf(tailnet, "phone")) {
    const pages = { connections: 2, activity: 0.3, request: 2_000, response: 60_000, overIpv6: true };
    conversations.push(talk(phone, random.pick(webs), 443, pages));
  }
  const curious = random.pick(laptops);
  // What the policy forbids: the database answers with a rejection notice and nothing else.
  conversations.push(talk(primary, curious, 0, { protocol: protocols.tsmp, activity: 0.1, request: 48, response: 0 }));
  return conversations;
}

interface Habit {
  readonly activity: number;
  readonly request: number;
  readonly response: number;
  readonly protocol?: number;
  readonly connections?: number;
  readonly overIpv6?: boolean;
  readonly internalAddress?: string;
}

function talk(
  client: SimulatedNode | undefined,
  server: SimulatedNode | undefined,
  port: number,
  habit: Habit,
): Conversation {
  if (client === undefined || server === undefined)
    throw new RangeError("the tailnet lacks a node for this conversation");
  return {
    client,
    server,
    internalAddress: habit.internalAddress,
    protocol: habit.protocol ?? protocols.tcp,
    port,
    connections: habit.connections ?? 1,
    activity: habit.activity,
    requestBytes: habit.request,
    responseBytes: habit.response,
    overIpv6: habit.overIpv6 ?? false,
  };
}
