/** Fixtures for tests of processors: settings that keep everything, and records decoded as in the pipeline. */
import { type PrivacySettings, privacyCategories } from "../../src/catalogue/logs.ts";
import { decodeAudit, decodeWebhook, webhookRecord } from "../../src/records/plain.ts";
import type { AuditRecord, JsonObject, WebhookRecord } from "../../src/records/types.ts";
import type { ProcessorSettings } from "../../src/processors/index.ts";
import { unwrapped } from "../support/records.ts";

/** The defaults, except for the given members. */
export function settingsWith(members: Partial<ProcessorSettings> = {}): ProcessorSettings {
  return {
    collapseExternal: true,
    countsExitNodes: true,
    flowLogMode: "per_connection",
    tailnet: "",
    directory: { current: undefined },
    dimensions: { nodes: true, identity: false, sourcePort: false, destinationPort: false },
    privacy: undefined,
    recordUid: undefined,
    ...members,
  };
}

/** Privacy settings that keep all but the given categories. */
export function privacyWith(actions: Partial<PrivacySettings["actions"]>, salt = "salt"): PrivacySettings {
  const kept = Object.fromEntries(privacyCategories.map((category) => [category, "keep"]));
  return { actions: { ...(kept as PrivacySettings["actions"]), ...actions }, salt };
}

export function auditOf(value: unknown): AuditRecord {
  const [raw] = unwrapped(value).records;
  if (raw?.type !== "audit") throw new Error("not an audit record");
  return decodeAudit(raw);
}

export function webhookOf(value: JsonObject): WebhookRecord {
  return decodeWebhook(webhookRecord(value, Buffer.from(JSON.stringify(value))));
}
