/** The simulated tailnet: twelve people with laptops and phones, and servers of every kind. */
import { createRandom } from "./random.ts";
import type { WireNode } from "./wire.ts";

export interface Person {
  readonly userId: string;
  readonly loginName: string;
  readonly displayName: string;
  readonly firstName: string;
  /** May change the settings of the tailnet. */
  readonly isAdmin: boolean;
}

export interface SimulatedNode {
  /** Its index in the list of nodes. */
  readonly index: number;
  readonly role: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Where direct packets to it go. */
  readonly publicEndpoint: string;
  /** The DERP region that relays for it if there is no direct path. */
  readonly derpRegion: number;
  /** Milliseconds by which its windows start later than others. */
  readonly phaseMs: number;
  /** As flow records describe it. */
  readonly description: WireNode;
}

export interface Tailnet {
  readonly seed: number;
  readonly nodes: readonly SimulatedNode[];
  readonly people: readonly Person[];
}

/** The name behind every node's own. */
export const tailnetDomain = "tail1234.ts.net";

/** The longest phase of a node, in milliseconds. */
export const maxPhaseMs = 3000;

const servers: Readonly<Record<string, readonly [names: readonly string[], tags: readonly string[]]>> = {
  web: [
    ["web-1", "web-2", "web-3", "web-4"],
    ["tag:prod", "tag:web"],
  ],
  database: [
    ["db-1", "db-2", "db-3"],
    ["tag:db", "tag:prod"],
  ],
  cache: [
    ["cache-1", "cache-2"],
    ["tag:cache", "tag:prod"],
  ],
  worker: [
    ["worker-1", "worker-2", "worker-3", "worker-4"],
    ["tag:prod", "tag:worker"],
  ],
  monitor: [["prometheus"], ["tag:monitoring"]],
  git: [["git"], ["tag:infra"]],
  resolver: [["dns"], ["tag:infra"]],
  storage: [["nas"], ["tag:infra"]],
  router: [["router-hq", "router-lab"], ["tag:router"]],
  exit: [["exit-ams", "exit-fra"], ["tag:exit"]],
};

/** First names, with the systems of laptop and phone; the first three are admins. */
const owners: readonly (readonly [firstName: string, laptopOs: string, phoneOs?: string])[] = [
  ["alice", "macOS", "iOS"],
  ["bruno", "linux", "android"],
  ["greta", "windows", "android"],
  ["chiara", "macOS", "iOS"],
  ["dmitri", "windows"],
  ["elif", "macOS", "iOS"],
  ["femi", "linux", "android"],
  ["hana", "macOS", "iOS"],
  ["ivo", "linux"],
  ["jun", "windows"],
  ["kavya", "macOS", "iOS"],
  ["lars", "windows"],
];
const admins = 3;

/** About forty nodes; the same for the same seed. */
export function buildTailnet(seed: number): Tailnet {
  const nodes: SimulatedNode[] = [];
  const add = (role: string, name: string, more: Pick<WireNode, "os" | "user" | "tags">): void => {
    nodes.push(nodeOf(seed, nodes.length, role, name, more));
  };
  for (const [role, [names, tags]] of Object.entries(servers))
    for (const name of names) add(role, name, { os: "linux", tags });
  for (const [name, os] of owners) add("laptop", `${name}-laptop`, { os, user: `${name}@example.com` });
  for (const [name, , os] of owners)
    if (os !== undefined) add("phone", `${name}-phone`, { os, user: `${name}@example.com` });
  return { seed, nodes, people: owners.map(([firstName], place) => personOf(firstName, place < admins)) };
}

/** The nodes of some roles, in their order. */
export function nodesOf({ nodes }: Tailnet, ...roles: readonly string[]): readonly SimulatedNode[] {
  return nodes.filter(({ role }) => roles.includes(role));
}

/** The documentation ranges, so that nothing in the demo is anyone's address. */
const publicNetworks = ["192.0.2.", "198.51.100.", "203.0.113."] as const;

function nodeOf(
  seed: number,
  index: number,
  role: string,
  name: string,
  more: Pick<WireNode, "os" | "user" | "tags">,
): SimulatedNode {
  const random = createRandom(seed, 1, index);
  const host = 10 + index;
  const ipv4 = `100.64.1.${host}`;
  const ipv6 = `fd7a:115c:a1e0::${host.toString(16)}`;
  const nodeId = `n${name.replace(/[^a-z0-9]/g, "").toUpperCase()}CNTRL`;
  return {
    index,
    role,
    ipv4,
    ipv6,
    publicEndpoint: random.chance(0.2)
      ? `[2001:db8::${host.toString(16)}]:41641`
      : `${random.pick(publicNetworks)}${host}:41641`,
    derpRegion: 1 + random.below(20),
    phaseMs: random.below(maxPhaseMs),
    description: { nodeId, name: `${name}.${tailnetDomain}`, addresses: [ipv4, ipv6], ...more },
  };
}

function personOf(firstName: string, isAdmin: boolean): Person {
  return {
    userId: `u${firstName.toUpperCase()}1CNTRL`,
    loginName: `${firstName}@example.com`,
    displayName: `${firstName.charAt(0).toUpperCase()}${firstName.slice(1)} Example`,
    firstName,
    isAdmin,
  };
}
