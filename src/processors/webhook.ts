/** Webhook events as metrics and as log events: pure functions of the event. */
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { webhookTypes, webhookVersions } from "../catalogue/vocabulary.ts";
import { hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import type { JsonObject, WebhookRecord } from "../records/types.ts";
import { count, type Increments } from "../catalogue/increments.ts";
import type { AttributeValue, LogEvent } from "../catalogue/log-event.ts";
import { boundedLabel, boundedText } from "./bounds.ts";
import type { ProcessorSettings } from "./names.ts";
import { privacyOf } from "./privacy.ts";

/** Events that ask somebody to act, or that take something away. */
export const warningTypes: ReadonlySet<string> = new Set([
  "nodeKeyExpired",
  "nodeKeyExpiringInOneDay",
  "nodeNeedsApproval",
  "userNeedsApproval",
  "nodeNeedsAuthorization",
  "nodeNeedsSignature",
  "nodeDeleted",
  "webhookDeleted",
  "userSuspended",
  "userDeleted",
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
] as const;

/** Documented types have at most 28 characters. */
const maxTypeBytes = 128;

/** Adds an event to the counters. If the tailnet has no configured name, which every point carries, the event's own is used. */
export function measureWebhook(
  { eventType, version, tailnet: ownTailnet }: WebhookRecord,
  { tailnet, privacy }: Pick<ProcessorSettings, "tailnet" | "privacy">,
  into: Increments,
): void {
  const named = tailnet === "" && ownTailnet !== "" ? ownTailnet : undefined;
  const shown = named === undefined || privacy === undefined ? named : privacyOf(privacy).value("tailnet_name", named);
  const type = { "tailscale.webhook.type": boundedLabel(eventType) };
  const attributes = shown === undefined ? type : { ...type, "tailscale.tailnet": boundedLabel(shown) };
  count(into, "tailscale.webhook.events", attributes, 1);
  if (version === undefined) return;
  const status = webhookVersions.includes(version) ? "known" : "unknown";
  count(into, "tailscale.webhook.schema_drift", { field: "version", status }, 1);
}

/** The event's log event. `acceptedAt`: epoch milliseconds. */
export function describeWebhook(
  { eventType, time, tailnet: ownTailnet, message, data }: WebhookRecord,
  { tailnet }: Pick<ProcessorSettings, "tailnet">,
  acceptedAt: number,
): LogEvent {
  const observedTime = hrTimeOfMillis(acceptedAt);
  const type = boundedText(eventType, maxTypeBytes);
  // Without a secret anybody can send any type: names of log events must stay few.
  const isKnown = (webhookTypes as readonly string[]).includes(eventType);
  return {
    name: `tailscale.webhook.${isKnown ? eventType : "other"}`,
    severity: warningTypes.has(eventType) ? "WARN" : "INFO",
    time: time !== undefined && isSayable(time) ? time : observedTime,
    observedTime,
    body: message,
    attributes: {
      "tailscale.webhook.type": type,
      ...present("tailscale.tailnet", tailnet === "" ? ownTailnet : tailnet),
      ...dataAttributes(data),
    },
  };
}

function dataAttributes(data: JsonObject): Record<string, AttributeValue> {
  const attributes: Record<string, AttributeValue> = {};
  for (const [member, name] of exportedMembers) Object.assign(attributes, present(name, data[member]));
  return attributes;
}

/** The attribute of a text or of a list of texts; none if it is empty or anything else. */
function present(
  name: keyof AttributesOfLog<"tailscale.webhook.<type>">,
  value: unknown,
): Record<string, AttributeValue> {
  if (typeof value === "string") return value === "" ? {} : { [name]: value };
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) return {};
  const texts = value.filter((item) => item !== "");
  return texts.length === 0 ? {} : { [name]: texts };
}
