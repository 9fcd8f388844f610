/** Audit records and webhook events: what each adds to metrics, and the log event that it becomes. Flow records: `flow.ts`, `flow-metrics.ts`. */
import type { AuditRecord, WebhookRecord } from "../records/types.ts";
import type { Increments } from "../catalogue/increments.ts";
import type { LogEvent } from "../catalogue/log-event.ts";
import { Identifier } from "../records/identity.ts";
import { describeAudit, measureAudit } from "./audit.ts";
import { boundedEvent } from "./bounds.ts";
import type { ProcessorSettings } from "./names.ts";
import { privacyOf } from "./privacy.ts";
import { describeWebhook, measureWebhook } from "./webhook.ts";

export { type Device, type Directory, directoryOf, type ProcessorSettings, processorSettingsOf } from "./names.ts";

/** Adds what one record counts. No clock, no I/O. */
export function measure(record: AuditRecord | WebhookRecord, settings: ProcessorSettings, into: Increments): void {
  if (record.type === "audit") measureAudit(record, into);
  else measureWebhook(record, settings, into);
}

const identifiers = new WeakMap<NonNullable<ProcessorSettings["recordUid"]>, Identifier>();

/** The log event of one record, accepted at `acceptedAt` (epoch milliseconds). No clock, no I/O. */
export function describe(
  record: AuditRecord | WebhookRecord,
  settings: ProcessorSettings,
  acceptedAt: number,
): LogEvent {
  const { privacy, recordUid } = settings;
  const described =
    record.type === "audit"
      ? describeAudit(record, settings, acceptedAt)
      : describeWebhook(record, settings, acceptedAt);
  const event = boundedEvent(privacy === undefined ? described : privacyOf(privacy).event(described));
  if (recordUid === undefined) return event;
  let identifier = identifiers.get(recordUid);
  if (identifier === undefined)
    identifiers.set(recordUid, (identifier = new Identifier(recordUid.secret, recordUid.tailnet)));
  return { ...event, attributes: { ...event.attributes, "log.record.uid": `${identifier.uidOf(record)}-0` } };
}
