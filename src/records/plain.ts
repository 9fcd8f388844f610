/** Audit records (from the stream or the API) and webhook events: decoding, and the facts that both can report. */
import type { HrTime } from "../lib/clock.ts";
import { parseRfc3339, zeroTime } from "../lib/rfc3339.ts";
import { eventOf, storedLine } from "./envelope.ts";
import { compactJson, memberOf } from "./json.ts";
import {
  booleanMember,
  checkDepth,
  normalTags,
  numberMember,
  objectMember,
  stringMember,
  stringsMember,
  timeMember,
} from "./members.ts";
import { type AuditRecord, Defect, type JsonObject, type RawRecord, type WebhookRecord } from "./types.ts";

const decoder = new TextDecoder();

/** @throws {Defect} if the record cannot be accepted. */
export function decodePlain(raw: RawRecord): AuditRecord | WebhookRecord {
  return raw.type === "audit" ? decodeAudit(raw) : decodeWebhook(raw);
}

/** Levels of nesting allowed in `old` and `new`, where a policy has about five, and in a webhook event. */
export const maxDepth = 128;

/**
 * Decodes an audit record. Vocabularies are open: unknown words are accepted.
 * @throws {Defect} `decode_error`
 */
export function decodeAudit(raw: Pick<RawRecord, "value" | "line" | "time" | "recorded">): AuditRecord {
  const { value, time, recorded } = raw;
  const deferredAt = stringMember(value, "deferredAt");
  const actor = objectMember(value, "actor") ?? {};
  const target = objectMember(value, "target") ?? {};
  checkDepth("old", value["old"], maxDepth);
  checkDepth("new", value["new"], maxDepth);
  return {
    type: "audit",
    time: timeMember(value, "eventTime") ?? time ?? recorded,
    recorded: timeMember(value, "logged") ?? recorded,
    logType: stringMember(value, "type"),
    eventGroupId: stringMember(value, "eventGroupID"),
    origin: stringMember(value, "origin"),
    actor: {
      id: stringMember(actor, "id"),
      type: stringMember(actor, "type"),
      loginName: stringMember(actor, "loginName"),
      displayName: stringMember(actor, "displayName"),
      tags: normalTags(stringsMember(actor, "tags")),
    },
    target: {
      id: stringMember(target, "id"),
      name: stringMember(target, "name"),
      type: stringMember(target, "type"),
      property: stringMember(target, "property"),
      isEphemeral: booleanMember(target, "isEphemeral"),
    },
    action: stringMember(value, "action"),
    actionDetails: stringMember(value, "actionDetails"),
    error: stringMember(value, "error"),
    deferredAt: deferredAt === zeroTime ? "" : deferredAt,
    old: value["old"] ?? undefined,
    new: value["new"] ?? undefined,
    oldText: textOf(raw, "old"),
    newText: textOf(raw, "new"),
  };
}

/** A string as it is, any other value as it was received: with all digits of its numbers and its members in order. */
function textOf({ value, line }: Pick<RawRecord, "value" | "line">, name: "old" | "new"): string {
  const found = value[name] ?? "";
  if (typeof found === "string") return found;
  const text = memberOf(eventOf(line), name);
  return text === undefined ? "" : compactJson(decoder.decode(text));
}

/** One event of a delivery as a record; `text` is its JSON as received. */
export function webhookRecord(value: JsonObject, text: Uint8Array): RawRecord {
  return { type: "webhook", value, line: storedLine(text), time: undefined, recorded: undefined };
}

/**
 * Decodes a webhook event. A text that is not a time is ignored: the event matters more than its time.
 * @throws {Defect} `decode_error` if a member has the wrong type, or `type` is missing.
 */
export function decodeWebhook({ value }: Pick<RawRecord, "value">): WebhookRecord {
  const eventType = stringMember(value, "type");
  if (eventType === "") throw new Defect("decode_error", "type is missing");
  checkDepth("the event", value, maxDepth);
  return {
    type: "webhook",
    time: parseRfc3339(stringMember(value, "timestamp")),
    version: numberMember(value, "version"),
    eventType,
    tailnet: stringMember(value, "tailnet"),
    message: stringMember(value, "message"),
    data: objectMember(value, "data") ?? {},
    event: value,
  };
}

/** An event that both the audit log and a webhook can report, such as a new node: a key to detect the duplicate. */
export interface Fact {
  readonly kind: FactKind;
  /** The name of the node or user, normalized so that both sources agree. */
  readonly name: string;
  readonly time: HrTime;
}

/** Webhook events with a counterpart in the audit log. */
export type FactKind = "nodeCreated" | "nodeDeleted" | "nodeApproved" | "userCreated" | "userDeleted";

/** The audit log's target type and actions for each of them. */
const facts: Readonly<Record<FactKind, { readonly target: "NODE" | "USER"; readonly actions: readonly string[] }>> = {
  nodeCreated: { target: "NODE", actions: ["CREATE"] },
  nodeDeleted: { target: "NODE", actions: ["DELETE"] },
  nodeApproved: { target: "NODE", actions: ["APPROVE", "UPDATE"] },
  userCreated: { target: "USER", actions: ["CREATE"] },
  userDeleted: { target: "USER", actions: ["DELETE"] },
};

/** The fact in an audit record, if a webhook can report it too. A failed action is not a fact. */
export function factOfAudit({ action, target, error, time }: AuditRecord): Fact | undefined {
  if (error !== "" || time === undefined) return undefined;
  const kind = kinds.find((known) => facts[known].target === target.type && facts[known].actions.includes(action));
  return kind === undefined ? undefined : factOf(kind, target.name, time);
}

/** The fact in a webhook event, if the audit log can report it too. */
export function factOfEvent({ eventType, data, time }: WebhookRecord): Fact | undefined {
  const kind = kinds.find((known) => known === eventType);
  if (kind === undefined || time === undefined) return undefined;
  const name = data[facts[kind].target === "NODE" ? "deviceName" : "user"];
  return typeof name === "string" ? factOf(kind, name, time) : undefined;
}

const kinds = Object.keys(facts) as FactKind[];

/** Matched by name, since node ids differ in form; nodes by the first DNS label, since only one source has the domain. */
function factOf(kind: FactKind, name: string, time: HrTime): Fact | undefined {
  const lower = name.trim().toLowerCase();
  const shared = facts[kind].target === "NODE" ? lower.replace(/\..*$/s, "") : lower;
  return shared === "" ? undefined : { kind, name: shared, time };
}
