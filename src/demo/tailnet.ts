/** The nodes of the simulated tailnet: servers of every kind, routers, exit nodes, laptops and phones. */
import { people } from "./people.ts";
import type { Person } from "./people.ts";
import { createRandom } from "./random.ts";
import type { WireNode } from "./wire.ts";

export type Role =
  | "web"
  | "database"
  | "cache"
  | "worker"
  | "monitor"
  | "git"
  | "resolver"
  | "storage"
  | "router"
  | "exit"
  | "laptop"
  | "phone";

export interface SimulatedNode {
  /** Its place in the tailnet's list. */
  readonly index: number;
  readonly role: Role;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Where direct packets to it go. */
  readonly publicEndpoint: string;
  /** The DERP region that relays for it where no direct path is found. */
  readonly derpRegion: number;
  /** Milliseconds by which its windows start later than others. */
  readonly phaseMs: number;
  readonly owner: Person | undefined;
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

/** About forty nodes; the same for the same seed. */
export function buildTailnet(seed: number): Tailnet {
  const nodes: SimulatedNode[] = [];
  let group = 0;
  for (const [role, names, tags] of servers) {
    group++;
    names.forEach((name, position) => nodes.push(server(seed, nodes.length, role, name, tags, group, position + 1)));
  }
  people.forEach((owner, position) => {
    nodes.push(device(seed, nodes.length, "laptop", owner, owner.laptopOs, group + 1, position + 1));
  });
  people.forEach((owner, position) => {
    if (owner.phoneOs === undefined) return;
    nodes.push(device(seed, nodes.length, "phone", owner, owner.phoneOs, group + 2, position + 1));
  });
  return { seed, nodes, people };
}

/** The nodes of one role, in their order. */
export function nodesOf(tailnet: Tailnet, role: Role): readonly SimulatedNode[] {
  return tailnet.nodes.filter((node) => node.role === role);
}

const servers: readonly (readonly [Role, readonly string[], readonly string[]])[] = [
  ["web", ["web-1", "web-2", "web-3", "web-4"], ["tag:prod", "tag:web"]],
  ["database", ["db-1", "db-2", "db-3"], ["tag:db", "tag:prod"]],
  ["cache", ["cache-1", "cache-2"], ["tag:cache", "tag:prod"]],
  ["worker", ["worker-1", "worker-2", "worker-3", "worker-4"], ["tag:prod", "tag:worker"]],
  ["monitor", ["prometheus"], ["tag:monitoring"]],
  ["git", ["git"], ["tag:infra"]],
  ["resolver", ["dns"], ["tag:infra"]],
  ["storage", ["nas"], ["tag:infra"]],
  ["router", ["router-hq", "router-lab"], ["tag:router"]],
  ["exit", ["exit-ams", "exit-fra"], ["tag:exit"]],
];

/** The documentation ranges, so that nothing in the demo is anyone's address. */
const publicNetworks = ["192.0.2.", "198.51.100.", "203.0.113."] as const;

function server(
  seed: number,
  index: number,
  role: Role,
  name: string,
  tags: readonly string[],
  group: number,
  position: number,
): SimulatedNode {
  const base = common(seed, index, group, position);
  const description = {
    nodeId: nodeIdOf(name),
    name: `${name}.${tailnetDomain}`,
    addresses: [base.ipv4, base.ipv6],
    os: "linux",
    tags,
  };
  return { ...base, role, owner: undefined, description };
}

function device(
  seed: number,
  index: number,
  role: "laptop" | "phone",
  owner: Person,
  os: string,
  group: number,
  position: number,
): SimulatedNode {
  const name = `${owner.firstName}-${role}`;
  const base = common(seed, index, group, position);
  const description = {
    nodeId: nodeIdOf(name),
    name: `${name}.${tailnetDomain}`,
    addresses: [base.ipv4, base.ipv6],
    os,
    user: owner.loginName,
  };
  return { ...base, role, owner, description };
}

function common(seed: number, index: number, group: number, position: number) {
  const random = createRandom(seed, 1, index);
  const hasPublicIpv6 = random.chance(0.2);
  const host = 10 + index;
  return {
    index,
    ipv4: `100.64.${group}.${position}`,
    ipv6: `fd7a:115c:a1e0::${group.toString(16)}:${position.toString(16)}`,
    publicEndpoint: hasPublicIpv6
      ? `[2001:db8::${host.toString(16)}]:41641`
      : `${random.pick(publicNetworks)}${host}:41641`,
    derpRegion: 1 + random.below(20),
    phaseMs: random.below(maxPhaseMs),
  };
}

function nodeIdOf(name: string): string {
  return `n${name.replace(/[^a-z0-9]/g, "").toUpperCase()}CNTRL`;
}
