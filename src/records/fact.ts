/** What both a configuration audit record and a webhook event can report: one thing that happened to one node or user. */
import type { HrTime } from "../lib/clock.ts";
import type { AuditRecord, WebhookRecord } from "./types.ts";

export interface Fact {
  readonly kind: FactKind;
  /** The name of the node or user, in the form that both sides share. */
  readonly name: string;
  readonly time: HrTime;
}

/** The events that have a counterpart in the audit log. */
export type FactKind = "nodeCreated" | "nodeDeleted" | "nodeApproved" | "userCreated" | "userDeleted";

/** How the audit log reports it. */
const facts: Readonly<Record<FactKind, { readonly target: "NODE" | "USER"; readonly actions: readonly string[] }>> = {
  nodeCreated: { target: "NODE", actions: ["CREATE"] },
  nodeDeleted: { target: "NODE", actions: ["DELETE"] },
  nodeApproved: { target: "NODE", actions: ["APPROVE", "UPDATE"] },
  userCreated: { target: "USER", actions: ["CREATE"] },
  userDeleted: { target: "USER", actions: ["DELETE"] },
};

/** The fact that an audit record reports, if an event can report it too. A failed action is none. */
export function factOfAudit({ action, target, error, time }: AuditRecord): Fact | undefined {
  if (error !== "" || time === undefined) return undefined;
  const kind = kinds.find((known) => facts[known].target === target.type && facts[known].actions.includes(action));
  return kind === undefined ? undefined : factOf(kind, target.name, time);
}

/** The fact that an event reports, if an audit record can report it too. */
export function factOfEvent({ eventType, data, time }: WebhookRecord): Fact | undefined {
  const kind = kinds.find((known) => known === eventType);
  if (kind === undefined || time === undefined) return undefined;
  const name = data[facts[kind].target === "NODE" ? "deviceName" : "user"];
  return typeof name === "string" ? factOf(kind, name, time) : undefined;
}

const kinds = Object.keys(facts) as FactKind[];

/** By name, since node ids differ in form; of nodes by the first DNS label, since only one side has the domain. */
function factOf(kind: FactKind, name: string, time: HrTime): Fact | undefined {
  const lower = name.trim().toLowerCase();
  const shared = facts[kind].target === "NODE" ? lower.replace(/\..*$/s, "") : lower;
  return shared === "" ? undefined : { kind, name: shared, time };
}
