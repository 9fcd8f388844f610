/** A batch's way from records to a commit. Receivers open a draft, fill it, and answer when it is committed. */
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import type { Journal } from "../journal/index.ts";
import type { NameOptions } from "../processors/names.ts";
import { LastEvents } from "./ages.ts";
import { BatchDraft } from "./draft.ts";
import { createSamples } from "./samples.ts";
import type { LogLimit, Pipeline } from "./types.ts";

export { incrementsOf, incrementsOfRow } from "./count.ts";
export type { Draft, Origin, Outcome, Pipeline } from "./types.ts";

export interface PipelineOptions {
  /** Whether a webhook event is a duplicate where an audit record has told the same. */
  readonly comparesFacts: boolean;
  /** Whether the stream is there to bring what a poll brings. */
  readonly isStreamed?: boolean;
  readonly logLimit?: LogLimit | undefined;
  readonly telemetry?: Telemetry;
}

/** What of the journal a batch needs on its way. */
export type PipelineJournal = Pick<Journal, "append" | "knows" | "forgotten" | "identity">;

/** The pipeline over a journal. Holds nothing but which samples of unknown kinds it has kept. */
export function createPipeline(
  journal: PipelineJournal,
  names: NameOptions,
  { comparesFacts, isStreamed = false, logLimit, telemetry = silentTelemetry }: PipelineOptions = {
    comparesFacts: false,
  },
): Pipeline {
  const samples = createSamples();
  const lastEvents = new LastEvents(telemetry);
  const { identitySecret, tailnet } = journal.identity;
  const identityKey = { secret: identitySecret, tailnet };
  return {
    open: (origin) =>
      new BatchDraft(origin, {
        journal,
        identityKey,
        names,
        samples,
        comparesFacts,
        isStreamed,
        logLimit,
        telemetry,
        lastEvents,
      }),
  };
}
