/** Webhook events as metrics and as log events: pure functions of the event. */
import { count, type Increments } from "../catalogue/increments.ts";
import type { AttributeValue, LogEvent } from "../catalogue/log-event.ts";
import { webhookVersions } from "../catalogue/vocabulary.ts";
import { hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import { cutText } from "../lib/text.ts";
import type { JsonObject, WebhookRecord } from "../records/types.ts";

/** What asks somebody to act, or takes something away. */
const warnings: ReadonlySet<string> = new Set([
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

/** What is exported of `data`. Policies are not, and neither is what is unknown. */
const exported = [
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

/** Documented types have at most 28 characters; the name of a log event should stay one. */
const maxTypeBytes = 128;

/** Bytes of UTF-8 kept of a text, and of all texts in a list together. */
const maxTextBytes = 4096;

/** Adds an event to the counters. `tailnet`: the configured name, if there is one. */
export function measureWebhook(
  { eventType, version, tailnet: ownTailnet }: WebhookRecord,
  { tailnet = "" }: { readonly tailnet?: string },
  into: Increments,
): void {
  const type = { "tailscale.webhook.type": eventType };
  const isNamedByEvent = tailnet === "" && ownTailnet !== "";
  const attributes = isNamedByEvent ? { ...type, "tailscale.tailnet": ownTailnet } : type;
  count(into, "tailscale.webhook.events", attributes, 1);
  if (version === undefined) return;
  const status = webhookVersions.includes(version) ? "known" : "unknown";
  count(into, "tailscale.webhook.schema_drift", { field: "version", status }, 1);
}

/** The event's log event. `acceptedAt`: epoch milliseconds. */
export function describeWebhook(
  { eventType, time, tailnet: ownTailnet, message, data }: WebhookRecord,
  { tailnet }: { readonly tailnet: string },
  acceptedAt: number,
): LogEvent {
  const observedTime = hrTimeOfMillis(acceptedAt);
  const type = cutText(eventType, maxTypeBytes);
  return {
    name: `tailscale.webhook.${type}`,
    severity: warnings.has(eventType) ? "WARN" : "INFO",
    time: time !== undefined && isSayable(time) ? time : observedTime,
    observedTime,
    body: message,
    shared: [],
    attributes: {
      "tailscale.webhook.type": type,
      ...named("tailscale.tailnet", tailnet === "" ? ownTailnet : tailnet),
      ...dataAttributes(data),
    },
  };
}

function dataAttributes(data: JsonObject): Record<string, AttributeValue> {
  const attributes: Record<string, AttributeValue> = {};
  for (const [member, name] of exported) Object.assign(attributes, named(name, data[member]));
  return attributes;
}

/** The attribute of a text or a list of texts; none where there is another value, or an empty one. */
function named(name: string, value: unknown): Record<string, AttributeValue> {
  if (typeof value === "string") return value === "" ? {} : { [name]: cutText(value, maxTextBytes) };
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) return {};
  const kept: string[] = [];
  let characters = 0;
  for (const item of value) {
    characters += item.length;
    if (item === "") continue;
    if (characters > maxTextBytes) break;
    kept.push(item);
  }
  return kept.length === 0 ? {} : { [name]: kept };
}
