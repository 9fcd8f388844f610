/** The points that the real ledger makes of measured columns: one commit, one fold, in the mode `all`. */
import type { Config } from "../../src/config/schema.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import type { Increments } from "../../src/catalogue/increments.ts";
import { Ledger, type LedgerDeps } from "../../src/ledger/index.ts";
import { seriesOf } from "../../src/ledger/series.ts";
import type { EdgeBook } from "../../src/processors/edges.ts";
import type { FlowColumns } from "../../src/records/flow/columns.ts";

export interface Point {
  readonly metric: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: number;
}

/** What is counted of records; what the program counts of itself is left out. */
export async function pointsOf(
  columns: FlowColumns | undefined,
  edges: EdgeBook,
  increments: Increments,
): Promise<readonly Point[]> {
  const ledger = new Ledger(config, { journal, logger: silentLogger });
  if (columns !== undefined) ledger.addFlows(columns, undefined, edges);
  ledger.add(increments);
  const { metrics } = await ledger.fold(1);
  return metrics
    .filter(({ name }) => !name.startsWith("tailscale2otel."))
    .flatMap((metric) =>
      Array.from(seriesOf(metric), ({ attributes, value }) => ({ metric: metric.name, attributes, value })),
    );
}

const config = {
  cardinality: { metric_limit: 100, series_ttl: 1, flow: { metrics_mode: "all", rollup_top_n: 1, node_dims: true } },
  otlp: { metric_interval: 1 },
} as unknown as Pick<Config, "cardinality" | "otlp">;

/** Nothing is kept beyond the fold. */
const journal = {
  identity: { createdAt: 0 },
  minutes: { totals: () => [], read: () => undefined, gap: undefined },
  cursor: { logRecords: { delivered: 0, rejected: 0, deadLettered: 0 }, records: { deadLettered: 0 } },
  destinations: [],
  readSnapshot: () => ({ measuredSeq: 0, blobs: new Map() }),
  writeSnapshot: () => {},
  beginSeriesAnew: () => {},
  settleLoss: () => {},
} as unknown as LedgerDeps["journal"];
