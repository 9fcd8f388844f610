/** Decodes configuration audit records, as the stream and as the API give them. */
import { zeroTime } from "../lib/rfc3339.ts";
import { checkDepth, normalTags, objectMember, stringMember, stringsMember, timeMember, wrongType } from "./members.ts";
import type { AuditActor, AuditRecord, AuditTarget, JsonObject, RawRecord } from "./types.ts";

/** Levels of nesting in `old` and `new`; a policy has about five. Deeper text is no configuration. */
const maxDepth = 128;

/**
 * The record of an audit event's parsed JSON. Vocabularies are open: unknown words are kept.
 * @throws {Defect} `decode_error`
 */
export function decodeAudit({ value, time, recorded }: Pick<RawRecord, "value" | "time" | "recorded">): AuditRecord {
  const deferredAt = stringMember(value, "deferredAt");
  checkDepth("old", value["old"], maxDepth);
  checkDepth("new", value["new"], maxDepth);
  return {
    type: "audit",
    time: timeMember(value, "eventTime") ?? time ?? recorded,
    recorded,
    logType: stringMember(value, "type"),
    eventGroupId: stringMember(value, "eventGroupID"),
    origin: stringMember(value, "origin"),
    actor: decodeActor(objectMember(value, "actor") ?? {}),
    target: decodeTarget(objectMember(value, "target") ?? {}),
    action: stringMember(value, "action"),
    actionDetails: stringMember(value, "actionDetails"),
    error: stringMember(value, "error"),
    deferredAt: deferredAt === zeroTime ? "" : deferredAt,
    old: value["old"] ?? undefined,
    new: value["new"] ?? undefined,
  };
}

function decodeActor(actor: JsonObject): AuditActor {
  return {
    id: stringMember(actor, "id"),
    type: stringMember(actor, "type"),
    loginName: stringMember(actor, "loginName"),
    displayName: stringMember(actor, "displayName"),
    tags: normalTags(stringsMember(actor, "tags")),
  };
}

function decodeTarget(target: JsonObject): AuditTarget {
  const isEphemeral = target["isEphemeral"] ?? undefined;
  if (isEphemeral !== undefined && typeof isEphemeral !== "boolean")
    throw wrongType("isEphemeral", "a Boolean", isEphemeral);
  return {
    id: stringMember(target, "id"),
    name: stringMember(target, "name"),
    type: stringMember(target, "type"),
    property: stringMember(target, "property"),
    isEphemeral,
  };
}
