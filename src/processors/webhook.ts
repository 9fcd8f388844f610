/** Webhook events as metrics and as log events: pure functions of the event. */
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { webhookTypes, webhookVersions } from "../catalogue/vocabulary.ts";
import { hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import type { WebhookRecord } from "../records/types.ts";
import { count, type Increments } from "../catalogue/increments.ts";
import { type LogEvent, presentAttributes } from "../catalogue/log-event.ts";
import { boundedLabel, boundedText } from "./bounds.ts";
import type { ProcessorSettings } from "./names.ts";
import { privacyOf } from "./privacy.ts";

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

/** Documented types have at most 28 characters. */
const maxTypeBytes = 128;

/** Counts the event. If no tailnet name is configured, which every point would carry, the event's own name is used. */
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
