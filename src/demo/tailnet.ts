/** The simulated tailnet: people with laptops and phones, and servers of every kind, in sites of about forty nodes. */
import { createRandom } from "./random.ts";
import type { WireNode } from "./wire.ts";

export interface SimulatedNode {
  /** Index in the list of nodes. */
  readonly index: number;
  readonly role: string;
  /** Most of its traffic stays within its site. */
  readonly site: number;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Destination of direct packets to it. */
  readonly publicEndpoint: string;
  /** Destination of packets to it if there is no direct path. */
  readonly relay: string;
  /** Milliseconds by which its windows are shifted. */
  readonly phaseMs: number;
  /** The node as described in flow records. */
  readonly description: WireNode;
}

export interface Tailnet {
  readonly seed: number;
  readonly nodes: readonly SimulatedNode[];
  /** First names; the first three are admins. */
  readonly people: readonly string[];
}

/** Suffix of every node's name. */
export const tailnetDomain = "tail1234.ts.net";

/** Upper bound of a node's phase, in milliseconds. */
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

/** The owners of each combination of laptop and phone. */
const owners: readonly (readonly [names: string, laptopOs: string, phoneOs?: string])[] = [
  ["alice chiara elif hana kavya", "macOS", "iOS"],
  ["bruno femi", "linux", "android"],
  ["greta", "windows", "android"],
  ["dmitri jun lars", "windows"],
  ["ivo", "linux"],
];

type Device = Pick<SimulatedNode, "role"> & {
  readonly name: string;
  readonly more: Pick<WireNode, "os" | "user" | "tags">;
};

/** The devices of one site, grouped by role. */
const people = owners.flatMap(([names, laptop, phone]) => names.split(" ").map((name) => ({ name, laptop, phone })));
const families: readonly (readonly Device[])[] = [
  ...servers.map(([role, names, tags]) =>
    names.split(" ").map((name) => ({ role, name, more: { os: "linux", tags: tags.split(" ") } })),
  ),
  people.map(({ name, laptop: os }) => ({ role: "laptop", name: `${name}-laptop`, more: ownedBy(name, os) })),
  people.flatMap(({ name, phone: os }) =>
    os === undefined ? [] : [{ role: "phone", name: `${name}-phone`, more: ownedBy(name, os) }],
  ),
];

/** Interleaves the roles, so that the first few devices make up a small tailnet of their own. */
const siteDevices: readonly Device[] = families
  .flatMap((devices) => devices.map((device, place) => ({ device, share: place / devices.length })))
  .toSorted((left, right) => left.share - right.share)
  .map(({ device }) => device);

/** Nodes per site, about forty. */
export const defaultNodes = siteDevices.length;

/** The result depends only on the seed and the number of nodes. */
export function buildTailnet(seed: number, nodeCount: number = defaultNodes): Tailnet {
  const nodes = Array.from({ length: nodeCount }, (_, index) => {
    const site = Math.floor(index / defaultNodes);
    const device = siteDevices[index % defaultNodes] as Device;
    return nodeOf(createRandom(seed, 1, index), index, site, site === 0 ? device : elsewhere(device, site));
  });
  return { seed, nodes, people: people.map(({ name }) => name) };
}

/** The corresponding device at another site: at the second one, `web-1` becomes `web-5` and `alice-laptop` becomes `alice-2-laptop`. */
function elsewhere({ role, name, more }: Device, site: number): Device {
  const [first = "", rest = ""] = name.split("-");
  if (more.user !== undefined) {
    const owner = `${first}-${site + 1}`;
    return { role, name: `${owner}-${rest}`, more: ownedBy(owner, more.os) };
  }
  const peers = families.find((devices) => devices.some((device) => device.name === name)) ?? [];
  const place = peers.findIndex((device) => device.name === name);
  return { role, name: `${first}-${site * peers.length + place + 1}`, more };
}

/** The nodes with the given roles, in order. */
export function nodesOf({ nodes }: Tailnet, ...roles: readonly string[]): readonly SimulatedNode[] {
  return nodes.filter(({ role }) => roles.includes(role));
}

function ownedBy(name: string, os: string) {
  return { os, user: `${name}@example.com` };
}

/** Documentation ranges, so that the demo contains nobody's address. */
const publicNetworks = ["192.0.2.", "198.51.100.", "203.0.113."] as const;

function nodeOf(
  random: ReturnType<typeof createRandom>,
  index: number,
  site: number,
  { role, name, more }: Device,
): SimulatedNode {
  const host = 10 + index;
  const [block, place] = [host >> 8, host & 255];
  const ipv4 = `100.64.${1 + block}.${place}`;
  const ipv6 = `fd7a:115c:a1e0::${host.toString(16)}`;
  const nodeId = `n${name.replace(/[^a-z0-9]/g, "").toUpperCase()}CNTRL`;
  return {
    index,
    role,
    site,
    ipv4,
    ipv6,
    publicEndpoint: random.chance(0.2)
      ? `[2001:db8::${host.toString(16)}]:41641`
      : `${random.pick(publicNetworks)}${place}:${41_641 + block}`,
    relay: `127.3.3.40:${1 + random.below(20)}`,
    phaseMs: random.below(maxPhaseMs),
    description: { nodeId, name: `${name}.${tailnetDomain}`, addresses: [ipv4, ipv6], ...more },
  };
}
