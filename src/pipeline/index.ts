/** A batch's way from bytes to a commit: receivers open a batch, fill it, and answer once it is committed. */
import type { Config } from "../config/schema.ts";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Source } from "../records/types.ts";
import type { Committed, Journal } from "../journal/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import type { EndBook } from "../processors/ends.ts";
import type { ProcessorSettings } from "../processors/index.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowScanner } from "../records/flow/scanner.ts";
import { Identifier } from "../records/identity.ts";
import { LastEvents } from "./ages.ts";
import { Batch } from "./batch.ts";
import { Samples } from "./quarantine-part.ts";

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

export interface PipelineDeps {
  readonly journal: Pick<Journal, "append" | "knows" | "horizon" | "identity">;
  readonly settings: ProcessorSettings;
  readonly edges: EdgeBook;
  readonly ends: EndBook;
  /** Counts and delivers a commit; called in the order of rows, inside the turn. */
  readonly committed: (committed: Committed) => void;
  readonly telemetry: Telemetry;
  /** Whether committed flow records are read again at once, and should be handed over as text. */
  readonly keepsText: () => boolean;
}

export interface Pipeline {
  open(origin: Origin): Batch;
}

/** The tables that every batch of a thread shares. */
export interface BatchTables extends PipelineDeps {
  readonly config: Config;
  readonly scanner: FlowScanner;
  readonly claims: ClaimTable;
  readonly identifier: Identifier;
  readonly samples: Samples;
  readonly lastEvents: LastEvents;
}

export function createPipeline(config: Config, deps: PipelineDeps): Pipeline {
  const { identitySecret, tailnet } = deps.journal.identity;
  const claims = new ClaimTable();
  const tables: BatchTables = {
    ...deps,
    config,
    claims,
    scanner: new FlowScanner(claims),
    identifier: new Identifier(identitySecret, tailnet),
    samples: new Samples(),
    lastEvents: new LastEvents(deps.telemetry),
  };
  return { open: (origin) => new Batch(origin, tables) };
}
