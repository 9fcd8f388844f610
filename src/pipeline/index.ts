/** A batch's way from bytes to a commit: receivers open a batch, fill it, and answer once it is committed. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import type { Committed, Journal } from "../journal/index.ts";
import type { MeasureContext } from "../processors/flow-metrics.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowScanner } from "../records/flow/scanner.ts";
import { Identifier } from "../records/identity.ts";
import type { Source } from "../records/types.ts";
import { Batch } from "./batch.ts";
import { Samples } from "./quarantine.ts";
import { LastEvents } from "./times.ts";

export { Batch } from "./batch.ts";

/** Where a batch comes from. */
export interface Origin {
  readonly source: Source;
  /** Epoch milliseconds at which the request was received. */
  readonly receivedAt: number;
}

/** What became of the records of one batch. Their sum is what was received. */
export interface Outcome {
  readonly accepted: number;
  readonly duplicate: number;
  readonly skipped: number;
  readonly quarantined: number;
}

export interface PipelineDeps extends MeasureContext {
  readonly journal: Pick<Journal, "append" | "knows" | "horizon" | "identity">;
  /** Counts and delivers a commit; called in the order of rows, inside the turn. */
  readonly committed: (committed: Committed) => void;
  readonly telemetry: Telemetry;
  /** Whether committed flow records are read again at once, and should be handed over as text. */
  readonly keepsText: () => boolean;
}

export interface Pipeline {
  open(origin: Origin): Batch;
}

/** What all batches of a thread share. */
export type Shared = PipelineDeps & ReturnType<typeof createTables>;

export function createPipeline(config: Config, deps: PipelineDeps): Pipeline {
  const shared: Shared = { ...deps, ...createTables(config, deps) };
  return { open: (origin) => new Batch(origin, shared) };
}

function createTables(config: Config, { journal, telemetry }: PipelineDeps) {
  const { identitySecret, tailnet } = journal.identity;
  const claims = new ClaimTable();
  return {
    config,
    claims,
    scanner: new FlowScanner(claims),
    identifier: new Identifier(identitySecret, tailnet),
    samples: new Samples(),
    lastEvents: new LastEvents(telemetry),
  };
}
