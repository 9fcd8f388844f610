/** Words of the settings that other rooms know too. The settings themselves are not loaded with them: the export worker has no use for those. */

/** The name of the destination that `otlp` itself is. */
export const primaryDestination = "primary";

/** Event types of webhooks: the enumeration in Tailscale's published API description. */
export const subscriptionTypes: readonly string[] = [
  ..."nodeCreated nodeNeedsApproval nodeApproved nodeKeyExpiringInOneDay nodeKeyExpired nodeDeleted".split(" "),
  ..."nodeSigned nodeNeedsSignature policyUpdate userCreated userNeedsApproval userSuspended".split(" "),
  ..."userRestored userDeleted userApproved userRoleUpdated subnetIPForwardingNotEnabled".split(" "),
  ..."exitNodeIPForwardingNotEnabled".split(" "),
];

/** The words of `webhook.subscriptions`. A category includes the types that Tailscale adds to it later. */
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
