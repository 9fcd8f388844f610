/** The curated changes, one by one, as the signals page lists them. */
import { expect, test } from "bun:test";
import { auditChanges } from "../../src/catalogue/vocabulary.ts";
import { noIncrements } from "../../src/catalogue/increments.ts";
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

function changeOf(action: string, target: object): string | undefined {
  const into = noIncrements();
  measure(auditOf(auditValue({ action, target })), settingsWith(), into);
  const found = [...into.values()].find(({ metric }) => metric === "tailscale.config.audit.changes");
  return found?.attributes["tailscale.audit.change"];
}

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
] as const)("%s of %j is none", (action, target) => {
  expect(changeOf(action, target)).toBeUndefined();
});

test("every curated change is in this list", () => {
  const listed = [...byProperty.map(([, change]) => change), ...byTarget.map(([, , change]) => change)];
  expect([...new Set<string>(listed)].toSorted()).toEqual([...auditChanges].toSorted());
});
