/** What a configuration audit record and a webhook event can both tell: one thing that happened to one node or user. */
import type { HrTime } from "../lib/clock.ts";
import type { AuditRecord, JsonObject, WebhookRecord } from "./types.ts";

export interface Fact {
  readonly kind: FactKind;
  /** Of the node or the user, in the form that both sides share. */
  readonly name: string;
  readonly time: HrTime;
}

/** Times of the two tellings of one fact differ by no more. */
export const factToleranceMs = 1000;

/** The events that have a counterpart in the audit log, and what it says there. */
const facts = {
  nodeCreated: { target: "NODE", actions: ["CREATE"] },
  nodeDeleted: { target: "NODE", actions: ["DELETE"] },
  nodeApproved: { target: "NODE", actions: ["APPROVE", "UPDATE"] },
  userCreated: { target: "USER", actions: ["CREATE"] },
  userDeleted: { target: "USER", actions: ["DELETE"] },
} as const;

export type FactKind = keyof typeof facts;

/** What an audit record tells that an event could tell too. An action that failed has not happened. */
export function factOfAudit({ action, target, error, time }: AuditRecord): Fact | undefined {
  if (error !== "" || time === undefined) return undefined;
  for (const kind of kinds) {
    const { target: type, actions } = facts[kind];
    const isTold = type === target.type && (actions as readonly string[]).includes(action);
    if (isTold) return factOf(kind, target.name, time);
  }
  return undefined;
}

/** What an event tells that an audit record could tell too. */
export function factOfEvent({ eventType, data, time }: WebhookRecord): Fact | undefined {
  const kind = kinds.find((known) => known === eventType);
  if (kind === undefined || time === undefined) return undefined;
  return factOf(kind, textOf(data, facts[kind].target === "NODE" ? "deviceName" : "user"), time);
}

const kinds = Object.keys(facts) as FactKind[];

/** Node ids differ in form, so names have to do: of nodes the first DNS label, since not both sides give the domain. */
function factOf(kind: FactKind, name: string, time: HrTime): Fact | undefined {
  const lower = name.trim().toLowerCase();
  const shared = facts[kind].target === "NODE" ? lower.replace(/\..*$/s, "") : lower;
  return shared === "" ? undefined : { kind, name: shared, time };
}

function textOf(data: JsonObject, member: string): string {
  const value = data[member];
  return typeof value === "string" ? value : "";
}
