/** Tests each curated audit change, as listed on the signals page, and the other known properties. */
import { expect, test } from "bun:test";
import { auditChanges } from "../../src/catalogue/vocabulary.ts";
import { type Count, noIncrements } from "../../src/catalogue/increments.ts";
import { measure } from "../../src/processors/index.ts";
import { auditValue } from "../support/records.ts";
import { auditOf, settingsWith } from "./given.ts";

const byProperty = [
  ["ACL", "acl"],
  ["KEY_EXPIRY", "key_expiry"],
  ["KEY_EXPIRY_TIME", "key_expiry"],
  ["EXIT_NODE", "exit_node"],
  ["NETWORK_FLOW_LOGGING", "network_flow_logging"],
  ["LOG_EXIT_FLOWS", "exit_flow_logging"],
  ["TKA", "tailnet_lock"],
  ["USER_ROLE", "user_role"],
  ["MACHINE_APPROVAL_NEEDED", "machine_approval"],
  ["USER_APPROVAL_REQUIRED", "user_approval"],
  ["POSTURE_INTEGRATION", "posture_integration"],
  ["COLLECT_POSTURE_IDENTITY", "collect_posture_identity"],
  ["MAGIC_DNS", "magic_dns"],
  ["DNS_CONFIG", "dns_config"],
  ["LOGSTREAM_ENDPOINT", "logstream_endpoint"],
  ["MAX_KEY_DURATION", "key_duration"],
  ["FILE_SHARING", "file_sharing"],
  ["HTTPS", "https"],
  ["SCIM", "scim"],
  ["SUBSCRIBED_EVENTS", "webhook_subscription"],
  ["SECURITY_EMAIL", "security_contact"],
  ["NODE_SHARE", "node_share"],
  ["TAILNET_INVITE", "tailnet_invite"],
  ["AUTH_PROVIDER", "auth_provider"],
  ["SECRET", "secret"],
  ["BORDER0_PROVISIONING", "privileged_access"],
] as const;

const byTarget = [
  ["NODE", "CREATE", "device"],
  ["NODE", "DELETE", "device"],
  ["NODE", "EXPIRED", "device"],
  ["PAM_SERVICE_ACCOUNT", "UPDATE", "privileged_access"],
  ["API_KEY", "CREATE", "api_key"],
  ["API_KEY", "DELETE", "api_key"],
  ["API_KEY", "REVOKE", "api_key"],
] as const;

/** From the published API description; none of them has a curated change. */
const otherProperties = [
  ..."ACL_TAGS MACHINE_NAME ACCOUNT_EMAIL ADDRESS ALLOWED_IPS AUTO_APPROVED_ROUTES ATTRIBUTES BILLING_OWNER".split(" "),
  ..."COLLECT_SERVICES MULLVAD_VPN EMAIL FEATURE MACHINE_AUTH_NEEDED GEOSTEERING PAYMENT_INFO POSTURE_IDENTITY".split(
    " ",
  ),
  ..."STRIPE_CUSTOMER_ID SUBSCRIPTION SUPPORT_EMAIL TCD".split(" "),
];

function countsOf(action: string, target: object): readonly Count[] {
  const into = noIncrements();
  measure(auditOf(auditValue({ action, target })), settingsWith(), into);
  return [...into.values()];
}

function changeOf(action: string, target: object): string | undefined {
  const found = countsOf(action, target).find(({ metric }) => metric === "tailscale.config.audit.changes");
  return found?.attributes["tailscale.audit.change"];
}

test.each([...otherProperties, ...byProperty.map(([property]) => property)])("%s is a known property", (property) => {
  const drift = countsOf("UPDATE", { type: "TAILNET", property }).filter(
    ({ metric, attributes }) =>
      metric === "tailscale.config.audit.schema_drift" && attributes["field"] === "target_property",
  );
  expect(drift.map(({ attributes }) => attributes["status"])).toEqual(["known"]);
});

test.each(byProperty)("%s is %s", (property, change) => {
  expect(changeOf("UPDATE", { type: "TAILNET", property })).toBe(change);
});

test.each(byTarget)("%s %s is %s", (type, action, change) => {
  expect(changeOf(action, { type })).toBe(change);
});

test.each([
  ["LOGIN", { type: "USER" }],
  ["UPDATE", { type: "NODE" }],
  ["UPDATE", { type: "NODE", property: "toString" }],
  ["CREATE", { type: "constructor" }],
] as const)("%s of %j is not a curated change", (action, target) => {
  expect(changeOf(action, target)).toBeUndefined();
});

test("every curated change is tested here", () => {
  const listed = [...byProperty.map(([, change]) => change), ...byTarget.map(([, , change]) => change)];
  expect([...new Set<string>(listed)].toSorted()).toEqual([...auditChanges].toSorted());
});
