/** The closed vocabularies of Tailscale's logs. The wire may say more; on a metric what is unknown becomes `other`. */
import { subscriptionTypes } from "../config/index.ts";

/** Actions of the configuration audit log, from the published API description. */
export const auditActions = [
  "LOGIN",
  "LOGOUT",
  "CREATE",
  "UPDATE",
  "DELETE",
  "CANCEL",
  "REVOKE",
  "APPROVE",
  "SUSPEND",
  "RESTORE",
  "ENABLE",
  "DISABLE",
  "ACCEPT",
  "EXPIRED",
  "PUSH_USER",
  "PUSH_GROUP",
  "VERIFY",
  "JOIN_WAITLIST",
  "INVITE",
  "JOIN",
  "LEAVE",
  "RESEND",
  "MIGRATE_AUTH_PROVIDER",
  "DISCONNECT_NODE",
  "RESTORE_GLOBAL",
  "SUSPEND_GLOBAL",
  "other",
] as const;

/** Where a configuration change came from. */
export const auditOrigins = [
  "ADMIN_CONSOLE",
  "CONFIG_API",
  "CONTROL",
  "IDENTITY_PROVIDER",
  "NODE",
  "SUPPORT_REQUEST",
  "STRIPE",
  "SECURITY_NOTIFICATION",
  "LEGAL_NOTIFICATION",
  "BORDER0_API",
  "other",
] as const;

/** Who made a configuration change. */
export const actorTypes = [
  "USER",
  "NODE",
  "AUTOMATED_WORKER",
  "OAUTH_CLIENT",
  "SCIM",
  "MULLVAD",
  "LOGSTREAM",
  "SECRET_SCANNER",
  "PAM_CONNECTOR",
  "PAM_SERVICE_ACCOUNT",
  "other",
] as const;

/** Changes of a tailnet's configuration that matter for its security, by the property that the record names. */
export const changeOfProperty = {
  ACL: "acl",
  KEY_EXPIRY: "key_expiry",
  KEY_EXPIRY_TIME: "key_expiry",
  EXIT_NODE: "exit_node",
  NETWORK_FLOW_LOGGING: "network_flow_logging",
  LOG_EXIT_FLOWS: "exit_flow_logging",
  TKA: "tailnet_lock",
  USER_ROLE: "user_role",
  MACHINE_APPROVAL_NEEDED: "machine_approval",
  USER_APPROVAL_REQUIRED: "user_approval",
  POSTURE_INTEGRATION: "posture_integration",
  COLLECT_POSTURE_IDENTITY: "collect_posture_identity",
  MAGIC_DNS: "magic_dns",
  DNS_CONFIG: "dns_config",
  LOGSTREAM_ENDPOINT: "logstream_endpoint",
  MAX_KEY_DURATION: "key_duration",
  FILE_SHARING: "file_sharing",
  HTTPS: "https",
  SCIM: "scim",
  SUBSCRIBED_EVENTS: "webhook_subscription",
  SECURITY_EMAIL: "security_contact",
  NODE_SHARE: "node_share",
  TAILNET_INVITE: "tailnet_invite",
  AUTH_PROVIDER: "auth_provider",
  SECRET: "secret",
  BORDER0_PROVISIONING: "privileged_access",
} as const;

/** Properties of the published API description that are no curated change, and those of privileged access (2026). */
const otherProperties = (
  "ACL_TAGS ACCOUNT_EMAIL ADDRESS ALLOWED_IPS AUTO_APPROVED_ROUTES ATTRIBUTES BILLING_OWNER COLLECT_SERVICES EMAIL " +
  "FEATURE GEOSTEERING MACHINE_AUTH_NEEDED MACHINE_NAME MULLVAD_VPN PAYMENT_INFO POSTURE_IDENTITY STRIPE_CUSTOMER_ID " +
  "SUBSCRIPTION SUPPORT_EMAIL TCD ACCESS_TOKEN CUSTOM_DOMAIN NOTIFICATION RECORDING_STORAGE SETUP_WIZARD"
).split(" ");

/** What a record can name as the changed property of its target. */
export const targetProperties: ReadonlySet<string> = new Set([...Object.keys(changeOfProperty), ...otherProperties]);

/** The same for what has no such property: by the target's type and the action. */
export const changeOfTarget = {
  "NODE CREATE": "device",
  "NODE DELETE": "device",
  "NODE EXPIRED": "device",
  "API_KEY CREATE": "api_key",
  "API_KEY DELETE": "api_key",
  "API_KEY REVOKE": "api_key",
} as const;

/** The curated changes. */
export const auditChanges = [
  ...new Set([...Object.values(changeOfProperty), ...Object.values(changeOfTarget)]),
] as readonly ((typeof changeOfProperty)[keyof typeof changeOfProperty] | "device" | "api_key")[];

/** Types of webhook events: those that can be subscribed to, and those that come all the same. */
export const webhookTypes = [
  ...subscriptionTypes,
  "nodeNeedsAuthorization",
  "nodeAuthorized",
  "webhookUpdated",
  "webhookDeleted",
  "test",
] as const;

/** Versions of the format of webhook events. */
export const webhookVersions: readonly number[] = [1];

/** The vocabulary's own word, or `other`. */
export function wordOf<Word extends string>(vocabulary: readonly (Word | "other")[], text: string): Word | "other" {
  return (vocabulary as readonly string[]).includes(text) ? (text as Word) : "other";
}

/** Whether a text from the wire is a word of the vocabulary. `other` is ours. */
export function isWordOf(vocabulary: readonly string[], text: string): boolean {
  return text !== "other" && vocabulary.includes(text);
}
