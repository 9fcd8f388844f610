/** Counters that log delivery keeps in its cursor, beside those that the ledger folds. */
import type { JournalIdentity, LogCursor } from "../journal/types.ts";
import type { LedgerSeries, LedgerView } from "./types.ts";

/** A fold with the counters of the cursor that was committed by then. Their series begin with the journal. */
export function withDelivery(view: LedgerView, cursor: LogCursor, { createdAt }: JournalIdentity): LedgerView {
  const { delivered, rejected, deadLettered } = cursor.events;
  const events = [
    ...series({ outcome: "delivered" }, delivered, createdAt),
    ...series({ outcome: "rejected" }, rejected, createdAt),
    ...series({ outcome: "dead_lettered" }, deadLettered, createdAt),
  ];
  const deadLetters = series({ class: "dead_letter", reason: "undelivered" }, cursor.records.deadLettered, createdAt);
  const metrics = view.metrics.map((metric) =>
    metric.name === "tailscale2otel.quarantine.records"
      ? { ...metric, series: [...metric.series, ...deadLetters] }
      : metric,
  );
  if (deadLetters.length > 0 && !metrics.some(({ name }) => name === "tailscale2otel.quarantine.records")) {
    metrics.push({ name: "tailscale2otel.quarantine.records", series: deadLetters });
  }
  if (events.length > 0) metrics.push({ name: "tailscale2otel.export.log_records", series: events });
  return { ...view, metrics };
}

function series(attributes: LedgerSeries["attributes"], value: number, startAt: number): LedgerSeries[] {
  return value === 0 ? [] : [{ attributes, value, startAt }];
}
