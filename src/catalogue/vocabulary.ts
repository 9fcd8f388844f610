/** The closed vocabularies of Tailscale's logs. The wire may say more; on a metric what is unknown becomes `other`. */

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
  "other",
] as const;

/** The vocabulary's own word, or `other`. */
export function wordOf<Word extends string>(vocabulary: readonly (Word | "other")[], text: string): Word | "other" {
  return (vocabulary as readonly string[]).includes(text) ? (text as Word) : "other";
}
