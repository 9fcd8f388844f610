/** The webhook events of one window: visitors' devices come, are approved, expire and go. */
import { createRandom } from "./random.ts";
import type { Tailnet } from "./tailnet.ts";
import { tailnetDomain } from "./tailnet.ts";
import { windowMs } from "./traffic.ts";
import type { WireEvent } from "./wire.ts";
import { timeText } from "./wire.ts";

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

/** The deliveries of a window, each a list of events. */
export function visitsIn(tailnet: Tailnet, window: number): readonly (readonly WireEvent[])[] {
  return steps.flatMap(([windows, types]) => {
    const began = window - windows;
    if (began % windowsPerVisit !== 0) return [];
    const device = deviceOf(tailnet, began / windowsPerVisit);
    const random = createRandom(tailnet.seed, 8, window, windows);
    const timeMs = window * windowMs + random.below(windowMs - types.length);
    const nanoseconds = random.below(1_000_000);
    return [types.map((type, place) => event(type, device, timeText(timeMs + place, nanoseconds)))];
  });
}

interface Device {
  readonly name: string;
  readonly data: WireEvent["data"];
}

function deviceOf(tailnet: Tailnet, visit: number): Device {
  const random = createRandom(tailnet.seed, 9, visit);
  const host = random.pick(tailnet.people);
  const admin = random.pick(tailnet.people.filter((person) => person.isAdmin));
  const name = `visitor-${visit % 1000}`;
  const address = `100.64.99.${1 + (visit % 250)}`;
  return {
    name,
    data: {
      nodeID: `nVISITOR${visit % 1000}`,
      deviceName: `${name}.${tailnetDomain}`,
      managedBy: host.loginName,
      actor: admin.loginName,
      url: `https://login.example.com/admin/machines/${address}`,
    },
  };
}

function event(type: keyof typeof messages, { name, data }: Device, timestamp: string): WireEvent {
  const expiration = type === "nodeKeyExpired" ? { expiration: timestamp } : {};
  const message = `${name} ${messages[type]}`;
  return { timestamp, version: 1, type, tailnet: "example.com", message, data: { ...data, ...expiration } };
}
