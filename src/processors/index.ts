/** Turns audit records and webhook events into metric increments and log events. Flow records: see `flow-metrics.ts` and `flow.ts`. */
import { count, type Increments } from "../catalogue/increments.ts";
import { auditEventName, type LogEvent, presentAttributes } from "../catalogue/log-event.ts";
import type { AttributesOfLog } from "../catalogue/logs.ts";
import {
  actorTypes,
  auditActions,
  auditOrigins,
  changeOf,
  targetProperties,
  webhookTypes,
  webhookVersions,
  wordOf,
} from "../catalogue/vocabulary.ts";
import { hrTimeOfMillis, representable } from "../lib/clock.ts";
import { Identifier } from "../records/identity.ts";
import type { AuditRecord, WebhookRecord } from "../records/types.ts";
import { lineDiff } from "./line-diff.ts";
import type { ProcessorSettings } from "./settings.ts";
import { boundedEvent, boundedLabel, boundedText, privacyOf, type TextLimits } from "./outgoing.ts";

export { type Device, type Directory, directoryOf } from "./directory.ts";
export type { ProcessorSettings } from "./settings.ts";

/** Adds the increments of one record. A pure function. */
export function measure(record: AuditRecord | WebhookRecord, settings: ProcessorSettings, into: Increments): void {
  if (record.type === "audit") measureAudit(record, into);
  else measureWebhook(record, settings, into);
}

const identifiers = new WeakMap<NonNullable<ProcessorSettings["recordUid"]>, Identifier>();

/** The log event of one record, within all limits and with privacy applied. A pure function. `acceptedAt`: epoch milliseconds. `limits`: those for export if absent. */
export function describe(
  record: AuditRecord | WebhookRecord,
  settings: ProcessorSettings,
  acceptedAt: number,
  limits?: TextLimits,
): LogEvent {
  const { privacy, recordUid } = settings;
  const described =
    record.type === "audit"
      ? describeAudit(record, settings, acceptedAt)
      : describeWebhook(record, settings, acceptedAt);
  const event = boundedEvent(privacyOf(privacy).event(described), limits);
  if (recordUid === undefined) return event;
  let identifier = identifiers.get(recordUid);
  if (identifier === undefined)
    identifiers.set(recordUid, (identifier = new Identifier(recordUid.secret, recordUid.tailnet)));
  return { ...event, attributes: { ...event.attributes, "log.record.uid": `${identifier.uidOf(record)}-0` } };
}

/** Events that require somebody to act, or that remove something. */
export const warningTypes: ReadonlySet<string> = new Set([
  ..."nodeKeyExpired nodeKeyExpiringInOneDay nodeNeedsApproval userNeedsApproval nodeNeedsAuthorization".split(" "),
  ..."nodeNeedsSignature nodeDeleted webhookDeleted userSuspended userDeleted".split(" "),
]);

/** The members of `data` that are exported. Policies are not, and neither are unknown members. */
export const exportedMembers = [
  ["nodeID", "tailscale.webhook.node.id"],
  ["deviceName", "tailscale.webhook.node.device.name"],
  ["managedBy", "tailscale.webhook.node.managed_by"],
  ["actor", "tailscale.webhook.actor"],
  ["url", "tailscale.webhook.url"],
  ["expiration", "tailscale.webhook.key.expiration"],
  ["user", "tailscale.webhook.user"],
  ["oldRoles", "tailscale.webhook.old_roles"],
  ["newRoles", "tailscale.webhook.new_roles"],
] as const satisfies readonly (readonly [string, keyof AttributesOfLog<"tailscale.webhook.<type>">])[];

type Audit = AttributesOfLog<"tailscale.config.audit">;

/** Counts the event, its security-relevant change if it is one, and whether its words are known. */
function measureAudit(record: AuditRecord, into: Increments): void {
  const { actor, target } = record;
  const action = { "tailscale.audit.action": wordOf(auditActions, record.action) };
  const origin = { "tailscale.audit.origin": wordOf(auditOrigins, record.origin) };
  count(into, "tailscale.config.audit.events", { ...action, ...origin }, 1);
  const change = changeOf(target.property, target.type, record.action);
  if (change !== undefined) {
    const actorType = { "tailscale.actor.type": wordOf(actorTypes, actor.type) };
    count(into, "tailscale.config.audit.changes", { "tailscale.audit.change": change, ...action, ...actorType }, 1);
  }
  const words = [
    ["action", record.action, auditActions],
    ["origin", record.origin, auditOrigins],
    ["actor_type", actor.type, actorTypes],
    ["target_property", target.property, targetProperties],
  ] as const;
  for (const [field, word, vocabulary] of words) {
    // An absent word is neither known nor unknown.
    if (word === "") continue;
    const status = wordOf(vocabulary, word) === "other" ? "unknown" : "known";
    count(into, "tailscale.config.audit.schema_drift", { field, status }, 1);
  }
}

function describeAudit(
  record: AuditRecord,
  { tailnet }: Pick<ProcessorSettings, "tailnet">,
  acceptedAt: number,
): LogEvent {
  const { actor, target, recorded, time } = record;
  const observedTime = representable(recorded) ?? hrTimeOfMillis(acceptedAt);
  const property = target.property === "" ? "" : `.${target.property}`;
  return {
    name: auditEventName,
    severity: record.error === "" ? "INFO" : "WARN",
    time: representable(time) ?? observedTime,
    observedTime,
    body: `${record.action} on ${target.type}${property} via ${record.origin}`,
    attributes: presentAttributes({
      "tailscale.tailnet": tailnet,
      "tailscale.audit.action": record.action,
      "tailscale.audit.origin": record.origin,
      "tailscale.audit.event_group_id": record.eventGroupId,
      "tailscale.audit.type": record.logType,
      "tailscale.audit.details": record.actionDetails,
      "tailscale.audit.deferred_at": record.deferredAt,
      "tailscale.audit.diff": target.property === "ACL" ? lineDiff(record.oldText, record.newText) : "",
      "tailscale.audit.old": record.oldText,
      "tailscale.audit.new": record.newText,
      "user.id": actor.id,
      "user.name": actor.loginName,
      "user.full_name": actor.displayName,
      "tailscale.actor.type": actor.type,
      "tailscale.actor.tags": actor.tags.join(","),
      "tailscale.target.id": target.id,
      "tailscale.target.name": target.name,
      "tailscale.target.type": target.type,
      "tailscale.target.property": target.property,
      "tailscale.target.ephemeral": target.isEphemeral,
      "error.message": record.error,
    } satisfies { readonly [Name in keyof Audit]: Audit[Name] | undefined }),
  };
}

/** Documented types have at most 28 characters. */
const maxTypeBytes = 128;

/** Counts the event, with the event's own tailnet name if none is configured. */
function measureWebhook(
  { eventType, version, tailnet: ownTailnet }: WebhookRecord,
  { tailnet, privacy }: Pick<ProcessorSettings, "tailnet" | "privacy">,
  into: Increments,
): void {
  const isNamed = tailnet === "" && ownTailnet !== "";
  const shown = isNamed ? privacyOf(privacy).value("tailnet_name", ownTailnet) : undefined;
  const type = { "tailscale.webhook.type": boundedLabel(eventType) };
  const attributes = shown === undefined ? type : { ...type, "tailscale.tailnet": boundedLabel(shown) };
  count(into, "tailscale.webhook.events", attributes, 1);
  if (version === undefined) return;
  const status = webhookVersions.includes(version) ? "known" : "unknown";
  count(into, "tailscale.webhook.schema_drift", { field: "version", status }, 1);
}

function describeWebhook(
  { eventType, time, tailnet: ownTailnet, message, data }: WebhookRecord,
  { tailnet }: Pick<ProcessorSettings, "tailnet">,
  acceptedAt: number,
): LogEvent {
  const observedTime = hrTimeOfMillis(acceptedAt);
  const type = boundedText(eventType, maxTypeBytes);
  // Without a webhook secret anybody can send any type; the set of event names must stay small.
  const isKnown = (webhookTypes as readonly string[]).includes(eventType);
  return {
    name: `tailscale.webhook.${isKnown ? eventType : "other"}`,
    severity: warningTypes.has(eventType) ? "WARN" : "INFO",
    time: representable(time) ?? observedTime,
    observedTime,
    body: message,
    attributes: presentAttributes({
      "tailscale.webhook.type": type,
      "tailscale.tailnet": tailnet === "" ? ownTailnet : tailnet,
      ...Object.fromEntries(exportedMembers.map(([member, name]) => [name, exported(data[member])])),
    }),
  };
}

/** The value of an attribute, if it is a text or a list of texts. */
function exported(value: unknown): string | readonly string[] | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) return undefined;
  return value.filter((item) => item !== "");
}
