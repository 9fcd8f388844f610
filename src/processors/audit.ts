/** Audit records as a metric and as a log event: pure functions of the record. */
import { count, type Increments } from "../catalogue/increments.ts";
import type { AttributeValue, LogEvent } from "../catalogue/log-event.ts";
import { auditActions, auditOrigins, wordOf } from "../catalogue/vocabulary.ts";
import { hrTimeOfMillis, isSayable } from "../lib/clock.ts";
import { cutText } from "../lib/text.ts";
import type { AuditRecord } from "../records/types.ts";

/** Bytes of UTF-8 kept of `old` and `new`: an ACL change holds whole policies. */
const maxValueBytes = 4096;

/** Adds a record to the event counter. */
export function measureAudit(record: AuditRecord, into: Increments): void {
  count(
    into,
    "tailscale.config.audit.events",
    {
      "tailscale.audit.action": wordOf(auditActions, record.action),
      "tailscale.audit.origin": wordOf(auditOrigins, record.origin),
    },
    1,
  );
}

/** The record's log event. `acceptedAt`: epoch milliseconds. */
export function describeAudit(
  record: AuditRecord,
  { tailnet }: { readonly tailnet: string },
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
    shared: [],
    attributes: present({
      "tailscale.tailnet": tailnet,
      "tailscale.audit.action": record.action,
      "tailscale.audit.origin": record.origin,
      "tailscale.audit.event_group_id": record.eventGroupId,
      "tailscale.audit.type": record.logType,
      "tailscale.audit.details": record.actionDetails,
      "tailscale.audit.deferred_at": record.deferredAt,
      "tailscale.audit.old": valueText(record.old),
      "tailscale.audit.new": valueText(record.new),
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
    }),
  };
}

/** Absent is absent, and empty text is not exported. */
function present(attributes: Record<string, AttributeValue | undefined>): Record<string, AttributeValue> {
  const kept: Record<string, AttributeValue> = {};
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== "") kept[name] = value;
  return kept;
}

function valueText(value: unknown): string {
  if (value === undefined) return "";
  return cutText(typeof value === "string" ? value : JSON.stringify(value), maxValueBytes);
}
