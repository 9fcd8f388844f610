/** What a webhook can be told of: the words of `webhook.subscriptions`. */

/** Types of events that can be subscribed to: the enumeration in Tailscale's published API description. */
export const subscriptionTypes = [
  "nodeCreated",
  "nodeNeedsApproval",
  "nodeApproved",
  "nodeKeyExpiringInOneDay",
  "nodeKeyExpired",
  "nodeDeleted",
  "nodeSigned",
  "nodeNeedsSignature",
  "policyUpdate",
  "userCreated",
  "userNeedsApproval",
  "userSuspended",
  "userRestored",
  "userDeleted",
  "userApproved",
  "userRoleUpdated",
  "subnetIPForwardingNotEnabled",
  "exitNodeIPForwardingNotEnabled",
] as const;

/** Stand for whole groups, those that Tailscale adds later included. */
const categories = ["categoryTailnetManagement", "categoryDeviceMisconfigurations"] as const;

/** Everything that may stand in the list. */
export const subscriptionWords: readonly string[] = ["all", ...subscriptionTypes, ...categories];

/** What the API is told for a list as it is written: each word once, `all` and an empty list spelt out. */
export function subscriptionsOf(written: readonly string[]): readonly string[] {
  if (written.length === 0 || written.includes("all")) return subscriptionTypes;
  return [...new Set(written)];
}
