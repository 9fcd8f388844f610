/** Generates the webhook events of one window: visitors' devices join and leave, people come and go, the policy changes. */
import { windowMs } from "./flows.ts";
import { createRandom, type Random } from "./random.ts";
import { type Tailnet, tailnetDomain } from "./tailnet.ts";
import { timeText, type WireEvent } from "./wire.ts";

/** A new visitor arrives every this many windows. */
const windowsPerVisit = 6;

/** What happens this many windows after a visit begins; events of one step arrive in one delivery. */
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

/** The webhook deliveries of a window about visitors, each a list of events. */
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

/** One window in this many has a notice. */
const windowsPerNotice = 4;

/** Other events that Tailscale reports, each the only one of its delivery. */
const notices: readonly ((tailnet: Tailnet, random: Random) => Pick<WireEvent, "type" | "message" | "data">)[] = [
  () => ({ type: "policyUpdate", message: "alice@example.com changed the policy file", data: byAlice }),
  ({ people }, random) => {
    const user = `${random.pick(people.slice(3))}@example.com`;
    const data = { ...byAlice, user, oldRoles: "member", newRoles: "network-admin" };
    return { type: "userRoleUpdated", message: `${user} is now a network admin`, data };
  },
  (tailnet, random) => ofNode(tailnet, random, "nodeKeyExpiringInOneDay", "has a key that expires in one day"),
  (tailnet, random) =>
    ofNode(tailnet, random, "subnetIPForwardingNotEnabled", "does not forward packets to its subnets"),
  ({ people }, random) => {
    const user = `${random.pick(people)}.guest@example.com`;
    return { type: "userNeedsApproval", message: `${user} needs approval`, data: { user } };
  },
];

const byAlice = { actor: "alice@example.com", url: "https://login.example.com/admin/acls" };

/** The other deliveries of a window. */
export function noticesIn(tailnet: Tailnet, window: number): readonly (readonly WireEvent[])[] {
  if (window % windowsPerNotice !== 0) return [];
  const random = createRandom(tailnet.seed, 9, window);
  const notice = notices[(window / windowsPerNotice) % notices.length]?.(tailnet, random);
  const timestamp = timeText(window * windowMs + random.below(windowMs), random.below(1_000_000));
  return notice === undefined ? [] : [[{ timestamp, version: 1, tailnet: "example.com", ...notice }]];
}

function ofNode(tailnet: Tailnet, random: Random, type: string, what: string) {
  const { nodeId: nodeID, name: deviceName, user } = random.pick(tailnet.nodes).description;
  const data = { nodeID, deviceName, managedBy: user ?? "tagged-devices" };
  return { type, message: `${deviceName} ${what}`, data };
}
