/** Takes a quarantined record in once more: the way of any record, and its item leaves with the commit, or stays as it is. */
import type { KeptItem } from "../journal/quarantine-items.ts";
import type { InvalidRecord } from "../journal/types.ts";
import type { Clock } from "../lib/clock.ts";
import type { NameOptions } from "../processors/names.ts";
import { recordOfLine } from "../records/envelope.ts";
import type { RawRecord, RecordType } from "../records/types.ts";
import { createPipeline, type PipelineJournal, type PipelineOptions } from "./index.ts";

/** What became of it. `kept`: nothing has changed, for that reason. */
export type RetryOutcome =
  { readonly kind: "accepted" } | { readonly kind: "duplicate" } | { readonly kind: "kept"; readonly why: string };

/**
 * Resolves when it is on disk.
 * @throws {Unavailable} when the journal cannot take it now; the item stays.
 */
export type RetryRecord = (item: KeptItem) => Promise<RetryOutcome>;

/** Retries of invalid records. `options` are those of the pipeline. */
export function createRetry(
  journal: PipelineJournal,
  names: NameOptions,
  options: PipelineOptions,
  clock: Clock,
): RetryRecord {
  return async (item) => {
    const read = readRecord(item);
    if ("why" in read) return { kind: "kept", why: read.why };
    /**
     * The batch is refused before it is appended where its record is still invalid: appended, it would be a duplicate by the
     * key of its text, and counted as received though nobody has sent it.
     */
    const guarded: PipelineJournal = {
      identity: journal.identity,
      knows: journal.knows,
      forgotten: journal.forgotten,
      append(append) {
        const [invalid] = append.invalid;
        if (invalid !== undefined) throw new StillInvalid(invalid);
        return journal.append({ ...append, retries: { id: item.id, reason: item.reason } });
      },
    };
    const draft = createPipeline(guarded, names, options).open({ source: item.source, receivedAt: clock() });
    draft.add([read.record]);
    try {
      const { accepted } = await draft.commit(read.bytes);
      return { kind: accepted > 0 ? "accepted" : "duplicate" };
    } catch (error) {
      if (error instanceof StillInvalid) return { kind: "kept", why: error.message };
      throw error;
    }
  };
}

class StillInvalid extends Error {
  constructor({ reason, detail }: InvalidRecord) {
    super(`it is refused again (${reason}): ${detail}`);
  }
}

type ReadRecord = { readonly record: RawRecord; readonly bytes: number } | { readonly why: string };

function readRecord({ class: itemClass, type, text, isCut }: KeptItem): ReadRecord {
  switch (itemClass) {
    case "sample":
      return { why: "a sample is a value of an unknown kind: it can be looked at, and was counted as skipped" };
    case "note":
      return { why: "a note tells of something that happened: there is no record in it" };
    case "dead_letter":
      return { why: "a dead letter was accepted already: it can only be exported again" };
    case "invalid":
      break;
  }
  if (text === undefined) return { why: "its text is damaged and cannot be read" };
  if (isCut) return { why: "only the first 64 KiB of its text were kept" };
  if (type === "unknown") return { why: "it is of no known kind" };
  return parsed(text, type);
}

function parsed(text: string, type: RecordType): ReadRecord {
  try {
    return { record: recordOfLine(text, type), bytes: Buffer.byteLength(text) };
  } catch {
    return { why: "its text is not a stored record" };
  }
}
