/** The pipeline's edge: what a receiver hands over, and what it is told. */
import type { PollStep } from "../journal/types.ts";
import type { FlowLogMode } from "../processors/index.ts";
import type { RawRecord, SkippedValue, Source } from "../records/types.ts";

/** Where a batch comes from. */
export interface Origin {
  readonly source: Source;
  /** Epoch milliseconds at which the request was received. */
  readonly receivedAt: number;
}

/** The most log events that the flow records of one batch may make, in a mode. */
export interface LogLimit {
  readonly maxEvents: number;
  readonly flowLogMode: FlowLogMode;
}

/** What became of the records of one batch. Their sum is what was received. */
export interface Outcome {
  readonly accepted: number;
  readonly duplicate: number;
  readonly skipped: number;
  readonly quarantined: number;
}

/**
 * One batch while it is being put together. It is taken whole or not at all: nothing is visible to anyone, and
 * nothing has to be undone, until `commit` has resolved. A draft that is not committed is simply dropped.
 */
export interface Draft {
  /** Records added so far, of every fate. */
  readonly records: number;
  /** Connection entries in the flow records added so far. */
  readonly connections: number;
  /** Decodes, judges, identifies and measures. Synchronous; give it slices of a few MiB so that nobody waits long. */
  add(records: readonly RawRecord[]): void;
  /** Counts values that are no known record; a sample of each unclassified kind is kept. */
  skip(values: readonly SkippedValue[]): void;
  /**
   * Resolves once everything the batch changes is on disk. `bytes` is the size of its text, decompressed; `poll` is where
   * the poll that brought it stands then.
   * @throws {Unavailable} when the journal is full or failing: nothing of the batch was taken.
   */
  commit(bytes: number, poll?: PollStep): Promise<Outcome>;
}

export interface Pipeline {
  open(origin: Origin): Draft;
}
