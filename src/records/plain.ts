/** Decodes configuration audit records, as the stream and as the API give them, and webhook events. */
import { parseRfc3339, zeroTime } from "../lib/rfc3339.ts";
import { eventText } from "./envelope.ts";
import { compactJson, memberText, oneLine } from "./json.ts";
import { checkDepth, normalTags, objectMember, stringMember, stringsMember, timeMember, wrongType } from "./members.ts";
import {
  type AuditActor,
  type AuditRecord,
  type AuditTarget,
  Defect,
  type JsonObject,
  type RawRecord,
  type WebhookRecord,
} from "./types.ts";

/** @throws {Defect} if the record cannot be accepted. */
export function decodePlain(raw: RawRecord): AuditRecord | WebhookRecord {
  return raw.type === "audit" ? decodeAudit(raw) : decodeWebhook(raw);
}

/** Levels of nesting in `old` and `new`, where a policy has about five, and in an event, where policies travel as text. */
const maxDepth = 128;

/**
 * The record of an audit event's parsed JSON. Vocabularies are open: unknown words are kept.
 * @throws {Defect} `decode_error`
 */
export function decodeAudit(raw: Pick<RawRecord, "value" | "line" | "time" | "recorded">): AuditRecord {
  const { value, time, recorded } = raw;
  const deferredAt = stringMember(value, "deferredAt");
  checkDepth("old", value["old"], maxDepth);
  checkDepth("new", value["new"], maxDepth);
  return {
    type: "audit",
    time: timeMember(value, "eventTime") ?? time ?? recorded,
    recorded: timeMember(value, "logged") ?? recorded,
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
    oldText: textOf(raw, "old"),
    newText: textOf(raw, "new"),
  };
}

/** A text as it is, any other value as it was received: numbers keep their digits, members their order. */
function textOf({ value, line }: Pick<RawRecord, "value" | "line">, name: "old" | "new"): string {
  const found = value[name] ?? "";
  return typeof found === "string" ? found : compactJson(memberText(eventText(line), name) ?? "");
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

/** One event of a delivery as a record, `text` being its own text. */
export function webhookRecord(value: JsonObject, text: string): RawRecord {
  return { type: "webhook", value, line: oneLine(`{"event":${text}}`), time: undefined, recorded: undefined };
}

/**
 * The record of an event's parsed JSON. A time that is none is left out: an event matters more than its time.
 * @throws {Defect} `decode_error` when a member has not the type that the format gives it, or `type` is missing.
 */
export function decodeWebhook({ value }: Pick<RawRecord, "value">): WebhookRecord {
  const eventType = stringMember(value, "type");
  if (eventType === "") throw new Defect("decode_error", "type is missing");
  const version = value["version"] ?? undefined;
  if (version !== undefined && typeof version !== "number") throw wrongType("version", "a number", version);
  const data = objectMember(value, "data") ?? {};
  const record: WebhookRecord = {
    type: "webhook",
    time: parseRfc3339(stringMember(value, "timestamp")),
    version,
    eventType,
    tailnet: stringMember(value, "tailnet"),
    message: stringMember(value, "message"),
    data,
    event: value,
  };
  checkDepth("the event", value, maxDepth);
  return record;
}
