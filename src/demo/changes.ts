/** Generates the audit records of one window: people, programs and Tailscale itself change the tailnet. */
import { windowMs } from "./flows.ts";
import { policyChange } from "./policy.ts";
import { createRandom, type Random } from "./random.ts";
import { nodesOf, type Tailnet, tailnetDomain } from "./tailnet.ts";
import { type Envelope, envelope, type WireAudit } from "./wire.ts";

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

/** What each operation writes to the audit log; its records share an event group. */
const operations: readonly ((tailnet: Tailnet, random: Random) => readonly Change[])[] = [
  (tailnet, random) => {
    const [before, after] = policyChange(random);
    return [byAdmin(tailnet, random, ofTailnet("ACL"), "UPDATE", { old: before, new: after })];
  },
  ({ people }, random) => {
    const person = random.pick(people);
    return [{ origin: "ADMIN_CONSOLE", actor: user(person), target: asTarget(person), action: "LOGIN" }];
  },
  (tailnet, random) => {
    const person = random.pick(tailnet.people);
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
      byAdmin(tailnet, random, target, "APPROVE"),
    ];
  },
  (tailnet, random) => {
    const actor = { id: "", type: "AUTOMATED_WORKER", loginName: "", displayName: "expiry" };
    const { property: _, ...target } = ofNode(tailnet, random, "KEY_EXPIRY", "phone");
    return [{ origin: "CONTROL", actor, target, action: "EXPIRED" }];
  },
  (tailnet, random) => {
    const target = ofNode(tailnet, random, "KEY_EXPIRY", "laptop", "phone");
    return [byAdmin(tailnet, random, target, random.pick(["ENABLE", "DISABLE"]))];
  },
  (_, random) => {
    const actor = { id: "k123CNTRL", type: "OAUTH_CLIENT", loginName: "", displayName: "collector" };
    const target = { id: `k${random.below(900) + 100}CNTRL`, name: "access token", type: "OAUTH_ACCESS_TOKEN" };
    return [{ origin: "CONFIG_API", actor, target, action: "CREATE", actionDetails: "scopes - logs:network:read" }];
  },
  (tailnet, random) => {
    const names = (last: number) => ({ nameservers: ["192.0.2.53", `192.0.2.${last}`], magicDNS: true });
    const change = { old: names(54), new: names(55 + random.below(20)) };
    const outcome = random.chance(0.3) ? { ...change, error: "nameserver does not answer" } : change;
    return [byAdmin(tailnet, random, ofTailnet("DNS_CONFIG"), "UPDATE", outcome)];
  },
  (tailnet, random) => {
    const target = ofTailnet(random.pick(["MAGIC_DNS", "HTTPS", "FILE_SHARING", "LOG_EXIT_FLOWS"]));
    return [byAdmin(tailnet, random, target, random.pick(["ENABLE", "DISABLE"]))];
  },
  (tailnet, random) => {
    const target = { ...asTarget(random.pick(tailnet.people.slice(3))), property: "USER_ROLE" };
    const change = { old: ["member"], new: [random.pick(["it-admin", "network-admin", "auditor"])] };
    const refused = random.chance(0.25) ? { ...change, error: "only the owner can give this role" } : change;
    return [byAdmin(tailnet, random, target, "UPDATE", refused)];
  },
  (tailnet, random) => {
    const routes = { old: ["10.20.0.0/24"], new: ["10.20.0.0/24", `10.${21 + random.below(40)}.0.0/24`] };
    const target = ofNode(tailnet, random, "ALLOWED_IPS", "router");
    return [byAdmin(tailnet, random, target, "UPDATE", routes)];
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
  const fitting = nodesOf(tailnet, ...roles);
  const { nodeId: id, name } = random.pick(fitting.length > 0 ? fitting : tailnet.nodes).description;
  return { id, name, type: "NODE", property };
}
