/** A pipeline that keeps what it is given, for tests of what stands before it. */
import type { Draft, Origin, Outcome, Pipeline } from "../../src/pipeline/types.ts";
import type { RawRecord, SkippedValue } from "../../src/records/types.ts";

export interface Commit {
  readonly origin: Origin;
  readonly bytes: number;
  readonly records: readonly RawRecord[];
  readonly skipped: readonly SkippedValue[];
}

export interface RecordingPipeline extends Pipeline {
  /** What was taken, one entry a batch. */
  readonly commits: readonly Commit[];
  /** Called before a commit resolves; may wait or throw. */
  beforeCommit: () => Promise<void> | void;
}

export function createRecordingPipeline(): RecordingPipeline {
  const commits: Commit[] = [];
  const pipeline: RecordingPipeline = {
    commits,
    beforeCommit() {},
    open(origin): Draft {
      const records: RawRecord[] = [];
      const skipped: SkippedValue[] = [];
      return {
        get records() {
          return records.length + skipped.length;
        },
        get connections() {
          return records.length;
        },
        add: (added) => void records.push(...added),
        skip: (values) => void skipped.push(...values),
        async commit(bytes): Promise<Outcome> {
          await pipeline.beforeCommit();
          commits.push({ origin, bytes, records, skipped });
          return { accepted: records.length, duplicate: 0, skipped: skipped.length, quarantined: 0 };
        },
      };
    },
  };
  return pipeline;
}
