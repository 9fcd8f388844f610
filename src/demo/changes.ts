/** The audit records of one window: people, nodes and Tailscale itself changing the settings of the tailnet. */
import type { Person } from "./people.ts";
import { createRandom } from "./random.ts";
import type { Random } from "./random.ts";
import type { SimulatedNode, Tailnet } from "./tailnet.ts";
import { nodesOf, tailnetDomain } from "./tailnet.ts";
import { windowMs } from "./traffic.ts";
import { envelope } from "./wire.ts";
import type { Envelope, WireActor, WireAudit, WireTarget } from "./wire.ts";

/** The audit records of a window, in order of time; most windows have none. */
export function changesIn(tailnet: Tailnet, window: number): readonly Envelope<WireAudit>[] {
  const random = createRandom(tailnet.seed, 7, window);
  if (!random.chance(0.4)) return [];
  const operation = random.pick(operations);
  const eventGroupID = Array.from({ length: 20 }, () => random.below(16).toString(16)).join("");
  const timeMs = window * windowMs + random.below(windowMs);
  return operation(tailnet, random).map((change, position) => {
    const at = timeMs + position;
    return envelope({ eventGroupID, ...change }, at, at + 250 + random.below(900), random.below(1_000_000));
  });
}

type Change = Omit<WireAudit, "eventGroupID">;

/** What one operation leaves in the audit log: its records share a group. */
type Operation = (tailnet: Tailnet, random: Random) => readonly Change[];

const operations: readonly Operation[] = [
  editPolicy,
  signIn,
  joinWithDevice,
  tagNode,
  keepKeyForever,
  expireKey,
  changeRole,
  createApiKey,
  takeAccessToken,
  setNameservers,
  switchFeature,
];

function editPolicy(tailnet: Tailnet, random: Random): readonly Change[] {
  const port = random.pick([443, 5432, 6379, 9100]);
  const group = random.pick(["group:engineering", "group:support", "group:ops"]);
  const rule = (target: string) =>
    `{\n  // who may reach what → these ✓\n  "acls": [{"action":"accept","src":["${group}"],"dst":["${target}"]}]\n}`;
  return [
    byAdmin(tailnet, random, tailnetTarget("ACL"), "UPDATE", {
      old: rule("tag:web:443"),
      new: rule(`tag:prod:${port}`),
    }),
  ];
}

function signIn(tailnet: Tailnet, random: Random): readonly Change[] {
  const person = random.pick(tailnet.people);
  const target: WireTarget = { id: person.userId, name: person.loginName, type: "USER" };
  return [{ origin: "ADMIN_CONSOLE", actor: actorOf(person), target, action: "LOGIN" }];
}

function joinWithDevice(tailnet: Tailnet, random: Random): readonly Change[] {
  const person = random.pick(tailnet.people);
  const name = `${person.firstName}-tablet`;
  const target: WireTarget = {
    id: `n${person.firstName.toUpperCase()}TABLETCNTRL`,
    name: `${name}.${tailnetDomain}`,
    type: "NODE",
  };
  const expiry = `2027-0${1 + random.below(9)}-01T09:15:00Z`;
  const shared = { origin: "NODE", actor: actorOf(person) };
  return [
    { ...shared, target, action: "CREATE" },
    {
      ...shared,
      target: { ...target, property: "KEY_EXPIRY_TIME" },
      action: "UPDATE",
      old: "0001-01-01T00:00:00Z",
      new: expiry,
    },
  ];
}

function tagNode(tailnet: Tailnet, random: Random): readonly Change[] {
  const node = random.pick([...nodesOf(tailnet, "web"), ...nodesOf(tailnet, "worker")]);
  const tags = node.description.tags ?? [];
  const target = nodeTarget(node, "ACL_TAGS");
  return [
    byAdmin(tailnet, random, target, "UPDATE", {
      old: tags,
      new: [...tags, random.pick(["tag:canary", "tag:patched"])],
    }),
  ];
}

function keepKeyForever(tailnet: Tailnet, random: Random): readonly Change[] {
  const target = nodeTarget(random.pick(nodesOf(tailnet, "database")), "KEY_EXPIRY");
  return [byAdmin(tailnet, random, target, random.pick(["ENABLE", "DISABLE"]), { old: true, new: false })];
}

function expireKey(tailnet: Tailnet, random: Random): readonly Change[] {
  const target = nodeTarget(random.pick(nodesOf(tailnet, "phone")), "KEY_EXPIRY");
  const actor: WireActor = { id: "", type: "AUTOMATED_WORKER", loginName: "", displayName: "expiry" };
  return [{ origin: "CONTROL", actor, target, action: "EXPIRED", old: true, new: false }];
}

function changeRole(tailnet: Tailnet, random: Random): readonly Change[] {
  const person = random.pick(tailnet.people);
  const target: WireTarget = { id: person.userId, name: person.loginName, type: "USER", property: "USER_ROLE" };
  return [
    byAdmin(tailnet, random, target, "UPDATE", {
      old: "member",
      new: random.pick(["network-admin", "auditor", "it-admin"]),
    }),
  ];
}

function createApiKey(tailnet: Tailnet, random: Random): readonly Change[] {
  const target: WireTarget = {
    id: `k${random.below(900) + 100}CNTRL`,
    name: "deploy key",
    type: "API_KEY",
  };
  return [
    byAdmin(tailnet, random, target, "CREATE", {
      new: { capabilities: ["devices:write"], expirySeconds: 7_776_000 },
    }),
  ];
}

function takeAccessToken(_tailnet: Tailnet, random: Random): readonly Change[] {
  const actor: WireActor = { id: "k123CNTRL", type: "OAUTH_CLIENT", loginName: "", displayName: "collector" };
  const target: WireTarget = {
    id: `k${random.below(900) + 100}CNTRL`,
    name: "access token",
    type: "OAUTH_ACCESS_TOKEN",
  };
  return [{ origin: "CONFIG_API", actor, target, action: "CREATE", actionDetails: "scopes - logs:network:read" }];
}

function setNameservers(tailnet: Tailnet, random: Random): readonly Change[] {
  const change = {
    old: { nameservers: [] },
    new: { nameservers: [`192.0.2.${53 + random.below(20)}`] },
  };
  const outcome = random.chance(0.3) ? { ...change, error: "nameserver does not answer" } : change;
  return [byAdmin(tailnet, random, tailnetTarget("DNS_CONFIG"), "UPDATE", outcome)];
}

function switchFeature(tailnet: Tailnet, random: Random): readonly Change[] {
  const property = random.pick(["MAGIC_DNS", "HTTPS", "FILE_SHARING", "LOG_EXIT_FLOWS"]);
  return [byAdmin(tailnet, random, tailnetTarget(property), random.pick(["ENABLE", "DISABLE"]), {})];
}

function byAdmin(
  tailnet: Tailnet,
  random: Random,
  target: WireTarget,
  action: string,
  change: Pick<WireAudit, "old" | "new" | "error">,
): Change {
  const admin = random.pick(tailnet.people.filter((person) => person.isAdmin));
  return { origin: "ADMIN_CONSOLE", actor: actorOf(admin), target, action, ...change };
}

function actorOf(person: Person): WireActor {
  return { id: person.userId, type: "USER", loginName: person.loginName, displayName: person.displayName };
}

function nodeTarget(node: SimulatedNode, property: string): WireTarget {
  return { id: node.description.nodeId, name: node.description.name, type: "NODE", property };
}

function tailnetTarget(property: string): WireTarget {
  return { id: "T1CNTRL", name: "example.com", type: "TAILNET", property };
}
