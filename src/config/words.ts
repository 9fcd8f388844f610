/** Words of the settings that other modules use too, kept apart so that the export worker need not load the settings. */

/** The name of the destination configured directly in `otlp`. */
export const primaryDestination = "primary";

/** Webhook event types, from the enumeration in Tailscale's published API description. */
export const subscriptionTypes: readonly string[] = [
  ..."nodeCreated nodeNeedsApproval nodeApproved nodeKeyExpiringInOneDay nodeKeyExpired nodeDeleted".split(" "),
  ..."nodeSigned nodeNeedsSignature policyUpdate userCreated userNeedsApproval userSuspended".split(" "),
  ..."userRestored userDeleted userApproved userRoleUpdated subnetIPForwardingNotEnabled".split(" "),
  ..."exitNodeIPForwardingNotEnabled".split(" "),
];

/** The allowed words of `webhook.subscriptions`. A category includes types that Tailscale adds to it later. */
export const subscriptionWords: readonly string[] = [
  "all",
  ...subscriptionTypes,
  "categoryTailnetManagement",
  "categoryDeviceMisconfigurations",
];

/** The event types to request from the API for that list. */
export function subscriptionsOf(written: readonly string[]): readonly string[] {
  return written.length === 0 || written.includes("all") ? subscriptionTypes : [...new Set(written)];
}
