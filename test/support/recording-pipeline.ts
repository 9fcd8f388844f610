/** The real pipeline over a journal that only records appends, for tests of receivers and collectors. */
import { silentTelemetry, type Telemetry } from "../../src/catalogue/telemetry.ts";
import { inspectConfig } from "../../src/config/index.ts";
import type { Append, Committed, QuarantineLine } from "../../src/journal/index.ts";
import { unpackText } from "../../src/journal/index.ts";
import { createPipeline, type Pipeline } from "../../src/pipeline/index.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { processorSettingsOf } from "../../src/processors/settings.ts";
import { recordOfLine } from "../../src/records/envelope.ts";
import { endsOfObjects } from "../../src/records/json.ts";
import type { RawRecord } from "../../src/records/types.ts";

export interface Commit extends Append {
  /** The records of its parts, in order. */
  readonly records: readonly RawRecord[];
  readonly invalid: readonly QuarantineLine[];
  /** Number of values of unknown kinds. */
  readonly skippedValues: number;
}

export interface RecordingPipeline extends Pipeline {
  /** Appends so far, one per batch. */
  readonly commits: readonly Commit[];
  /** Called before a commit resolves; may wait or throw. */
  beforeCommit: () => Promise<void> | void;
}

const identity = {
  instanceId: "instance",
  identitySecret: "0123456789abcdef0123456789abcdef",
  privacySalt: "salt",
  tailnet: 1,
  createdAt: 0,
};

/** The default settings. */
export const { config: defaultConfig } = inspectConfig({
  environment: {},
  assignments: [],
  workingDirectory: "/",
  system: { platform: "linux", homeDirectory: "/" },
});

export function createRecordingPipeline(telemetry: Telemetry = silentTelemetry): RecordingPipeline {
  const settings = processorSettingsOf(defaultConfig, identity);
  const commits: Commit[] = [];
  const journal = {
    identity,
    knows: () => false,
    horizon: () => ({ until: 0, streamed: 0 }),
    async append(append: Append, committed: (committed: Committed) => void): Promise<Committed> {
      await recording.beforeCommit();
      commits.push(commitOf(append));
      const whole = committedOf(append, commits.length);
      committed(whole);
      return whole;
    },
  };
  const pipeline = createPipeline(defaultConfig, {
    journal,
    settings,
    edges: new EdgeBook(settings),
    ends: new EndBook(settings),
    committed() {},
    keepsText: () => false,
    telemetry,
  });
  const recording: RecordingPipeline = { ...pipeline, commits, beforeCommit() {} };
  return recording;
}

function commitOf(append: Append): Commit {
  return {
    ...append,
    records: append.parts.flatMap((part) => texts(part).map((line) => recordOfLine(Buffer.from(line), part.type))),
    invalid: append.quarantine
      .filter((part) => part.class === "invalid")
      .flatMap((part) => texts(part).map((line) => JSON.parse(line) as QuarantineLine)),
    skippedValues: Object.values(append.skipped).reduce((sum, values) => sum + values, 0),
  };
}

/** The objects of a part, each on its own line or directly after the previous one. */
function texts({ body, length }: { readonly body: Uint8Array; readonly length: number }): string[] {
  const text = Buffer.from(unpackText(body, length));
  let from = 0;
  return endsOfObjects(text).map((to) => {
    const object = text.toString("utf8", from, to);
    from = text[to] === 0x0a ? to + 1 : to;
    return object;
  });
}

/** The result of an append without duplicates, with one row for all parts. */
function committedOf({ source, receivedAt, bytes, bytesOf, parts, skipped }: Append, lastSeq: number): Committed {
  return {
    lastSeq,
    source,
    receivedAt,
    parts: parts.map((part) => ({ part, dropped: undefined, accepted: part.records, seq: lastSeq })),
    tally: { bytes, bytesOf, skipped },
  };
}
