/** The audit records and webhook events of one window: people, programs and Tailscale itself change the tailnet, and visitors' devices join and leave. */
import { windowMs } from "./flows.ts";
import { createRandom, type Random } from "./random.ts";
import { nodesOf, type Tailnet, tailnetDomain } from "./tailnet.ts";
import { type Envelope, envelope, timeText, type WireAudit, type WireEvent } from "./wire.ts";

/** The audit records of a window, in order of time; most windows have none. */
export function changesIn(tailnet: Tailnet, window: number): readonly Envelope<WireAudit>[] {
  const random = createRandom(tailnet.seed, 7, window);
  if (!random.chance(0.4)) return [];
  const operation = random.pick(operations);
  const eventGroupID = Array.from({ length: 20 }, () => random.below(16).toString(16)).join("");
  const timeMs = window * windowMs + random.below(windowMs);
  return operation(tailnet, random).map((change, index) => {
    const at = timeMs + index;
    return envelope({ eventGroupID, ...change }, [at, at + 250 + random.below(900), random.below(1_000_000)]);
  });
}

type Change = Omit<WireAudit, "eventGroupID">;

/** What each operation leaves in the audit log: its records share a group. */
const operations: readonly ((tailnet: Tailnet, random: Random) => readonly Change[])[] = [
  (tailnet, random) => {
    const rule = (target: string) =>
      `{\n  // who may reach what → these ✓\n  "acls": [{"action":"accept","src":["group:ops"],"dst":["${target}"]}]\n}`;
    const after = rule(`tag:prod:${random.pick([443, 5432, 6379, 9100])}`);
    return [byAdmin(tailnet, random, ofTailnet("ACL"), "UPDATE", { old: rule("tag:web:443"), new: after })];
  },
  ({ people }, random) => {
    const person = random.pick(people);
    return [{ origin: "ADMIN_CONSOLE", actor: user(person), target: asTarget(person), action: "LOGIN" }];
  },
  ({ people }, random) => {
    const person = random.pick(people);
    const target = {
      id: `n${person.toUpperCase()}TABLETCNTRL`,
      name: `${person}-tablet.${tailnetDomain}`,
      type: "NODE",
    };
    const change = { origin: "NODE", actor: user(person) };
    const expiry = { old: "0001-01-01T00:00:00Z", new: "2027-03-01T09:15:00Z" };
    return [
      { ...change, target, action: "CREATE" },
      { ...change, target: { ...target, property: "KEY_EXPIRY_TIME" }, action: "UPDATE", ...expiry },
    ];
  },
  (tailnet, random) => {
    const actor = { id: "", type: "AUTOMATED_WORKER", loginName: "", displayName: "expiry" };
    const target = ofNode(tailnet, random, "KEY_EXPIRY", "phone");
    return [{ origin: "CONTROL", actor, target, action: "EXPIRED", old: true, new: false }];
  },
  (_, random) => {
    const actor = { id: "k123CNTRL", type: "OAUTH_CLIENT", loginName: "", displayName: "collector" };
    const target = { id: `k${random.below(900) + 100}CNTRL`, name: "access token", type: "OAUTH_ACCESS_TOKEN" };
    return [{ origin: "CONFIG_API", actor, target, action: "CREATE", actionDetails: "scopes - logs:network:read" }];
  },
  (tailnet, random) => {
    const change = { old: { nameservers: [] }, new: { nameservers: [`192.0.2.${53 + random.below(20)}`] } };
    const outcome = random.chance(0.3) ? { ...change, error: "nameserver does not answer" } : change;
    return [byAdmin(tailnet, random, ofTailnet("DNS_CONFIG"), "UPDATE", outcome)];
  },
  (tailnet, random) => {
    const target = ofTailnet(random.pick(["MAGIC_DNS", "HTTPS", "FILE_SHARING", "LOG_EXIT_FLOWS"]));
    return [byAdmin(tailnet, random, target, random.pick(["ENABLE", "DISABLE"]))];
  },
];

function byAdmin(
  { people }: Tailnet,
  random: Random,
  target: WireAudit["target"],
  action: string,
  change: Pick<WireAudit, "old" | "new" | "error"> = {},
): Change {
  return { origin: "ADMIN_CONSOLE", actor: user(random.pick(people.slice(0, 3))), target, action, ...change };
}

function user(person: string): WireAudit["actor"] {
  const displayName = `${person.charAt(0).toUpperCase()}${person.slice(1)} Example`;
  return { id: asTarget(person).id, type: "USER", loginName: asTarget(person).name, displayName };
}

function asTarget(person: string): WireAudit["target"] {
  return { id: `u${person.toUpperCase()}1CNTRL`, name: `${person}@example.com`, type: "USER" };
}

function ofTailnet(property: string): WireAudit["target"] {
  return { id: "T1CNTRL", name: "example.com", type: "TAILNET", property };
}

function ofNode(tailnet: Tailnet, random: Random, property: string, ...roles: string[]): WireAudit["target"] {
  const { nodeId: id, name } = random.pick(nodesOf(tailnet, ...roles)).description;
  return { id, name, type: "NODE", property };
}

/** Every so many windows there is another visitor. */
const windowsPerVisit = 3;

/** What happens so many windows after the beginning of a visit; what happens together comes in one delivery. */
const steps: readonly (readonly [windows: number, types: readonly (keyof typeof messages)[]])[] = [
  [0, ["nodeCreated", "nodeNeedsApproval"]],
  [1, ["nodeApproved"]],
  [4, ["nodeKeyExpired"]],
  [6, ["nodeDeleted"]],
];

const messages = {
  nodeCreated: "joined the tailnet",
  nodeNeedsApproval: "needs approval",
  nodeApproved: "was approved",
  nodeKeyExpired: "has an expired key",
  nodeDeleted: "was removed",
} as const;

/** The webhook deliveries of a window, each a list of events. */
export function visitsIn(tailnet: Tailnet, window: number): readonly (readonly WireEvent[])[] {
  return steps.flatMap(([windows, types]) => {
    const visit = (window - windows) / windowsPerVisit;
    if (!Number.isInteger(visit)) return [];
    const name = `visitor-${visit % 1000}`;
    const random = createRandom(tailnet.seed, 8, window, windows);
    const timeMs = window * windowMs + random.below(windowMs - types.length);
    const nanoseconds = random.below(1_000_000);
    const data = {
      nodeID: `nVISITOR${visit % 1000}`,
      deviceName: `${name}.${tailnetDomain}`,
      managedBy: `${tailnet.people[visit % tailnet.people.length]}@example.com`,
      actor: "alice@example.com",
      url: `https://login.example.com/admin/machines/100.64.99.${1 + (visit % 250)}`,
    };
    const events = types.map((type, index): WireEvent => {
      const timestamp = timeText(timeMs + index, nanoseconds);
      const expiration = type === "nodeKeyExpired" ? { expiration: timestamp } : {};
      const message = `${name} ${messages[type]}`;
      return { timestamp, version: 1, type, tailnet: "example.com", message, data: { ...data, ...expiration } };
    });
    return [events];
  });
}
