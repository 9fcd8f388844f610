/** Audit records and webhook events: what each adds to metrics, and the log event that it becomes. Flow records: `flow.ts`, `flow-metrics.ts`. */
import type { AuditRecord, WebhookRecord } from "../records/types.ts";
import type { Increments } from "../catalogue/increments.ts";
import type { LogEvent } from "../catalogue/log-event.ts";
import { Identifier } from "../records/identity.ts";
import { describeAudit, measureAudit } from "./audit.ts";
import { boundedEvent } from "./bounds.ts";
import type { ProcessorSettings, RecordUidKey } from "./names.ts";
import { privacyOf } from "./privacy.ts";
import { describeWebhook, measureWebhook } from "./webhook.ts";

export { type Device, type Directory, directoryOf, type ProcessorSettings, processorSettingsOf } from "./names.ts";

/** Adds what one record counts. No clock, no I/O. */
export function measure(record: AuditRecord | WebhookRecord, settings: ProcessorSettings, into: Increments): void {
  switch (record.type) {
    case "audit":
      return measureAudit(record, into);
    case "webhook":
      return measureWebhook(record, settings, into);
  }
}

/** The log event of one record, accepted at `acceptedAt` (epoch milliseconds). No clock, no I/O. */
export function describe(
  record: AuditRecord | WebhookRecord,
  settings: ProcessorSettings,
  acceptedAt: number,
): LogEvent {
  const { privacy, recordUid } = settings;
  const described = describeByType(record, settings, acceptedAt);
  const event = boundedEvent(privacy === undefined ? described : privacyOf(privacy).event(described));
  if (recordUid === undefined) return event;
  const uid = `${identifierOf(recordUid).uidOf(record)}-0`;
  return { ...event, attributes: { ...event.attributes, "log.record.uid": uid } };
}

function describeByType(
  record: AuditRecord | WebhookRecord,
  settings: ProcessorSettings,
  acceptedAt: number,
): LogEvent {
  switch (record.type) {
    case "audit":
      return describeAudit(record, settings, acceptedAt);
    case "webhook":
      return describeWebhook(record, settings, acceptedAt);
  }
}

const identifiers = new WeakMap<RecordUidKey, Identifier>();

function identifierOf(key: RecordUidKey): Identifier {
  let known = identifiers.get(key);
  if (known === undefined) identifiers.set(key, (known = new Identifier(key.secret, key.tailnet)));
  return known;
}
