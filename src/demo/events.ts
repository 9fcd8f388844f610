/** The audit records and webhook events of one window: people, programs and Tailscale itself change the tailnet, and visitors' devices join and leave. */
import { windowMs } from "./flows.ts";
import { createRandom, type Random } from "./random.ts";
import { nodesOf, type Tailnet, tailnetDomain } from "./tailnet.ts";
import { type Envelope, envelope, timeText, type WireAudit, type WireEvent } from "./wire.ts";

type Change = Omit<WireAudit, "eventGroupID">;
type Actor = WireAudit["actor"];
type Target = WireAudit["target"];

/** The audit records of a window, in order of time; most windows have none. */
export function changesIn(tailnet: Tailnet, window: number): readonly Envelope<WireAudit>[] {
  const random = createRandom(tailnet.seed, 7, window);
  if (!random.chance(0.4)) return [];
  const operation = random.pick(operations);
  const eventGroupID = Array.from({ length: 20 }, () => random.below(16).toString(16)).join("");
  const timeMs = window * windowMs + random.below(windowMs);
  return operation(castOf(tailnet, random), random).map((change, index) => {
    const at = timeMs + index;
    return envelope({ eventGroupID, ...change }, [at, at + 250 + random.below(900), random.below(1_000_000)]);
  });
}

/** Who and what an operation can be about. */
interface Cast {
  readonly person: { readonly firstName: string; readonly actor: Actor; readonly target: Target };
  byAdmin(target: Target, action: string, change?: Pick<WireAudit, "old" | "new" | "error">): Change;
  tailnet(property: string): Target;
  node(property: string, ...roles: readonly string[]): Target;
}

function castOf(tailnet: Tailnet, random: Random): Cast {
  const actorOf = ({ userId: id, loginName, displayName }: Tailnet["people"][number]): Actor => ({
    id,
    type: "USER",
    loginName,
    displayName,
  });
  const admin = random.pick(tailnet.people.filter(({ isAdmin }) => isAdmin));
  const person = random.pick(tailnet.people);
  return {
    person: {
      firstName: person.firstName,
      actor: actorOf(person),
      target: { id: person.userId, name: person.loginName, type: "USER" },
    },
    byAdmin: (target, action, change = {}) => ({
      origin: "ADMIN_CONSOLE",
      actor: actorOf(admin),
      target,
      action,
      ...change,
    }),
    tailnet: (property) => ({ id: "T1CNTRL", name: "example.com", type: "TAILNET", property }),
    node(property, ...roles) {
      const { nodeId: id, name } = random.pick(nodesOf(tailnet, ...roles)).description;
      return { id, name, type: "NODE", property };
    },
  };
}

/** What each operation leaves in the audit log: its records share a group. */
const operations: readonly ((cast: Cast, random: Random) => readonly Change[])[] = [
  (cast, random) => {
    const rule = (target: string) =>
      `{\n  // who may reach what → these ✓\n  "acls": [{"action":"accept","src":["group:ops"],"dst":["${target}"]}]\n}`;
    const port = random.pick([443, 5432, 6379, 9100]);
    return [cast.byAdmin(cast.tailnet("ACL"), "UPDATE", { old: rule("tag:web:443"), new: rule(`tag:prod:${port}`) })];
  },
  ({ person }) => [{ origin: "ADMIN_CONSOLE", actor: person.actor, target: person.target, action: "LOGIN" }],
  ({ person: { firstName, actor } }) => {
    const name = `${firstName}-tablet.${tailnetDomain}`;
    const target = { id: `n${firstName.toUpperCase()}TABLETCNTRL`, name, type: "NODE" };
    const expiry = { old: "0001-01-01T00:00:00Z", new: "2027-03-01T09:15:00Z" };
    return [
      { origin: "NODE", actor, target, action: "CREATE" },
      { origin: "NODE", actor, target: { ...target, property: "KEY_EXPIRY_TIME" }, action: "UPDATE", ...expiry },
    ];
  },
  (cast, random) => {
    const tags = { old: ["tag:prod"], new: ["tag:prod", random.pick(["tag:canary", "tag:patched"])] };
    return [cast.byAdmin(cast.node("ACL_TAGS", "web", "worker"), "UPDATE", tags)];
  },
  (cast) => {
    const actor = { id: "", type: "AUTOMATED_WORKER", loginName: "", displayName: "expiry" };
    const target = cast.node("KEY_EXPIRY", "phone");
    return [{ origin: "CONTROL", actor, target, action: "EXPIRED", old: true, new: false }];
  },
  (cast, random) => {
    const target = { ...cast.person.target, property: "USER_ROLE" };
    return [cast.byAdmin(target, "UPDATE", { old: "member", new: random.pick(["network-admin", "auditor"]) })];
  },
  (_, random) => {
    const actor = { id: "k123CNTRL", type: "OAUTH_CLIENT", loginName: "", displayName: "collector" };
    const target = { id: `k${random.below(900) + 100}CNTRL`, name: "access token", type: "OAUTH_ACCESS_TOKEN" };
    const actionDetails = "scopes - logs:network:read";
    return [{ origin: "CONFIG_API", actor, target, action: "CREATE", actionDetails }];
  },
  (cast, random) => {
    const change = { old: { nameservers: [] }, new: { nameservers: [`192.0.2.${53 + random.below(20)}`] } };
    const outcome = random.chance(0.3) ? { ...change, error: "nameserver does not answer" } : change;
    return [cast.byAdmin(cast.tailnet("DNS_CONFIG"), "UPDATE", outcome)];
  },
  (cast, random) => {
    const property = random.pick(["MAGIC_DNS", "HTTPS", "FILE_SHARING", "LOG_EXIT_FLOWS"]);
    return [cast.byAdmin(cast.tailnet(property), random.pick(["ENABLE", "DISABLE"]))];
  },
];

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
    const host = tailnet.people[visit % tailnet.people.length]?.loginName ?? "";
    const random = createRandom(tailnet.seed, 8, window, windows);
    const timeMs = window * windowMs + random.below(windowMs - types.length);
    const nanoseconds = random.below(1_000_000);
    const data = {
      nodeID: `nVISITOR${visit % 1000}`,
      deviceName: `${name}.${tailnetDomain}`,
      managedBy: host,
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
