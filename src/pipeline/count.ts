/** What a committed batch adds to the ledger: its records' increments, and the counters that only its tally can give. */
import { count, type Increments, merge, noIncrements } from "../catalogue/increments.ts";
import type { AttributesOf } from "../catalogue/metrics.ts";
import { polledTypes } from "../journal/poll-cursors.ts";
import { isOfKnownKind } from "../journal/reader.ts";
import type { Committed, JournalRow, Tally } from "../journal/types.ts";
import type { NameOptions } from "../processors/names.ts";
import { recordTypes, type RecordType, type SkipReason, type Source } from "../records/types.ts";
import { measureLines } from "./part.ts";

/** The increments of a batch at its commit: those of its parts, which are not copied, and those of the batch. */
export function incrementsOf({ source, accepted, tally }: Committed): readonly Increments[] {
  const ofBatch = noIncrements();
  for (const { type, records } of accepted) countAccepted(source, type, records, ofBatch);
  countTally(source, tally, ofBatch);
  return [...accepted.map(({ increments }) => increments), ofBatch];
}

/**
 * The increments of a stored row, for recovery: the same as at its commit. `unmeasured` is told of each record that
 * no longer measures and is left out: a bug must not become a crash loop.
 */
export function incrementsOfRow(
  row: JournalRow,
  names: NameOptions,
  unmeasured: (line: string, reason: string) => void,
): Increments {
  const increments = noIncrements();
  if (row.type !== undefined) {
    countAccepted(row.source, row.type, row.records, increments);
    for (const line of row.text === "" ? [] : row.text.split("\n")) {
      try {
        merge(increments, measureLines([{ line }], row.type, names));
      } catch (error) {
        unmeasured(line, error instanceof Error ? error.message : String(error));
      }
    }
  }
  if (row.tally !== undefined) countTally(row.source, row.tally, increments);
  return increments;
}

/** The increments of a stored row that cannot be read: how many records it stands for, which delivery counts too. */
export function incrementsOfDamagedRow({ source, type, records }: JournalRow): Increments {
  const increments = noIncrements();
  if (type !== undefined && isOfKnownKind(source, type)) countAccepted(source, type, records, increments);
  else {
    count(increments, "tailscale2otel.ingest.records", { type: "unknown", outcome: "accepted" }, records);
  }
  return increments;
}

function countAccepted(source: Source, type: RecordType, records: number, into: Increments): void {
  count(into, "tailscale2otel.ingest.records", { source, type, outcome: "accepted" }, records);
  if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.records", { type }, records);
}

function countTally(source: Source, tally: Tally, into: Increments): void {
  count(into, "tailscale2otel.ingest.size", { source, type: tally.bytesOf }, tally.bytes);
  for (const type of recordTypes) {
    const records = tally.duplicates[type] ?? 0;
    count(into, "tailscale2otel.ingest.records", { source, type, outcome: "duplicate" }, records);
    if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.duplicates", { type }, records);
    if (type === "webhook") count(into, "tailscale.webhook.duplicates", {}, records);
  }
  for (const [reason, records] of Object.entries(tally.skipped) as [SkipReason, number][]) {
    count(into, "tailscale2otel.ingest.records", { source, type: "unknown", outcome: "skipped" }, records);
    if (source === "stream") count(into, "tailscale.stream.skipped", { reason }, records);
  }
  for (const { type, reason, records } of tally.quarantined) {
    count(into, "tailscale2otel.ingest.records", { source, type, outcome: "quarantined" }, records);
    count(into, "tailscale2otel.quarantine.records", { class: "invalid", reason }, records);
    if (reason === "decode_error" || reason === "measure_failed") {
      if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.decode_errors", { type }, records);
    } else if (source !== "webhook") {
      count(into, "tailscale.network.data_quality", { source, reason }, records);
    }
  }
  count(into, "tailscale2otel.quarantine.records", { class: "sample", reason: "unclassified" }, tally.samples);
  for (const [reason, records] of Object.entries(tally.retried ?? {})) {
    count(into, "tailscale2otel.quarantine.retried", { class: "invalid", reason }, records);
  }
  for (const type of polledTypes) {
    count(into, "tailscale2otel.reconcile.repaired", { type }, tally.repaired?.[type] ?? 0);
    count(into, "tailscale2otel.reconcile.late", { type }, tally.late?.[type] ?? 0);
    count(into, "tailscale2otel.reconcile.unverifiable", { type }, tally.unverifiable?.[type] ?? 0);
    count(into, "tailscale2otel.dedup.unproven", { type }, tally.unproven?.[type] ?? 0);
  }
  count(into, "tailscale.network.flow.logs_dropped", {}, tally.droppedLogEvents ?? 0);
  count(into, "tailscale.network.dedup.conflicts", { kind: "counters" }, tally.conflicts.counters);
  count(into, "tailscale.network.dedup.conflicts", { kind: "entries" }, tally.conflicts.entries);
  if (source !== "webhook") {
    const quality: AttributesOf<"tailscale.network.data_quality"> = {
      source,
      reason: "future_timestamp",
    };
    count(into, "tailscale.network.data_quality", quality, tally.futureTimes);
  }
}
