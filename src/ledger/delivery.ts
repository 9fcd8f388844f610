/** Counters that log delivery keeps in its cursors: read at each fold, not counted here. */
import type { LedgerMetric } from "../catalogue/metrics.ts";
import type { Journal, LogCursor } from "../journal/index.ts";
import type { FoldTime, SeriesTable } from "./series.ts";

type TableOf = (metric: LedgerMetric) => SeriesTable;
type Named = { readonly destination?: string };

/**
 * Series without a name are those of the primary destination. All are there with 0 from the first fold on, so that
 * `increase()` sees the first dead letter.
 */
export function putDelivery(
  { identity, cursor, destinations }: Pick<Journal, "identity" | "cursor" | "destinations">,
  tableOf: TableOf,
  fold: number,
): void {
  put(tableOf, {}, cursor, { fold, startAt: identity.createdAt });
  for (const { name: destination, cursor: of, since: startAt, evicted, isRequired } of destinations) {
    put(tableOf, { destination }, of, { fold, startAt });
    if (!isRequired) tableOf("tailscale2otel.export.evicted").put({ destination }, evicted, { fold, startAt });
  }
}

function put(tableOf: TableOf, named: Named, { logRecords: sums, records }: LogCursor, time: FoldTime): void {
  const logRecords = tableOf("tailscale2otel.export.log_records");
  logRecords.put({ outcome: "delivered", ...named }, sums.delivered, time);
  logRecords.put({ outcome: "rejected", ...named }, sums.rejected, time);
  logRecords.put({ outcome: "dead_lettered", ...named }, sums.deadLettered, time);
  const deadLetters = { class: "dead_letter", reason: "undelivered", ...named };
  tableOf("tailscale2otel.quarantine.records").put(deadLetters, records.deadLettered, time);
}
