/** Configuration audit records as metrics and as a log event: pure functions of the record. */
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { actorTypes, auditActions, auditOrigins, changeOf, targetProperties, wordOf } from "../catalogue/vocabulary.ts";
import { hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import type { AuditRecord } from "../records/types.ts";
import { count, type Increments } from "../catalogue/increments.ts";
import { type LogEvent, presentAttributes } from "../catalogue/log-event.ts";
import { lineDiff } from "./line-diff.ts";
import type { ProcessorSettings } from "./names.ts";

/** Counts the event, its security-relevant change if it is one, and whether its words are known. */
export function measureAudit(record: AuditRecord, into: Increments): void {
  const { actor, target } = record;
  const action = { "tailscale.audit.action": wordOf(auditActions, record.action) };
  const origin = { "tailscale.audit.origin": wordOf(auditOrigins, record.origin) };
  count(into, "tailscale.config.audit.events", { ...action, ...origin }, 1);
  const change = changeOf(target.property, target.type, record.action);
  if (change !== undefined) {
    const actorType = { "tailscale.actor.type": wordOf(actorTypes, actor.type) };
    count(into, "tailscale.config.audit.changes", { "tailscale.audit.change": change, ...action, ...actorType }, 1);
  }
  const words = [
    ["action", record.action, auditActions],
    ["origin", record.origin, auditOrigins],
    ["actor_type", actor.type, actorTypes],
    ["target_property", target.property, targetProperties],
  ] as const;
  for (const [field, word, vocabulary] of words) {
    // A word that is absent is neither known nor unknown.
    if (word === "") continue;
    const status = wordOf(vocabulary, word) === "other" ? "unknown" : "known";
    count(into, "tailscale.config.audit.schema_drift", { field, status }, 1);
  }
}

type Attributes = {
  readonly [Name in keyof AttributesOfLog<"tailscale.config.audit">]:
    AttributesOfLog<"tailscale.config.audit">[Name] | undefined;
};

/** The record's log event. `acceptedAt`: epoch milliseconds. */
export function describeAudit(
  record: AuditRecord,
  { tailnet }: Pick<ProcessorSettings, "tailnet">,
  acceptedAt: number,
): LogEvent {
  const { actor, target } = record;
  const { recorded, time } = record;
  const observedTime = recorded !== undefined && isSayable(recorded) ? recorded : hrTimeOfMillis(acceptedAt);
  const property = target.property === "" ? "" : `.${target.property}`;
  return {
    name: "tailscale.config.audit",
    severity: record.error === "" ? "INFO" : "WARN",
    time: time !== undefined && isSayable(time) ? time : observedTime,
    observedTime,
    body: `${record.action} on ${target.type}${property} via ${record.origin}`,
    attributes: presentAttributes({
      "tailscale.tailnet": tailnet,
      "tailscale.audit.action": record.action,
      "tailscale.audit.origin": record.origin,
      "tailscale.audit.event_group_id": record.eventGroupId,
      "tailscale.audit.type": record.logType,
      "tailscale.audit.details": record.actionDetails,
      "tailscale.audit.deferred_at": record.deferredAt,
      "tailscale.audit.diff": target.property === "ACL" ? lineDiff(record.oldText, record.newText) : "",
      "tailscale.audit.old": record.oldText,
      "tailscale.audit.new": record.newText,
      "user.id": actor.id,
      "user.name": actor.loginName,
      "user.full_name": actor.displayName,
      "tailscale.actor.type": actor.type,
      "tailscale.actor.tags": actor.tags.join(","),
      "tailscale.target.id": target.id,
      "tailscale.target.name": target.name,
      "tailscale.target.type": target.type,
      "tailscale.target.property": target.property,
      "tailscale.target.ephemeral": target.isEphemeral,
      "error.message": record.error,
    } satisfies Attributes),
  };
}
