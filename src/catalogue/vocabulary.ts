/** The vocabularies of Tailscale's logs, whose unknown words become `other` in metrics, and of the program's own failures. */
import { subscriptionTypes } from "../config/words.ts";
import { words } from "./definition.ts";

/** Actions of the configuration audit log, from the published API description. */
export const auditActions: readonly string[] = [
  ..."LOGIN LOGOUT CREATE UPDATE DELETE CANCEL REVOKE APPROVE SUSPEND RESTORE ENABLE DISABLE ACCEPT EXPIRED".split(" "),
  ..."PUSH_USER PUSH_GROUP VERIFY JOIN_WAITLIST INVITE JOIN LEAVE RESEND MIGRATE_AUTH_PROVIDER".split(" "),
  ..."DISCONNECT_NODE RESTORE_GLOBAL SUSPEND_GLOBAL other".split(" "),
];

/** Where a configuration change was made. */
export const auditOrigins: readonly string[] = [
  ..."ADMIN_CONSOLE CONFIG_API CONTROL IDENTITY_PROVIDER NODE SUPPORT_REQUEST STRIPE".split(" "),
  ..."SECURITY_NOTIFICATION LEGAL_NOTIFICATION BORDER0_API other".split(" "),
];

/** Who made a configuration change. */
export const actorTypes: readonly string[] = [
  ..."USER NODE AUTOMATED_WORKER OAUTH_CLIENT SCIM MULLVAD LOGSTREAM SECRET_SCANNER".split(" "),
  ..."PAM_CONNECTOR PAM_SERVICE_ACCOUNT other".split(" "),
];

/** Security-relevant properties whose change has the same name in lower case. */
const changesByName = [
  ..."ACL KEY_EXPIRY EXIT_NODE NETWORK_FLOW_LOGGING USER_ROLE POSTURE_INTEGRATION COLLECT_POSTURE_IDENTITY".split(" "),
  ..."MAGIC_DNS DNS_CONFIG LOGSTREAM_ENDPOINT FILE_SHARING HTTPS SCIM NODE_SHARE TAILNET_INVITE".split(" "),
  ..."AUTH_PROVIDER SECRET".split(" "),
];

/** Security-relevant changes: by the property that the record names, else by the target's type and the action. */
const changes: ReadonlyMap<string, string> = new Map([
  ...changesByName.map((property) => [property, property.toLowerCase()] as const),
  ["KEY_EXPIRY_TIME", "key_expiry"],
  ["LOG_EXIT_FLOWS", "exit_flow_logging"],
  ["TKA", "tailnet_lock"],
  ["MACHINE_APPROVAL_NEEDED", "machine_approval"],
  ["USER_APPROVAL_REQUIRED", "user_approval"],
  ["MAX_KEY_DURATION", "key_duration"],
  ["SUBSCRIBED_EVENTS", "webhook_subscription"],
  ["SECURITY_EMAIL", "security_contact"],
  ["BORDER0_PROVISIONING", "privileged_access"],
  ["NODE CREATE", "device"],
  ["NODE DELETE", "device"],
  ["NODE EXPIRED", "device"],
  ["API_KEY CREATE", "api_key"],
  ["API_KEY DELETE", "api_key"],
  ["API_KEY REVOKE", "api_key"],
]);

export const auditChanges: readonly string[] = [...new Set(changes.values())];

/** The security-relevant change that a record describes, if any. */
export function changeOf(property: string, targetType: string, action: string): string | undefined {
  const byProperty = changes.get(property);
  if (byProperty !== undefined || !targetType.startsWith("PAM_"))
    return byProperty ?? changes.get(`${targetType} ${action}`);
  return "privileged_access";
}

/** Properties from the published API description that are not security-relevant, and those of privileged access (2026). */
const otherProperties = [
  ..."ACL_TAGS ACCOUNT_EMAIL ADDRESS ALLOWED_IPS AUTO_APPROVED_ROUTES ATTRIBUTES BILLING_OWNER COLLECT_SERVICES".split(
    " ",
  ),
  ..."EMAIL FEATURE GEOSTEERING MACHINE_AUTH_NEEDED MACHINE_NAME MULLVAD_VPN PAYMENT_INFO POSTURE_IDENTITY".split(" "),
  ..."STRIPE_CUSTOMER_ID SUBSCRIPTION SUPPORT_EMAIL TCD".split(" "),
  ..."ACCESS_TOKEN CUSTOM_DOMAIN NOTIFICATION RECORDING_STORAGE SETUP_WIZARD".split(" "),
];

/** Every known property of a target that a record can name as changed. */
export const targetProperties: readonly string[] = [
  ...[...changes.keys()].filter((key) => !key.includes(" ")),
  ...otherProperties,
];

/** Types of webhook events: those that can be subscribed to, and those that are sent anyway. */
export const webhookTypes: readonly string[] = [
  ...subscriptionTypes,
  ..."nodeNeedsAuthorization nodeAuthorized webhookUpdated webhookDeleted test".split(" "),
];

/** Versions of the format of webhook events. */
export const webhookVersions: readonly number[] = [1];

/** The word if the vocabulary has it, else `other`. */
export function wordOf(vocabulary: readonly string[], text: string): string {
  return vocabulary.includes(text) ? text : "other";
}

/** Why a poll failed; `other` is not a failure of the API. */
export const scrapeErrors = [
  ...words("unauthorized missing_scope not_enabled not_found rejected rate_limited unavailable timeout"),
  ...words("too_large malformed redirected aborted other"),
] as const;

/** What is wrong with an accepted or quarantined record, or with an entry of it. */
export const quality = [
  ...words("negative_counters oversized_counters inverted_window invalid_endpoint invalid_protocol invalid_entry"),
  ...words("future_timestamp replaced_time"),
] as const;

/** Why a request of the log stream is refused as a whole. */
export const hecRefusals = words(
  "auth unparsable too_large overloaded unavailable timeout cross_site not_found method",
);

/** Why a webhook delivery is refused as a whole. */
export const webhookRefusals = [
  ...words("overloaded cross_site timeout too_large not_found method missing_signature malformed_signature"),
  ...words("stale_timestamp future_timestamp bad_signature invalid_body unavailable"),
] as const;

/** Why an export failed: the outcome of the request, or `rejected`, which is about its contents. */
export const exportErrors = words("unreachable timeout reset server throttled denied rejected");

/** Calls to Tailscale's API. */
export const apiEndpoints = [
  ...words("oauth_token network_logs configuration_logs devices"),
  ...words("log_stream log_stream_status webhooks webhook webhook_test webhook_rotate"),
] as const;

export type ApiEndpoint = (typeof apiEndpoints)[number];

/** Statuses of their answers; `none` is a request without an answer. */
export const apiStatusCodes = [
  ..."200 201 202 204 301 302 303 307 308 400 401 403 404 405 408 409 413 415 422 429 500 502 503 504".split(" "),
  "other",
  "none",
];
