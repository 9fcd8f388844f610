/** The simulated tailnet: twelve people with laptops and phones, and servers of every kind. */
import { createRandom } from "./random.ts";
import type { WireNode } from "./wire.ts";

export interface SimulatedNode {
  /** Its index in the list of nodes. */
  readonly index: number;
  readonly role: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Where direct packets to it go. */
  readonly publicEndpoint: string;
  /** Where packets to it go if there is no direct path. */
  readonly relay: string;
  /** Milliseconds by which its windows start later than others. */
  readonly phaseMs: number;
  /** As flow records describe it. */
  readonly description: WireNode;
}

export interface Tailnet {
  readonly seed: number;
  readonly nodes: readonly SimulatedNode[];
  /** First names; the first three are admins. */
  readonly people: readonly string[];
}

/** The name behind every node's own. */
export const tailnetDomain = "tail1234.ts.net";

/** The longest phase of a node, in milliseconds. */
export const maxPhaseMs = 3000;

const servers: readonly (readonly [role: string, names: string, tags: string])[] = [
  ["web", "web-1 web-2 web-3 web-4", "tag:prod tag:web"],
  ["database", "db-1 db-2 db-3", "tag:db tag:prod"],
  ["cache", "cache-1 cache-2", "tag:cache tag:prod"],
  ["worker", "worker-1 worker-2 worker-3 worker-4", "tag:prod tag:worker"],
  ["monitor", "prometheus", "tag:monitoring"],
  ["git", "git", "tag:infra"],
  ["resolver", "dns", "tag:infra"],
  ["storage", "nas", "tag:infra"],
  ["router", "router-hq router-lab", "tag:router"],
  ["exit", "exit-ams exit-fra", "tag:exit"],
];

/** Those who use each combination of laptop and phone. */
const owners: readonly (readonly [names: string, laptopOs: string, phoneOs?: string])[] = [
  ["alice chiara elif hana kavya", "macOS", "iOS"],
  ["bruno femi", "linux", "android"],
  ["greta", "windows", "android"],
  ["dmitri jun lars", "windows"],
  ["ivo", "linux"],
];

/** About forty nodes; the same for the same seed. */
export function buildTailnet(seed: number): Tailnet {
  const devices = owners.flatMap(([names, laptop, phone]) => names.split(" ").map((name) => ({ name, laptop, phone })));
  const descriptions = [
    ...servers.flatMap(([role, names, tags]) =>
      names.split(" ").map((name) => ({ role, name, more: { os: "linux", tags: tags.split(" ") } })),
    ),
    ...devices.map(({ name, laptop: os }) => ({ role: "laptop", name: `${name}-laptop`, more: ownedBy(name, os) })),
    ...devices.flatMap(({ name, phone: os }) =>
      os === undefined ? [] : [{ role: "phone", name: `${name}-phone`, more: ownedBy(name, os) }],
    ),
  ];
  const nodes = descriptions.map(({ role, name, more }, index) =>
    nodeOf(createRandom(seed, 1, index), index, role, name, more),
  );
  return { seed, nodes, people: devices.map(({ name }) => name) };
}

/** The nodes of some roles, in their order. */
export function nodesOf({ nodes }: Tailnet, ...roles: readonly string[]): readonly SimulatedNode[] {
  return nodes.filter(({ role }) => roles.includes(role));
}

function ownedBy(name: string, os: string) {
  return { os, user: `${name}@example.com` };
}

/** The documentation ranges, so that nothing in the demo is anyone's address. */
const publicNetworks = ["192.0.2.", "198.51.100.", "203.0.113."] as const;

function nodeOf(
  random: ReturnType<typeof createRandom>,
  index: number,
  role: string,
  name: string,
  more: Pick<WireNode, "os" | "user" | "tags">,
): SimulatedNode {
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
    relay: `127.3.3.40:${1 + random.below(20)}`,
    phaseMs: random.below(maxPhaseMs),
    description: { nodeId, name: `${name}.${tailnetDomain}`, addresses: [ipv4, ipv6], ...more },
  };
}
