/** The points that the real ledger makes of measured columns in one commit and one fold, in the mode `all`. */
import type { Increments } from "../../src/catalogue/increments.ts";
import { seriesOf } from "../../src/ledger/series.ts";
import type { EdgeBook } from "../../src/processors/edges.ts";
import type { FlowColumns } from "../../src/records/flow/columns.ts";
import { configOf, ledgerOver, SnapshotJournal } from "../ledger/support.ts";

export interface Point {
  readonly metric: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: number;
}

/** Metrics of records; the program's own metrics are left out. */
export async function pointsOf(
  columns: FlowColumns | undefined,
  edges: EdgeBook,
  increments: Increments,
): Promise<readonly Point[]> {
  const config = configOf("cardinality.metric_limit=100", "cardinality.flow.metrics_mode=all");
  const ledger = ledgerOver(new SnapshotJournal(), config);
  if (columns !== undefined) ledger.addFlows(columns, undefined, edges);
  ledger.add(increments);
  const { metrics } = await ledger.fold(1);
  return metrics
    .filter(({ name }) => !name.startsWith("tailscale2otel."))
    .flatMap((metric) =>
      Array.from(seriesOf(metric), ({ attributes, value }) => ({ metric: metric.name, attributes, value })),
    );
}
