/** Webhook events as metrics and as log events: pure functions of the event. */
import { count, type Increments } from "../catalogue/increments.ts";
import type { AttributeValue, LogEvent } from "../catalogue/log-event.ts";
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { webhookVersions } from "../catalogue/vocabulary.ts";
import { hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import { cutText } from "../lib/text.ts";
import type { JsonObject, WebhookRecord } from "../records/types.ts";
import type { NameOptions } from "./names.ts";
import { privacyOf } from "./privacy.ts";

/** What asks somebody to act, or takes something away. */
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

/** What is exported of `data`. Policies are not, and neither is what is unknown. */
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

/** Documented types have at most 28 characters; the name of a log event should stay one. */
const maxTypeBytes = 128;

/** Bytes of UTF-8 kept of a text, and of all texts in a list together. */
const maxTextBytes = 4096;

/** Adds an event to the counters. Where the tailnet has no configured name, which is on every point, the event's own stands here. */
export function measureWebhook(
  { eventType, version, tailnet: ownTailnet }: WebhookRecord,
  { tailnet = "", privacy }: Pick<NameOptions, "tailnet" | "privacy">,
  into: Increments,
): void {
  const named = tailnet === "" && ownTailnet !== "" ? ownTailnet : undefined;
  const shown = named === undefined || privacy === undefined ? named : privacyOf(privacy).value("tailnet_name", named);
  const type = { "tailscale.webhook.type": eventType };
  const attributes = shown === undefined ? type : { ...type, "tailscale.tailnet": shown };
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
    severity: warningTypes.has(eventType) ? "WARN" : "INFO",
    time: time !== undefined && isSayable(time) ? time : observedTime,
    observedTime,
    body: message,
    shared: [],
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

/** The attribute of a text or a list of texts; none where there is another value, or an empty one. */
function present(
  name: keyof AttributesOfLog<"tailscale.webhook.<type>">,
  value: unknown,
): Record<string, AttributeValue> {
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
